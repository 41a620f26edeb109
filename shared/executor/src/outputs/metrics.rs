//! Numbers for the run's index entry.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// The largest file that is looked at for numbers; metrics are a few figures, not data.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The numbers of a file, if it is small and JSON.
pub fn of_file(file: &Path) -> BTreeMap<String, f64> {
    let small = file.metadata().is_ok_and(|m| m.is_file() && m.len() <= FILE_BYTES_MAX);
    let text = if small { fs::read_to_string(file).unwrap_or_default() } else { String::new() };
    numbers(&text)
}

/// The numbers of a JSON object, those of inner objects with a dotted name; a number alone is called
/// `metrics`. Anything else has none.
pub fn numbers(text: &str) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        add("", &value, &mut found);
    }
    found
}

fn add(name: &str, value: &Value, found: &mut BTreeMap<String, f64>) {
    match value {
        Value::Object(inner) => inner.iter().for_each(|(key, value)| {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            add(&name, value, found);
        }),
        Value::Number(number) => {
            let name = if name.is_empty() { super::METRICS } else { name };
            found.extend(number.as_f64().map(|number| (name.to_owned(), number)));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_and_the_rest_is_not() {
        let text = r#"{"accuracy": 0.97, "n": 3, "model": "svm", "test": {"f1": 0.5}, "list": [1]}"#;
        let expected = [("accuracy", 0.97), ("n", 3.0), ("test.f1", 0.5)];
        assert_eq!(numbers(text), expected.map(|(name, number)| (name.to_owned(), number)).into());
        assert_eq!(numbers("0.5"), BTreeMap::from([("metrics".to_owned(), 0.5)]));
        assert_eq!(numbers("accuracy=3"), BTreeMap::new());
    }
}
