//! What a step asks of the machine, from Kubernetes quantities.

use std::collections::BTreeMap;

use dropforge_driver::supervision::Demand;
use dropforge_manifest::text::AnyString;
use dropforge_manifest::types::Resources;

/// A quantity that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the resource {resource}: {quantity:?} is no quantity such as 500m, 2 or 1.5Gi")]
pub struct BadQuantity {
    /// The resource's name.
    pub resource: String,
    /// What is written.
    pub quantity: String,
}

const GPU: &str = "nvidia.com/gpu";

/// What `resources` asks for. As in Kubernetes, a limit without a request is the request too.
///
/// # Errors
/// When a quantity can't be read.
pub fn demand(resources: Option<&Resources>) -> Result<Demand, BadQuantity> {
    let Some(resources) = resources else { return Ok(Demand::default()) };
    let limit = |name| thousandths(&resources.limits, name);
    let request = |name| match thousandths(&resources.requests, name)? {
        Some(request) => Ok(Some(request)),
        None => limit(name),
    };
    let whole = |thousandths: u128| u64::try_from(thousandths.div_ceil(1000)).unwrap_or(u64::MAX);
    let gpus = whole(request(GPU)?.unwrap_or_default());
    Ok(Demand {
        cpu_millis: u64::try_from(request("cpu")?.unwrap_or_default()).unwrap_or(u64::MAX),
        memory_bytes: whole(request("memory")?.unwrap_or_default()),
        memory_limit_bytes: limit("memory")?.map(whole),
        gpus: u32::try_from(gpus).unwrap_or(u32::MAX),
        request: false,
    })
}

/// What a pod asks for: what runs side by side adds up, what runs before takes its turn (as in Kubernetes).
#[derive(Clone, Debug, Default)]
pub struct PodDemand {
    side_by_side: Demand,
    before: Demand,
}

impl PodDemand {
    /// Adds a container, which runs `before` the others or beside them.
    pub fn add(&mut self, asked: Demand, before: bool) {
        let (sum, highest) = (&mut self.side_by_side, &mut self.before);
        if before {
            highest.cpu_millis = highest.cpu_millis.max(asked.cpu_millis);
            highest.memory_bytes = highest.memory_bytes.max(asked.memory_bytes);
        } else {
            sum.cpu_millis = sum.cpu_millis.saturating_add(asked.cpu_millis);
            sum.memory_bytes = sum.memory_bytes.saturating_add(asked.memory_bytes);
        }
        // Each has GPUs of its own while the attempt lasts.
        sum.gpus = sum.gpus.saturating_add(asked.gpus);
        // Each has a limit of its own; where there is one container, this is it.
        sum.memory_limit_bytes = asked.memory_limit_bytes;
    }

    /// What the machine must have free.
    pub fn demand(self) -> Demand {
        let (sum, highest) = (self.side_by_side, self.before);
        Demand {
            cpu_millis: sum.cpu_millis.max(highest.cpu_millis),
            memory_bytes: sum.memory_bytes.max(highest.memory_bytes),
            ..sum
        }
    }
}

fn thousandths(from: &BTreeMap<String, AnyString>, name: &str) -> Result<Option<u128>, BadQuantity> {
    let Some(text) = from.get(name) else { return Ok(None) };
    let quantity = parse(text.as_str());
    let bad = || BadQuantity { resource: name.to_owned(), quantity: text.to_string() };
    quantity.map(Some).ok_or_else(bad)
}

/// A quantity in thousandths, rounded up.
fn parse(text: &str) -> Option<u128> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '+').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.trim_start_matches('+').split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits: u128 = format!("0{}{fraction}", whole.trim_start_matches('+')).parse().ok()?;
    let scaled = digits.checked_mul(factor(suffix)?)?;
    Some(scaled.div_ceil(10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?))
}

/// A suffix's factor, times a thousand.
fn factor(suffix: &str) -> Option<u128> {
    let binary = |power: u32| Some(1000 * 1024_u128.pow(power));
    let decimal = |power: u32| Some(1000 * 1000_u128.pow(power));
    match suffix {
        "" => Some(1000),
        "m" => Some(1),
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "E" => decimal(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?.trim_start_matches('+').parse::<u32>().ok()?;
            10_u128.checked_pow(exponent)?.checked_mul(1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> Result<Demand, BadQuantity> {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, quantity)| ((*name).to_owned(), AnyString::from(*quantity))).collect()
        };
        demand(Some(&Resources { requests: map(requests), limits: map(limits), claims: None }))
    }

    #[test]
    fn requests_and_limits_are_read_as_kubernetes_reads_them() {
        let asked = of(&[("cpu", "500m"), ("memory", "1.5Gi")], &[("memory", "2G"), (GPU, "2")]);
        let expected = Demand {
            cpu_millis: 500,
            memory_bytes: 3 << 29,
            memory_limit_bytes: Some(2_000_000_000),
            gpus: 2,
            request: false,
        };
        assert_eq!(asked, Ok(expected));
    }

    #[test]
    fn a_limit_alone_is_the_request_too() {
        let expected = Demand {
            cpu_millis: 2000,
            memory_bytes: 1000,
            memory_limit_bytes: Some(1000),
            ..Demand::default()
        };
        assert_eq!(of(&[], &[("cpu", "2"), ("memory", "1e3")]), Ok(expected));
        assert_eq!(demand(None), Ok(Demand::default()));
    }

    #[test]
    fn containers_side_by_side_add_up_and_those_before_take_their_turn() {
        let mut pod = PodDemand::default();
        let asked = |cpu_millis, gpus| Demand { cpu_millis, gpus, ..Demand::default() };
        pod.add(asked(900, 0), true);
        pod.add(asked(500, 1), false);
        pod.add(asked(300, 0), false);
        assert_eq!(pod.clone().demand(), asked(900, 1));
        pod.add(asked(200, 1), false);
        assert_eq!(pod.demand(), asked(1000, 2));
    }

    #[test]
    fn what_is_no_quantity_is_named() {
        for quantity in ["much", "", "1.5.2", "5Q", "-1", "."] {
            let bad = BadQuantity { resource: "cpu".into(), quantity: quantity.into() };
            assert_eq!(of(&[("cpu", quantity)], &[]), Err(bad));
        }
        assert_eq!(parse("0.1"), Some(100));
        assert_eq!(parse("1.0001"), Some(1001));
    }
}
