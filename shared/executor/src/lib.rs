//! Runs one step: inputs, command, outputs, logs, verdict; and the laptop's supervisor.
