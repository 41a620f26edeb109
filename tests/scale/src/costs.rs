//! What runs took, and whether what a step takes grows with its run.

use std::fmt;
use std::str::FromStr;

/// A step of the largest run takes at most so many times what one of the smallest takes.
const GROWTH_MAX: f64 = 1.25;
/// The most memory that any run takes.
const MEMORY_MIB_MAX: f64 = 128.0;

/// What one run took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    pub steps: usize,
    pub cpu_micros: u64,
    pub bytes: u64,
    pub requests: u64,
    /// Where the store is asked in requests that have a price.
    pub reads: Option<u64>,
    pub memory_kib: u64,
}

impl Cost {
    fn each(&self, total: u64) -> f64 {
        total as f64 / self.steps as f64
    }

    fn memory_mib(&self) -> f64 {
        self.memory_kib as f64 / 1024.0
    }

    /// Its line of the table.
    pub fn line(&self, store: &str) -> String {
        let reads = self.reads.map_or("-".to_owned(), |reads| format!("{:.2}", self.each(reads)));
        format!(
            "{store:<10}{:>10}{:>12.1}{:>16.0}{:>17.2}{reads:>14}{:>14.0}",
            self.steps,
            self.each(self.cpu_micros),
            self.each(self.bytes),
            self.each(self.requests),
            self.memory_mib(),
        )
    }
}

/// As one process tells it to another.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost { steps, cpu_micros, bytes, requests, reads, memory_kib } = self;
        write!(f, "{steps} {cpu_micros} {bytes} {requests} {memory_kib}")?;
        reads.map_or(Ok(()), |reads| write!(f, " {reads}"))
    }
}

impl FromStr for Cost {
    type Err = String;

    fn from_str(text: &str) -> Result<Cost, String> {
        let numbers: Result<Vec<u64>, _> = text.split(' ').map(str::parse).collect();
        match numbers.as_deref() {
            Ok([steps, cpu_micros, bytes, requests, memory_kib, reads @ ..]) if reads.len() < 2 => Ok(Cost {
                steps: usize::try_from(*steps).map_err(|why| why.to_string())?,
                cpu_micros: *cpu_micros,
                bytes: *bytes,
                requests: *requests,
                reads: reads.first().copied(),
                memory_kib: *memory_kib,
            }),
            _ => Err(format!("{text:?} tells no cost")),
        }
    }
}

/// What is too much in these runs on one store, the smallest first.
pub fn grown(costs: &[Cost]) -> Vec<String> {
    let mut grown = Vec::new();
    if let (Some(first), Some(last)) = (costs.first(), costs.last()) {
        let totals = [
            ("CPU µs", first.cpu_micros, last.cpu_micros),
            ("bytes written", first.bytes, last.bytes),
            ("store requests", first.requests, last.requests),
        ];
        for (what, before, after) in totals {
            let (before, after) = (first.each(before), last.each(after));
            if after > GROWTH_MAX * before {
                grown.push(format!(
                    "{what} a step grow from {before:.2} at {} steps to {after:.2} at {}, and may {GROWTH_MAX} times",
                    first.steps, last.steps
                ));
            }
        }
    }
    for cost in costs.iter().filter(|cost| cost.memory_mib() > MEMORY_MIB_MAX) {
        let memory = cost.memory_mib();
        grown.push(format!("{memory:.0} MiB at {} steps, and may be {MEMORY_MIB_MAX}", cost.steps));
    }
    grown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(steps: usize, each: u64) -> Cost {
        let total = each * steps as u64;
        Cost { steps, cpu_micros: total, bytes: total, requests: total, reads: None, memory_kib: 1024 }
    }

    #[test]
    fn what_grows_with_the_run_is_told_and_what_does_not_is_not() {
        assert_eq!(grown(&[cost(1_000, 100), cost(10_000, 125)]), Vec::<String>::new());
        let grows = Cost { bytes: 1_260_000, ..cost(10_000, 100) };
        assert_eq!(
            grown(&[cost(1_000, 100), grows]),
            ["bytes written a step grow from 100.00 at 1000 steps to 126.00 at 10000, and may 1.25 times"]
        );
        let large = Cost { memory_kib: 129 * 1024, ..cost(1_000, 100) };
        assert_eq!(grown(&[large, cost(2_000, 100)]), ["129 MiB at 1000 steps, and may be 128"]);
    }

    #[test]
    fn a_cost_is_read_as_it_is_told() {
        for reads in [None, Some(7)] {
            let cost = Cost { reads, ..cost(10, 3) };
            assert_eq!(cost.to_string().parse(), Ok(cost));
        }
        assert!("SKIPPED: no emulator".parse::<Cost>().is_err());
    }
}
