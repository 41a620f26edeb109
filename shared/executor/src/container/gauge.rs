//! What a container uses, sampled while it runs.

use std::fs;
use std::time::Duration;

use crate::process::table;
use crate::usage::{Meter, Usage};

/// Watches the processes of one container.
pub struct Gauge {
    first: Option<i32>,
    meter: Meter,
    cpu_seconds: f64,
}

impl Gauge {
    /// Watches this process and all below it, the first of container `id`. An engine in a machine of its own counts
    /// processes that are not this machine's: then nothing is known.
    pub fn of(first: Option<i64>, id: &str) -> Gauge {
        let first = first.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0);
        let is_its = |pid: &i32| {
            let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            groups.contains(id)
        };
        let mut gauge =
            Gauge { first: first.filter(is_its), meter: Meter::new(None, false), cpu_seconds: 0.0 };
        gauge.sample();
        gauge
    }

    /// When the next sample is due after the last.
    pub fn pause(&self) -> Duration {
        self.meter.pause()
    }

    /// Looks at it.
    pub fn sample(&mut self) {
        let Some(first) = self.first else { return };
        let members = table::with_descendants(vec![first]);
        self.meter.sample(&members);
        let used: f64 = members.iter().filter_map(|pid| table::cpu_seconds(*pid)).sum();
        self.cpu_seconds = self.cpu_seconds.max(used);
    }

    /// What it has used, as far as samples show.
    pub fn usage(&self) -> Usage {
        Usage { cpu_seconds: self.cpu_seconds, ..self.meter.total(&[]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_of_the_container_is_watched() {
        let own = i64::from(std::process::id());
        let known = Gauge::of(Some(own), "").usage();
        assert!(known.memory_bytes_max > 100_000 && known.cpu_seconds >= 0.0, "{known:?}");
        let foreign = Gauge::of(Some(own), "no group of this process is called so").usage();
        assert_eq!((foreign, Gauge::of(None, "").usage()), (Usage::default(), Usage::default()));
    }
}
