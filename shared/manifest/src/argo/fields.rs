//! Which fields Argo's objects have, and of which type: `fields.txt` as a table.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The type of a value, as Go decodes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Bool,
    Int32,
    Int64,
    Float,
    Bytes,
    Pointer(Box<Type>),
    List(Box<Type>),
    Map(Box<Type>),
    Object(&'static str),
    /// A string, number or boolean that is kept as text; anything else is the empty text.
    AnyString,
    /// Any value, kept as it is.
    Raw,
    IntOrString,
    Quantity,
    Time,
    /// A mapping of one key.
    Plugin,
    /// A list of steps, read by Go's own JSON reader: names of fields in any case, unknown ones below a step passed over.
    ParallelSteps,
}

/// One field of an object.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    /// Not written where it is empty.
    pub(super) omit_empty: bool,
    pub(super) ty: Type,
}

static OBJECTS: LazyLock<HashMap<&'static str, Vec<Field>>> = LazyLock::new(|| {
    let lines = include_str!("fields.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(name, fields)| (name, parse(fields))).collect()
});

/// The fields of an object, in Go's order; none of one that the table lacks.
pub(super) fn of(object: &str) -> &'static [Field] {
    OBJECTS.get(object).map_or(&[], Vec::as_slice)
}

fn parse(fields: &'static str) -> Vec<Field> {
    let field = |text: &'static str| {
        let (name, ty) = text.split_once(':').unwrap_or((text, "!Raw"));
        let bare = name.trim_end_matches('?');
        Field { name: bare, omit_empty: bare.len() < name.len(), ty: parse_type(ty) }
    };
    fields.split(' ').map(field).collect()
}

fn parse_type(text: &'static str) -> Type {
    let inner = |close: usize| Box::new(parse_type(&text[1..text.len() - close]));
    match text {
        "string" => Type::Text,
        "bool" => Type::Bool,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "float" => Type::Float,
        "bytes" => Type::Bytes,
        "!AnyString" => Type::AnyString,
        "!IntOrString" => Type::IntOrString,
        "!Quantity" => Type::Quantity,
        "!Time" => Type::Time,
        "!Plugin" => Type::Plugin,
        "!ParallelSteps" => Type::ParallelSteps,
        _ if text.starts_with('!') => Type::Raw,
        _ if text.starts_with('*') => Type::Pointer(inner(0)),
        _ if text.starts_with('[') => Type::List(inner(1)),
        _ if text.starts_with('{') => Type::Map(inner(1)),
        object => Type::Object(object),
    }
}

#[cfg(test)]
mod tests {
    use super::{OBJECTS, Type, of};

    fn objects(ty: &Type, found: &mut Vec<&'static str>) {
        match ty {
            Type::Object(name) => found.push(name),
            Type::Pointer(inner) | Type::List(inner) | Type::Map(inner) => objects(inner, found),
            _ => {}
        }
    }

    #[test]
    fn every_object_that_a_field_names_is_in_the_table() {
        let mut named = Vec::new();
        OBJECTS.values().flatten().for_each(|field| objects(&field.ty, &mut named));
        let missing: Vec<_> = named.into_iter().filter(|name| !OBJECTS.contains_key(name)).collect();
        assert_eq!(missing, Vec::<&str>::new());
        assert!(of("Template").iter().any(|field| field.name == "steps" && field.omit_empty));
    }
}
