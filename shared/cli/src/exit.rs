//! Exit codes, as documented in the README and in `--help`.

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for was done; a run: Succeeded.
    Succeeded = 0,
    /// The run Failed or ended in Error.
    Failed = 1,
    /// The manifest is bad, or the command line is.
    Usage = 2,
    /// Anything else: the store, the machine, the network.
    Trouble = 3,
    /// A signal ended the command; the run goes on with `run --continue`.
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}
