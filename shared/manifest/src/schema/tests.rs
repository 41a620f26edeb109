use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_json::{Value, json};

use super::{TRIGGER_SCHEMA, manifest_schema};
use crate::types::{S3Trigger, TriggerBatch, TriggerSpec};

/// Learns the fields that serde reads of a struct, and reads none.
struct Fields<'f>(&'f mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("only structs"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.extend(fields);
        Err(de::Error::custom("enough"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn fields<'de, T: Deserialize<'de>>() -> Vec<&'static str> {
    let mut fields = Vec::new();
    let _ = T::deserialize(Fields(&mut fields));
    fields.sort_unstable();
    fields
}

fn properties(definition: &str) -> Vec<String> {
    let schema: Value = serde_json::from_str(TRIGGER_SCHEMA).unwrap();
    let mut names: Vec<String> =
        schema["$defs"][definition]["properties"].as_object().unwrap().keys().cloned().collect();
    names.sort();
    names
}

#[test]
fn the_schema_has_exactly_the_fields_of_the_type() {
    assert_eq!(properties("spec"), fields::<TriggerSpec>());
    assert_eq!(properties("s3"), fields::<S3Trigger>());
    assert_eq!(properties("batch"), fields::<TriggerBatch>());
}

#[test]
fn the_manifests_schema_follows_the_types_and_says_what_is_refused() {
    let schema = manifest_schema();
    let defs = &schema["$defs"];
    let field = |def: &str, field: &str| defs[def]["properties"][field].clone();
    assert_eq!(field("WorkflowSpec", "entrypoint"), json!({"type": "string"}));
    assert_eq!(
        field("WorkflowSpec", "templates"),
        json!({"type": "array", "items": {"$ref": "#/$defs/Template"}})
    );
    assert_eq!(field("Parameter", "value"), json!({"type": ["string", "number", "boolean"]}));
    assert_eq!(field("CronWorkflowSpec", "workflowSpec"), json!({"$ref": "#/$defs/WorkflowSpec"}));
    assert_eq!(
        field("Template", "steps"),
        json!({"type": "array", "items": {"type": "array", "items": {"$ref": "#/$defs/Step"}}})
    );
    assert_eq!(field("WorkflowSpec", "executorPlugins")["deprecated"], json!(true));
    assert!(
        field("WorkflowSpec", "hostAliases")["description"]
            .as_str()
            .unwrap()
            .starts_with("Only on a cluster; ")
    );
    assert_eq!(schema["properties"]["kind"]["enum"].as_array().unwrap().len(), 5);
}

#[test]
fn every_definition_that_is_named_is_there() {
    let schema = manifest_schema();
    let mut open = vec![&schema["$defs"], &schema["allOf"]];
    let mut seen = 0;
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                // The trigger's own references are its own.
                open.extend(map.iter().filter(|(key, _)| *key != "Trigger").map(|(_, value)| value));
                if let Some(name) =
                    map.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/$defs/"))
                {
                    assert!(schema["$defs"][name]["properties"].is_object(), "{name}");
                    seen += 1;
                }
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(seen > 40, "{seen}");
}
