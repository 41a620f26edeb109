//! Scalars that Argo accepts in more than one YAML form.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// A text that may be written as a string, a number or a boolean (Argo's `AnyString`).
///
/// Numbers are printed without exponent, as Argo does.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AnyString(pub String);

impl AnyString {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AnyString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for AnyString {
    fn from(text: &str) -> Self {
        AnyString(text.to_owned())
    }
}

impl From<String> for AnyString {
    fn from(text: String) -> Self {
        AnyString(text)
    }
}

struct AnyStringVisitor;

impl Visitor<'_> for AnyStringVisitor {
    type Value = AnyString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number or a boolean")
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<AnyString, E> {
        Ok(AnyString(v.to_string()))
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<AnyString, E> {
        Ok(AnyString(v.to_string()))
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<AnyString, E> {
        Ok(AnyString(v.to_string()))
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<AnyString, E> {
        Ok(AnyString(v.to_string()))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<AnyString, E> {
        Ok(AnyString(v.to_owned()))
    }
}

impl<'de> Deserialize<'de> for AnyString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyStringVisitor)
    }
}

/// One element of a loop, as the JSON text it had. The text is kept because Argo decides an item's type
/// from it and prints numbers as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item(pub String);

impl Item {
    /// The items of a JSON list, each with its own text.
    ///
    /// # Errors
    /// When `text` is not a JSON list; the message is the parser's.
    pub fn list(text: &str) -> Result<Vec<Item>, serde_json::Error> {
        let raw: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(text)?;
        Ok(raw.into_iter().map(|r| Item(r.get().to_owned())).collect())
    }

    /// The item as a JSON value; text that is not JSON is a string.
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or_else(|_| serde_json::Value::String(self.0.clone()))
    }
}

impl Serialize for Item {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(|v| Item(whole(v).to_string()))
    }
}

/// A value whose numbers Go writes so: a whole one has no fraction.
fn whole(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    const WHOLE_MAX: f64 = 9e18;
    match value {
        Json::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) if float.fract() == 0.0 && float.abs() < WHOLE_MAX => Json::from(float as i64),
            _ => Json::Number(number),
        },
        Json::Array(items) => items.into_iter().map(whole).collect(),
        Json::Object(fields) => fields.into_iter().map(|(key, value)| (key, whole(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_items_are_written_as_go_writes_them() {
        let item = |json: &str| serde_json::from_str::<Item>(json).unwrap().0;
        assert_eq!(
            ["1.0", "1e3", "1.50", "9007199254740993"].map(item),
            ["1", "1000", "1.5", "9007199254740993"]
        );
        assert_eq!(item(r#"{"x":1.0,"y":[2.0]}"#), r#"{"x":1,"y":[2]}"#);
    }
}
