use super::*;

#[test]
fn variables_are_replaced_as_kubernetes_replaces_them() {
    let variables = [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())].into();
    for (text, expected) in [
        ("$(A)-$(B)", "1-$(A)"),
        ("$(C) $A ${A}", "$(C) $A ${A}"),
        ("$$(A) $$$(A) $$$$", "$(A) $1 $$"),
        ("$(A", "$(A"),
        ("ends with $", "ends with $"),
    ] {
        assert_eq!(replace(text, &variables), expected);
    }
}

#[test]
fn resources_are_divided_and_rounded_up() {
    let map = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, amount)| ((*name).to_owned(), AnyString::from(*amount))).collect()
    };
    let resources = Resources {
        requests: map(&[("cpu", "1500m")]),
        limits: map(&[("cpu", "2"), ("memory", "1048577")]),
        claims: None,
    };
    let field = |resource: &str, divisor: &str| {
        resource_field(&serde_json::json!({"resource": resource, "divisor": divisor}), &resources)
    };
    assert_eq!(field("requests.cpu", "1"), Some("2".to_owned()));
    assert_eq!(field("requests.cpu", "1m"), Some("1500".to_owned()));
    assert_eq!(field("limits.cpu", "0"), Some("2".to_owned()));
    assert_eq!(field("limits.memory", "1Mi"), Some("2".to_owned()));
    assert_eq!(field("requests.memory", "1"), Some("1048577".to_owned()), "the limit is the request too");
    assert_eq!(field("requests.storage", "1"), Some("0".to_owned()));
    let whole = resource_field(&serde_json::json!({"resource": "limits.cpu"}), &Resources::default());
    assert!(whole.unwrap().parse::<u64>().unwrap() >= 1, "what the machine has");
}
