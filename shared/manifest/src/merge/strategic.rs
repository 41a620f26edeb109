//! Kubernetes' strategic merge of JSON values: mappings are joined key by key, some lists by an element's key.

use serde_json::{Map, Value};

/// What joins the elements of a list.
#[derive(Clone, Copy)]
enum Join {
    /// Elements of the same key are merged.
    Merge(&'static str),
    /// Of elements of the same key the higher one is taken whole: a volume has one source.
    Whole(&'static str),
}

/// The lists that are joined; every other list is replaced whole.
const JOINED: &[(&str, Join)] = &[
    ("templates", Join::Merge("name")),
    ("parameters", Join::Merge("name")),
    ("artifacts", Join::Merge("name")),
    ("tasks", Join::Merge("name")),
    ("containers", Join::Merge("name")),
    ("initContainers", Join::Merge("name")),
    ("sidecars", Join::Merge("name")),
    ("env", Join::Merge("name")),
    ("imagePullSecrets", Join::Merge("name")),
    ("volumes", Join::Whole("name")),
    ("volumeMounts", Join::Merge("mountPath")),
    ("ports", Join::Merge("containerPort")),
    ("hostAliases", Join::Merge("ip")),
    ("tolerations", Join::Merge("key")),
];

/// `high` over `low`; a null of `high` takes a field of `low` away.
pub(crate) fn merge(low: Value, high: Value) -> Value {
    match (low, high) {
        (Value::Object(low), Value::Object(high)) => Value::Object(objects(low, high)),
        (_, high) => high,
    }
}

fn objects(mut low: Map<String, Value>, high: Map<String, Value>) -> Map<String, Value> {
    for (key, value) in high {
        let merged = match (low.remove(&key), value) {
            (_, Value::Null) => continue,
            (Some(Value::Array(below)), Value::Array(above)) => Value::Array(lists(&key, below, above)),
            (Some(below), above) => merge(below, above),
            (None, above) => above,
        };
        low.insert(key, merged);
    }
    low
}

fn lists(field: &str, low: Vec<Value>, high: Vec<Value>) -> Vec<Value> {
    let Some((_, join)) = JOINED.iter().find(|(name, _)| *name == field) else { return high };
    let (Join::Merge(key) | Join::Whole(key)) = *join;
    // A list whose elements do not all have the key is no such list, whatever its name.
    if !low.iter().chain(&high).all(|item| item.get(key).is_some()) {
        return high;
    }
    let position = |item: &Value| low.iter().position(|other| other.get(key) == item.get(key));
    let mut rest: Vec<Option<Value>> = low.iter().cloned().map(Some).collect();
    let mut named: Vec<(Option<usize>, Value)> = Vec::with_capacity(high.len());
    for item in high {
        let at = position(&item);
        let below = at.and_then(|at| rest[at].take());
        let merged = match (join, below) {
            (Join::Merge(_), Some(below)) => merge(below, item),
            (_, _) => item,
        };
        named.push((at, merged));
    }
    in_order(rest, named)
}

/// The higher list's order, into which what only the lower one has is put as far as both orders agree.
fn in_order(rest: Vec<Option<Value>>, named: Vec<(Option<usize>, Value)>) -> Vec<Value> {
    let mut rest = rest.into_iter().enumerate().filter_map(|(at, item)| Some((at, item?))).peekable();
    let mut merged = Vec::new();
    for (at, item) in named {
        while let Some((_, before)) = rest.next_if(|(own, _)| at.is_some_and(|at| *own < at)) {
            merged.push(before);
        }
        merged.push(item);
    }
    merged.extend(rest.map(|(_, item)| item));
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::merge;

    #[test]
    fn mappings_are_joined_and_null_takes_away() {
        let low = json!({"a": {"x": 1, "y": 2}, "b": 3, "list": [1, 2]});
        let high = json!({"a": {"y": 4}, "b": null, "list": [5], "c": 6});
        assert_eq!(merge(low, high), json!({"a": {"x": 1, "y": 4}, "list": [5], "c": 6}));
    }

    #[test]
    fn named_elements_are_joined_in_the_order_of_both() {
        let names =
            |list: &[&str]| json!({"env": list.iter().map(|n| json!({"name": n})).collect::<Vec<_>>()});
        let order = |low: &[&str], high: &[&str]| merge(names(low), names(high));
        assert_eq!(order(&["a", "b", "c"], &["b", "x"]), names(&["a", "b", "x", "c"]));
        assert_eq!(order(&["a", "b"], &["x", "y"]), names(&["x", "y", "a", "b"]));
        let low = json!({"env": [{"name": "a", "value": "1", "more": true}]});
        let high = json!({"env": [{"name": "a", "value": "2"}]});
        assert_eq!(merge(low, high), json!({"env": [{"name": "a", "value": "2", "more": true}]}));
    }

    #[test]
    fn a_volume_is_taken_whole_and_a_list_without_keys_is_replaced() {
        let low = json!({"volumes": [{"name": "v", "emptyDir": {}}], "env": [1, 2]});
        let high = json!({"volumes": [{"name": "v", "secret": {}}], "env": [3]});
        assert_eq!(merge(low, high.clone()), high);
    }
}
