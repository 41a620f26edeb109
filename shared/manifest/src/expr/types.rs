//! What is known of a value before it is computed.

use std::fmt;

use super::ast::Binary;
use super::value::Val;

/// The type of an expression as expr-lang knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Nothing is known: a variable of a step, a part of parsed JSON, a function of sprig.
    Any,
    Nil,
    Bool,
    Int,
    Float,
    Text,
    List(Box<Type>),
    /// A map with texts as keys.
    Map,
    /// A map with anything as keys, and the type of its values: what `groupBy` and `fromPairs` give.
    Groups(Box<Type>),
    Time,
    Duration,
    Zone,
}

use Type::{Any, Bool, Duration, Float, Groups, Int, List, Map, Nil, Text, Time, Zone};

impl Type {
    pub fn list(of: Type) -> Type {
        List(Box::new(of))
    }

    /// The type of a value that a variable has.
    pub fn of(value: &Val) -> Type {
        match value {
            Val::Nil | Val::Version(_) => Any,
            Val::Bool(_) => Bool,
            Val::Int(_) => Int,
            Val::Float(_) => Float,
            Val::Text(_) => Text,
            Val::List(_) => Type::list(Any),
            Val::Map(_) => Map,
            Val::Time(_) => Time,
            Val::Duration(_) => Duration,
            Val::Zone(_) => Zone,
        }
    }

    pub fn is_number(&self) -> bool {
        matches!(self, Int | Float)
    }

    pub fn is_list(&self) -> bool {
        matches!(self, List(_))
    }

    pub fn is_any(&self) -> bool {
        *self == Any
    }

    /// Whether Go would use a value of this type where `other` is asked for.
    pub fn assignable(&self, other: &Type) -> bool {
        match (self, other) {
            (Any, _) | (_, Any) => false,
            (Nil, other) => matches!(other, List(_) | Map | Groups(_) | Zone),
            (List(_), List(_)) | (Groups(_), Groups(_)) => true,
            (a, b) => a == b,
        }
    }

    /// Whether two values can be compared with `==`.
    pub fn comparable(&self, other: &Type) -> bool {
        matches!(self, Any | Nil)
            || matches!(other, Any | Nil)
            || self.is_number() && other.is_number()
            || self.assignable(other)
    }

    /// The type of what both branches of a condition give.
    pub fn joined(self, other: Type) -> Type {
        match (self, other) {
            (Nil, other) => other,
            (of, Nil) => of,
            (List(a), List(b)) if a != b => Type::list(Any),
            (a, b) if a.assignable(&b) => a,
            _ => Any,
        }
    }

    /// The type of an operation other than `in` and `??`; None where it has none.
    pub fn operated(operator: Binary, left: &Type, right: &Type) -> Option<Type> {
        // One side is unknown and the other is one of these types, or both are unknown.
        let maybe = |of: &[Type]| {
            left.is_any() && (right.is_any() || of.contains(right)) || right.is_any() && of.contains(left)
        };
        let numbers = left.is_number() && right.is_number();
        let wider = if *left == Float || *right == Float { Float } else { Int };
        match operator {
            Binary::Equal | Binary::Unequal => left.comparable(right).then_some(Bool),
            Binary::And | Binary::Or => ((left, right) == (&Bool, &Bool) || maybe(&[Bool])).then_some(Bool),
            _ if operator.is_order() => {
                let same = left == right && matches!(left, Text | Time | Duration);
                (numbers || same || maybe(&[Int, Float, Text, Time, Duration])).then_some(Bool)
            }
            Binary::Subtract => match (left, right) {
                _ if numbers => Some(wider),
                (Time, Time) | (Duration, Duration) => Some(Duration),
                (Time, Duration) => Some(Time),
                _ => maybe(&[Int, Float, Time, Duration]).then_some(Any),
            },
            Binary::Add => match (left, right) {
                _ if numbers => Some(wider),
                (Text, Text) => Some(Text),
                (Time, Duration) | (Duration, Time) => Some(Time),
                (Duration, Duration) => Some(Duration),
                _ => maybe(&[Int, Float, Text, Time, Duration]).then_some(Any),
            },
            Binary::Multiply => match (left, right) {
                _ if numbers => Some(wider),
                (Duration, Int | Float | Duration) | (Int | Float, Duration) => Some(Duration),
                _ => maybe(&[Int, Float, Duration]).then_some(Any),
            },
            Binary::Divide | Binary::Power => (numbers || maybe(&[Int, Float])).then_some(Float),
            Binary::Remainder => ((left, right) == (&Int, &Int) || maybe(&[Int])).then_some(Int),
            Binary::Range => ((left, right) == (&Int, &Int) || maybe(&[Int])).then(|| Type::list(Int)),
            _ => ((left, right) == (&Text, &Text) || maybe(&[Text])).then_some(Bool),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Any | Nil => "unknown",
            Bool => "bool",
            Int => "int",
            Float => "float64",
            Text => "string",
            List(_) => "[]interface {}",
            Map => "map[string]interface {}",
            Groups(_) => "map[interface {}]interface {}",
            Time => "time.Time",
            Duration => "time.Duration",
            Zone => "time.Location",
        })
    }
}
