//! The shape of a type, found by letting it read: a reader that hands out empty values and notes what is asked for.
//!
//! So the schema follows the types by itself: a field that is added to one is in the other.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

/// Schemas of structs, by name.
#[derive(Default)]
pub struct Shapes {
    defs: Map<String, Value>,
}

impl Shapes {
    /// The schema of a type; the structs in it become definitions.
    pub fn trace<T: for<'de> Deserialize<'de>>(&mut self) -> Value {
        let mut schema = Value::Bool(true);
        // What can't read empty values keeps the schema that allows everything.
        drop(T::deserialize(Tracer { defs: &mut self.defs, schema: &mut schema }));
        schema
    }

    /// All definitions so far.
    pub fn definitions(self) -> Map<String, Value> {
        self.defs
    }
}

struct Tracer<'a> {
    defs: &'a mut Map<String, Value>,
    schema: &'a mut Value,
}

/// What a visitor says that it expects.
struct Words<'v>(&'v dyn Expected);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! scalars {
    ($($read:ident: $kind:literal => $visit:ident($value:expr);)*) => {
        $(fn $read<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            *self.schema = json!({"type": $kind});
            visitor.$visit($value)
        })*
    };
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Error;

    scalars! {
        deserialize_bool: "boolean" => visit_bool(false);
        deserialize_i8: "integer" => visit_i64(0);
        deserialize_i16: "integer" => visit_i64(0);
        deserialize_i32: "integer" => visit_i64(0);
        deserialize_i64: "integer" => visit_i64(0);
        deserialize_u8: "integer" => visit_u64(0);
        deserialize_u16: "integer" => visit_u64(0);
        deserialize_u32: "integer" => visit_u64(0);
        deserialize_u64: "integer" => visit_u64(0);
        deserialize_f32: "number" => visit_f64(0.0);
        deserialize_f64: "number" => visit_f64(0.0);
        deserialize_char: "string" => visit_str("x");
        deserialize_str: "string" => visit_str("");
        deserialize_string: "string" => visit_str("");
        deserialize_identifier: "string" => visit_str("");
        deserialize_bytes: "string" => visit_str("");
        deserialize_byte_buf: "string" => visit_str("");
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let scalar = Words(&visitor).to_string() == "a string, a number or a boolean";
        *self.schema = if scalar { json!({"type": ["string", "number", "boolean"]}) } else { json!({}) };
        visitor.visit_str("")
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.schema = json!({"type": "null"});
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut items = Value::Bool(true);
        let value = visitor.visit_seq(One { defs: self.defs, schema: Some(&mut items) });
        *self.schema = json!({"type": "array", "items": items});
        value
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut values = Value::Bool(true);
        let value = visitor.visit_map(One { defs: self.defs, schema: Some(&mut values) });
        *self.schema = json!({"type": "object", "additionalProperties": values});
        value
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.schema = json!({"$ref": format!("#/$defs/{name}")});
        if self.defs.contains_key(name) {
            // Known, or being looked at further up: templates hold templates.
            return visitor.visit_map(One { defs: self.defs, schema: None });
        }
        self.defs.insert(name.to_owned(), Value::Null);
        let mut properties = Map::new();
        let value = visitor.visit_map(Fields {
            defs: self.defs,
            fields: fields.iter(),
            field: "",
            properties: &mut properties,
        });
        let def = json!({"type": "object", "properties": properties, "additionalProperties": false});
        self.defs.insert(name.to_owned(), def);
        value
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.schema = json!({"enum": variants});
        let first: StrDeserializer<'_, Error> =
            variants.first().copied().unwrap_or_default().into_deserializer();
        visitor.visit_enum(first)
    }
}

/// One element of a list or map, or none.
struct One<'a> {
    defs: &'a mut Map<String, Value>,
    schema: Option<&'a mut Value>,
}

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(schema) = self.schema.take() else { return Ok(None) };
        seed.deserialize(Tracer { defs: self.defs, schema }).map(Some)
    }
}

impl<'de> MapAccess<'de> for One<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if self.schema.is_none() {
            return Ok(None);
        }
        let key: StrDeserializer<'_, Error> = "".into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let mut unasked = Value::Null;
        let schema = self.schema.take().unwrap_or(&mut unasked);
        seed.deserialize(Tracer { defs: self.defs, schema })
    }
}

/// The fields of a struct, each once.
struct Fields<'a> {
    defs: &'a mut Map<String, Value>,
    fields: std::slice::Iter<'static, &'static str>,
    field: &'static str,
    properties: &'a mut Map<String, Value>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.fields.next() else { return Ok(None) };
        self.field = field;
        let key: StrDeserializer<'_, Error> = field.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let mut schema = Value::Bool(true);
        let value = seed.deserialize(Tracer { defs: self.defs, schema: &mut schema });
        self.properties.insert(self.field.to_owned(), schema);
        value
    }
}
