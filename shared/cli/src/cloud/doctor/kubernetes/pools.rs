//! Which node pools make nodes with GPUs of NVIDIA's, by their requirements as Karpenter reads them.

use dropforge_cluster::kubernetes::is_nvidia;
use serde_json::Value;

/// What labels of Auto Mode and of Karpenter begin with, that say the same of an instance.
const PREFIXES: [&str; 2] = ["eks.amazonaws.com/", "karpenter.k8s.aws/"];

/// EC2's categories with such GPUs.
const CATEGORIES: [&str; 3] = ["g", "gr", "p"];

/// Whether a pool may make such a node: none of its requirements rules out every instance that has one, nor do its limits.
pub fn makes_gpus(pool: &Value) -> bool {
    let spec = &pool["spec"];
    let requirements = spec["template"]["spec"]["requirements"].as_array();
    let limit = &spec["limits"]["nvidia.com/gpu"];
    *limit != 0 && *limit != "0" && requirements.into_iter().flatten().all(admits)
}

fn admits(requirement: &Value) -> bool {
    let key = requirement["key"].as_str().unwrap_or_default();
    let of_instances = PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix));
    match of_instances.unwrap_or(key) {
        "instance-gpu-manufacturer" => one_of(requirement, &["nvidia"]),
        "instance-category" => one_of(requirement, &CATEGORIES),
        "instance-family" | "node.kubernetes.io/instance-type" => any(requirement, is_nvidia),
        "instance-gpu-count" | "instance-gpu-memory" => number(requirement),
        // The one of AMD's that EC2 has.
        "instance-gpu-name" => any(requirement, |name| !name.starts_with("radeon")),
        "kubernetes.io/os" => one_of(requirement, &["linux"]),
        _ => true,
    }
}

/// Whether the label may have one of these values.
fn one_of(requirement: &Value, wanted: &[&str]) -> bool {
    match operator(requirement) {
        "NotIn" => wanted.iter().any(|one| !values(requirement).any(|value| value == *one)),
        _ => any(requirement, |value| wanted.contains(&value)),
    }
}

/// Whether the label may have a value that is wanted, where nobody knows all of these.
fn any(requirement: &Value, is_wanted: impl Fn(&str) -> bool) -> bool {
    match operator(requirement) {
        "In" => values(requirement).any(is_wanted),
        "DoesNotExist" => false,
        _ => true,
    }
}

/// Whether the label may be above zero.
fn number(requirement: &Value) -> bool {
    let bound =
        || values(requirement).filter_map(|value| value.parse::<i64>().ok()).next().unwrap_or(i64::MAX);
    match operator(requirement) {
        "Lt" => bound() > 1,
        "Lte" => bound() > 0,
        _ => any(requirement, |value| value != "0"),
    }
}

fn operator(requirement: &Value) -> &str {
    requirement["operator"].as_str().unwrap_or_default()
}

fn values(requirement: &Value) -> impl Iterator<Item = &str> {
    requirement["values"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pool(requirements: &[(&str, &str, &[&str])]) -> Value {
        let requirement = |(key, operator, values): &(&str, &str, &[&str])| json!({"key": key, "operator": operator, "values": values});
        let all: Vec<Value> = requirements.iter().map(requirement).collect();
        json!({"spec": {"limits": {"nvidia.com/gpu": 8}, "template": {"spec": {"requirements": all}}}})
    }

    fn makes(key: &str, operator: &str, values: &[&str]) -> bool {
        makes_gpus(&pool(&[("kubernetes.io/arch", "In", &["amd64"]), (key, operator, values)]))
    }

    #[test]
    fn a_pool_is_judged_by_what_it_may_make_and_not_by_the_words_in_it() {
        for prefix in PREFIXES {
            let label = |name: &str| format!("{prefix}{name}");
            let manufacturer = label("instance-gpu-manufacturer");
            for (operator, values, well) in [
                ("In", &["nvidia"][..], true),
                ("In", &["amd", "nvidia"], true),
                ("In", &["amd"], false),
                ("NotIn", &["nvidia"], false),
                ("NotIn", &["amd"], true),
                ("Exists", &[], true),
                ("DoesNotExist", &[], false),
            ] {
                assert_eq!(
                    makes(&manufacturer, operator, values),
                    well,
                    "{manufacturer} {operator} {values:?}"
                );
            }
            let category = label("instance-category");
            assert!(makes(&category, "In", &["c", "g"]) && makes(&category, "NotIn", &["g"]));
            assert!(
                !makes(&category, "In", &["c", "m", "r"]) && !makes(&category, "NotIn", &["g", "gr", "p"])
            );
            let family = label("instance-family");
            assert!(makes(&family, "In", &["m5", "g6e"]) && !makes(&family, "In", &["m5", "g4ad"]));
            let count = label("instance-gpu-count");
            assert!(
                makes(&count, "Gt", &["0"]) && makes(&count, "In", &["1"]) && makes(&count, "Lt", &["2"])
            );
            assert!(!makes(&count, "Lt", &["1"]) && !makes(&count, "In", &["0"]));
            assert!(!makes(&count, "DoesNotExist", &[]));
            let name = label("instance-gpu-name");
            assert!(makes(&name, "In", &["l4"]) && !makes(&name, "In", &["radeon-pro-v520"]));
        }
        let kind = "node.kubernetes.io/instance-type";
        assert!(makes(kind, "In", &["g5.xlarge"]) && !makes(kind, "In", &["m5.large"]));
        assert!(!makes("kubernetes.io/os", "In", &["windows"]));
    }

    #[test]
    fn each_requirement_and_the_limits_must_leave_one() {
        let gpus = ("eks.amazonaws.com/instance-gpu-manufacturer", "In", &["nvidia"][..]);
        assert!(!makes_gpus(&pool(&[gpus, ("eks.amazonaws.com/instance-category", "In", &["m"])])));
        let mut none = pool(&[gpus]);
        assert!(makes_gpus(&none));
        for zero in [json!(0), json!("0")] {
            none["spec"]["limits"]["nvidia.com/gpu"] = zero;
            assert!(!makes_gpus(&none), "{none}");
        }
        // Karpenter takes whatever has what the pod asks for.
        assert!(makes_gpus(&json!({"spec": {"template": {"spec": {"requirements": []}}}})));
    }
}
