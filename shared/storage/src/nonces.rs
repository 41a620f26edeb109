//! Numbers used once.

use std::sync::atomic::{AtomicU64, Ordering};

/// Texts that no other process and no other call gives.
#[derive(Debug)]
pub(crate) struct Nonces {
    process: u64,
    next: AtomicU64,
}

impl Nonces {
    pub(crate) fn new() -> Nonces {
        Nonces { process: random(), next: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> String {
        format!("{:016x}-{}", self.process, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// A number by chance.
pub(crate) fn random() -> u64 {
    let mut random = [0; 8];
    // Short of randomness this early in boot, the process id still tells owners apart.
    let got = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::NONBLOCK);
    if got == Ok(8) { u64::from_ne_bytes(random) } else { std::process::id().into() }
}
