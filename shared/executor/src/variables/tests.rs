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
    let demand = Demand { cpu_millis: 1500, memory_limit_bytes: Some((1 << 20) + 1), ..Demand::default() };
    let field = |resource: &str, divisor: &str| {
        resource_field(&serde_json::json!({"resource": resource, "divisor": divisor}), &demand)
    };
    assert_eq!(field("limits.cpu", "1"), Some("2".to_owned()));
    assert_eq!(field("limits.cpu", "1m"), Some("1500".to_owned()));
    assert_eq!(field("limits.memory", "1Mi"), Some("2".to_owned()));
    assert_eq!(field("requests.memory", "1"), None);
}
