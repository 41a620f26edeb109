//! What a run does next: a pure state machine.
