//! What Karpenter's definition of `karpenter.sh/v1` NodePools takes, as far as ours goes. Auto Mode's is the same.

use serde_json::Value;

/// The place of an object in the pool (`[]` is each element of a list, `*` any name), what may stand in it, and what must.
const OBJECTS: [(&str, &[&str], &[&str]); 10] = [
    ("", &["apiVersion", "kind", "metadata", "spec"], &["metadata", "spec"]),
    ("metadata", &["name", "labels", "annotations"], &["name"]),
    ("spec", &["disruption", "limits", "template", "weight"], &["template"]),
    ("spec.disruption", &["budgets", "consolidateAfter", "consolidationPolicy"], &["consolidateAfter"]),
    ("spec.template", &["metadata", "spec"], &["spec"]),
    ("spec.template.metadata", &["labels", "annotations"], &[]),
    (
        "spec.template.spec",
        &["expireAfter", "nodeClassRef", "requirements", "startupTaints", "taints", "terminationGracePeriod"],
        &["nodeClassRef", "requirements"],
    ),
    ("spec.template.spec.nodeClassRef", &["group", "kind", "name"], &["group", "kind", "name"]),
    ("spec.template.spec.taints[]", &["effect", "key", "value"], &["effect", "key"]),
    (REQUIREMENT, &["key", "minValues", "operator", "values"], &["key", "operator"]),
];

/// Whose operator says how many values it takes.
const REQUIREMENT: &str = "spec.template.spec.requirements[]";

/// Maps whose names are free.
const MAPS: [&str; 2] = ["spec.limits", "spec.template.metadata.labels"];

type Check = fn(&Value) -> bool;

const VALUES: [(&str, Check); 15] = [
    ("apiVersion", is_text),
    ("kind", is_text),
    ("metadata.name", is_label),
    ("spec.limits.*", is_quantity),
    ("spec.disruption.consolidationPolicy", |value| {
        is_one_of(value, &["WhenEmpty", "WhenEmptyOrUnderutilized"])
    }),
    ("spec.disruption.consolidateAfter", |value| value == "Never" || is_duration(value)),
    ("spec.template.metadata.labels.*", is_label),
    ("spec.template.spec.nodeClassRef.group", |value| is_text(value) && !value.to_string().contains('/')),
    ("spec.template.spec.nodeClassRef.kind", is_text),
    ("spec.template.spec.nodeClassRef.name", is_text),
    ("spec.template.spec.taints[].key", is_key),
    ("spec.template.spec.taints[].effect", |value| {
        is_one_of(value, &["NoSchedule", "PreferNoSchedule", "NoExecute"])
    }),
    ("spec.template.spec.requirements[].key", is_key),
    ("spec.template.spec.requirements[].operator", |value| {
        is_one_of(value, &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"])
    }),
    ("spec.template.spec.requirements[].values[]", is_label),
];

/// The first thing that is wrong with a pool.
pub fn misread(pool: &Value) -> Option<String> {
    look("", pool)
}

fn look(at: &str, value: &Value) -> Option<String> {
    match value {
        Value::Object(_) if MAPS.contains(&at) => inside(value, |_| format!("{at}.*")),
        Value::Object(_) => fields(at, value).or_else(|| {
            inside(value, |name| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") })
        }),
        Value::Array(all) => all.iter().find_map(|element| look(&format!("{at}[]"), element)),
        leaf => match VALUES.iter().find(|(place, _)| *place == at) {
            Some((_, check)) if check(leaf) => None,
            Some(_) => Some(format!("{at}: {leaf}")),
            None => Some(format!("{at}: nobody says what it may be")),
        },
    }
}

fn inside(object: &Value, place: impl Fn(&str) -> String) -> Option<String> {
    object.as_object()?.iter().find_map(|(name, value)| look(&place(name), value))
}

fn fields(at: &str, object: &Value) -> Option<String> {
    let Some((_, may, must)) = OBJECTS.iter().find(|(place, ..)| *place == at) else {
        return Some(format!("{at}: there is no such object"));
    };
    let unknown = object.as_object()?.keys().find(|name| !may.contains(&name.as_str()));
    let missing = must.iter().find(|name| object.get(**name).is_none());
    unknown
        .map(|name| format!("{at}.{name}: there is no such field"))
        .or_else(|| missing.map(|name| format!("{at}.{name} is missing")))
        .or_else(|| (at == REQUIREMENT).then(|| requirement(object)).flatten())
}

/// How many values an operator takes.
fn requirement(object: &Value) -> Option<String> {
    let count = object["values"].as_array().map_or(0, Vec::len);
    let fits = match object["operator"].as_str().unwrap_or_default() {
        "In" | "NotIn" => count > 0,
        "Exists" | "DoesNotExist" => count == 0,
        _ => count == 1,
    };
    (!fits).then(|| format!("{object}: not so many values for this operator"))
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

fn is_one_of(value: &Value, all: &[&str]) -> bool {
    value.as_str().is_some_and(|text| all.contains(&text))
}

fn is_label(value: &Value) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    value.as_str().is_some_and(|text| (1..=63).contains(&text.len()) && text.chars().all(plain))
}

/// Of Karpenter's own labels only two may be asked for.
fn is_key(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let (domain, name) = text.rsplit_once('/').unwrap_or(("", text));
    let own = domain == "karpenter.sh" || domain.ends_with(".karpenter.sh");
    is_label(&Value::from(name)) && !domain.contains('/') && (!own || text == "karpenter.sh/capacity-type")
}

/// `5m`, `1h30m`.
fn is_duration(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let ends = text.chars().last().is_some_and(|last| "smh".contains(last));
    let parts = text.split_inclusive(['s', 'm', 'h']).map(|part| &part[..part.len() - 1]);
    ends && parts.clone().all(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
}

/// A whole number, or one with a unit.
fn is_quantity(value: &Value) -> bool {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T', 'P', 'E', 'i', 'm', 'k', 'n', 'u']);
    !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
}
