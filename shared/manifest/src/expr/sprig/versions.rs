//! Semantic versions and constraints on them, after Masterminds' semver.

mod constraint;

use std::cmp::Ordering;

use super::Takes::Text;
use super::{Function, function};
use crate::expr::value::Val;

pub(super) const FUNCTIONS: &[Function] = &[
    function("semver", &[Text], |_, a| Ok(Val::Version(Box::new(Version::parse(a.text(0))?)))),
    function("semverCompare", &[Text, Text], |_, a| {
        let constraint = constraint::parse(a.text(0))?;
        Ok(Val::Bool(constraint.holds(&Version::parse(a.text(1))?)))
    }),
];

/// A version; `1.2` is taken for `1.2.0`.
#[derive(Clone, Debug)]
pub(in crate::expr) struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    pre: String,
    metadata: String,
    original: String,
}

const LENGTH_MAX: usize = 256;

impl Version {
    pub(super) fn parse(text: &str) -> Result<Version, String> {
        let invalid = || "invalid semantic version".to_owned();
        if text.len() > LENGTH_MAX {
            return Err(format!("version string is too long (max {LENGTH_MAX} bytes)"));
        }
        let rest = text.strip_prefix('v').unwrap_or(text);
        let (rest, metadata) = rest.split_once('+').map_or((rest, None), |(a, b)| (a, Some(b)));
        let (numbers, pre) = rest.split_once('-').map_or((rest, None), |(a, b)| (a, Some(b)));
        let parts: Vec<&str> = numbers.split('.').collect();
        let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let extra = [pre, metadata].into_iter().flatten().all(is_identifiers);
        if parts.len() > 3 || !parts.iter().all(digits) || !extra {
            return Err(invalid());
        }
        let zero_led =
            |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
        if pre.is_some_and(|pre| pre.split('.').any(zero_led)) {
            return Err("version segment starts with 0".to_owned());
        }
        let number = |index: usize| match parts.get(index) {
            Some(part) => part.parse().map_err(|_| format!("error parsing version segment: {part}")),
            None => Ok(0),
        };
        Ok(Version {
            major: number(0)?,
            minor: number(1)?,
            patch: number(2)?,
            pre: pre.unwrap_or_default().to_owned(),
            metadata: metadata.unwrap_or_default().to_owned(),
            original: text.to_owned(),
        })
    }

    /// The version in full.
    pub(in crate::expr) fn shown(&self) -> String {
        let mut text = format!("{}.{}.{}", self.major, self.minor, self.patch);
        for (sign, part) in [('-', &self.pre), ('+', &self.metadata)] {
            if !part.is_empty() {
                text.push(sign);
                text.push_str(part);
            }
        }
        text
    }

    /// Which of two versions is newer; metadata does not count.
    pub(in crate::expr) fn order(&self, other: &Version) -> Ordering {
        let numbers = |version: &Version| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => pre_order(&self.pre, &other.pre),
        })
    }
}

fn is_identifiers(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(allowed))
}

fn pre_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// A method of a version, None for one that it does not have.
pub(in crate::expr) fn method(version: &Version, name: &str, arguments: &[Val]) -> Option<Val> {
    let int = |n: u64| Val::Int(i64::try_from(n).unwrap_or(i64::MAX));
    if let [Val::Version(other)] = arguments {
        let order = version.order(other);
        return Some(match name {
            "Compare" => Val::Int(order as i64),
            "Equal" => Val::Bool(order.is_eq()),
            "LessThan" => Val::Bool(order.is_lt()),
            "LessThanEqual" => Val::Bool(order.is_le()),
            "GreaterThan" => Val::Bool(order.is_gt()),
            "GreaterThanEqual" => Val::Bool(order.is_ge()),
            _ => return None,
        });
    }
    if !arguments.is_empty() {
        return None;
    }
    Some(match name {
        "Major" => int(version.major),
        "Minor" => int(version.minor),
        "Patch" => int(version.patch),
        "Prerelease" => Val::text(version.pre.as_str()),
        "Metadata" => Val::text(version.metadata.as_str()),
        "Original" => Val::text(version.original.as_str()),
        "String" => Val::text(version.shown()),
        _ => return None,
    })
}
