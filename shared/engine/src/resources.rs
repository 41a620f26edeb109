//! What an attempt held of a cluster's resources, in Argo's units (rule MP-3).

use std::collections::BTreeMap;

use dropforge_manifest::quantity::Quantity;
use dropforge_manifest::types::Container;

use crate::attempt::{Verdict, Work};

/// Seconds of each resource: of a core, of 100 MiB of memory, of one device.
pub type ResourcesDuration = BTreeMap<String, i64>;

/// What a container holds where its manifest does not say.
const DEFAULTS: [(&str, &str); 2] = [("cpu", "100m"), ("memory", "100Mi")];

/// What an attempt held from its command's start to its end; nothing when it was never started. A request holds nothing.
pub fn duration(work: &Work, verdict: &Verdict) -> ResourcesDuration {
    let (Some(started), Some(main)) = (verdict.started_at, work.template.main()) else {
        return ResourcesDuration::new();
    };
    let seconds = i128::from(verdict.finished_at.duration_since(started).as_secs().max(0));
    amounts(main)
        .into_iter()
        .filter_map(|(resource, text)| {
            let amount = text.parse::<Quantity>().ok()?.millis();
            let held = amount.checked_mul(seconds)? / unit_millis(&resource);
            Some((resource, i64::try_from(held).ok()?))
        })
        .collect()
}

/// Request, else limit, else Argo's default.
fn amounts(container: &Container) -> BTreeMap<String, String> {
    let mut amounts: BTreeMap<String, String> =
        DEFAULTS.iter().map(|(name, amount)| ((*name).to_owned(), (*amount).to_owned())).collect();
    let resources = container.resources.clone().unwrap_or_default();
    amounts.extend(resources.limits.into_iter().map(|(name, amount)| (name, amount.0)));
    amounts.extend(resources.requests.into_iter().map(|(name, amount)| (name, amount.0)));
    amounts
}

fn unit_millis(resource: &str) -> i128 {
    match resource {
        "memory" => 100 * 1024 * 1024 * 1000,
        "storage" | "ephemeral-storage" => 10 * 1024 * 1024 * 1024 * 1000,
        _ => 1000,
    }
}

/// Adds what a child held.
pub fn add(sum: &mut ResourcesDuration, held: &ResourcesDuration) {
    for (resource, seconds) in held {
        let total = sum.entry(resource.clone()).or_default();
        *total = total.saturating_add(*seconds);
    }
}

#[cfg(test)]
mod tests {
    use dropforge_manifest::text::AnyString;
    use dropforge_manifest::types::{Resources, Template};
    use jiff::Timestamp;

    use super::*;
    use crate::attempt::{Outcome, Reason};

    fn held(requests: &[(&str, &str)], limits: &[(&str, &str)], millis: i64) -> Vec<(String, i64)> {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, amount)| ((*name).to_owned(), AnyString::from(*amount))).collect()
        };
        let resources = Resources { requests: map(requests), limits: map(limits), claims: None };
        let container = Container { resources: Some(resources), ..Container::default() };
        let template = Template { container: Some(container), ..Template::default() };
        let end = Timestamp::from_millisecond(1_000_000 + millis).unwrap();
        let mut verdict = Verdict::without_outputs("a".into(), Outcome::Succeeded, Reason::Exited, "", end);
        verdict.started_at = Timestamp::from_millisecond(1_000_000).ok();
        duration(&Work { template: template.into(), ..Work::default() }, &verdict).into_iter().collect()
    }

    #[test]
    fn whole_seconds_times_amount_by_unit() {
        let of = |cpu, memory| vec![("cpu".to_owned(), cpu), ("memory".to_owned(), memory)];
        assert_eq!(held(&[], &[], 25_900), of(2, 25));
        assert_eq!(held(&[("cpu", "2")], &[("cpu", "4"), ("memory", "1Gi")], 10_000), of(20, 102));
        let gpu = held(&[], &[("nvidia.com/gpu", "2")], 60_000);
        assert_eq!(gpu, [of(6, 60), vec![("nvidia.com/gpu".to_owned(), 120)]].concat());
    }
}
