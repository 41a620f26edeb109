//! A Python on another machine: what packages must be made for when steps run as pods.

use std::fmt;

/// A processor that nodes of a cluster have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Machine {
    /// Intel's and AMD's.
    X86_64,
    /// Graviton and its like.
    Aarch64,
}

impl Machine {
    /// All of them.
    pub const ALL: [Machine; 2] = [Machine::X86_64, Machine::Aarch64];

    /// As Linux calls it.
    pub fn name(self) -> &'static str {
        match self {
            Machine::X86_64 => "x86_64",
            Machine::Aarch64 => "aarch64",
        }
    }

    /// The one that Linux, or an image's platform, calls so.
    pub fn named(name: &str) -> Option<Machine> {
        match name {
            "x86_64" | "amd64" => Some(Machine::X86_64),
            "aarch64" | "arm64" => Some(Machine::Aarch64),
            _ => None,
        }
    }
}

/// The newest glibc that packed wheels may ask for: Debian 10's, so that every Python image since 2019 serves.
const GLIBC_MINOR: u32 = 28;

/// The oldest that wheels are named after.
const GLIBC_MINOR_FIRST: u32 = 5;

/// One Python version on one kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The 3 of 3.11.
    pub major: u32,
    /// The 11 of 3.11.
    pub minor: u32,
    /// The machine.
    pub machine: Machine,
}

impl fmt::Display for Target {
    /// As a run's spec names it: `3.11-x86_64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.python(), self.machine.name())
    }
}

impl Target {
    /// The version as installers take it.
    pub fn python(&self) -> String {
        format!("{}.{}", self.major, self.minor)
    }

    /// What its binary packages are built for, as uv and the lock file name it.
    pub(super) fn platform(&self) -> String {
        format!("{}-manylinux_2_{GLIBC_MINOR}", self.machine.name())
    }

    /// pip's arguments for it. pip derives no older platform from a newer one, so that each is named.
    pub(super) fn pip_arguments(&self) -> Vec<String> {
        let newest_first = (GLIBC_MINOR_FIRST..=GLIBC_MINOR).rev();
        let named = newest_first.map(|minor| format!("manylinux_2_{minor}"));
        let old = ["manylinux2014", "manylinux2010", "manylinux1", "linux"].map(str::to_owned);
        let platforms = named
            .chain(old)
            .flat_map(|name| ["--platform".to_owned(), format!("{name}_{}", self.machine.name())]);
        let python =
            ["--python-version".to_owned(), self.python(), "--implementation".to_owned(), "cp".to_owned()];
        let binary = ["--only-binary".to_owned(), ":all:".to_owned()];
        platforms.chain(python).chain(binary).collect()
    }

    /// uv's arguments for it.
    pub(super) fn uv_arguments(&self) -> [String; 6] {
        ["--python-version", &self.python(), "--python-platform", &self.platform(), "--only-binary", ":all:"]
            .map(str::to_owned)
    }
}
