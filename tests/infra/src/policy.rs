//! Decides a request as IAM does, for the part of its language that `infra/` uses. What is outside of it panics: a policy
//! that this can't read is no policy that a test has asked.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Somebody wants to do something.
#[derive(Clone, Debug)]
pub struct Request {
    action: String,
    resource: String,
    /// What AWS knows of the request and of who makes it, by its names: `aws:SourceArn`, `s3:prefix`.
    context: BTreeMap<String, String>,
}

impl Request {
    /// By somebody of whom nothing is known, over TLS.
    pub fn new(action: &str, resource: &str) -> Request {
        let request =
            Request { action: action.to_owned(), resource: resource.to_owned(), context: BTreeMap::new() };
        request.with("aws:SecureTransport", "true")
    }

    /// With this in its context.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Request {
        self.context.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// What a policy says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// Nothing, which refuses in the end.
    Silent,
    /// Yes.
    Allowed,
    /// No, whoever else says yes.
    Denied,
}

/// Whether the policies allow the request: one says yes and none says no.
pub fn allows(policies: &[&Value], request: &Request) -> bool {
    policies.iter().map(|policy| answer(policy, request)).max() == Some(Answer::Allowed)
}

/// What one policy, of a principal or of a resource, says.
pub fn answer(policy: &Value, request: &Request) -> Answer {
    let statements = policy["Statement"].as_array().expect("a policy has statements");
    statements.iter().map(|statement| of_statement(statement, request)).max().unwrap_or(Answer::Silent)
}

/// What a policy allows, one by one: policies of one statement with one action and one resource.
pub fn grants(policy: &Value) -> Vec<Value> {
    let statements = policy["Statement"].as_array().expect("a policy has statements");
    let allowing = statements.iter().filter(|statement| statement["Effect"] == "Allow");
    let mut grants = Vec::new();
    for statement in allowing {
        for action in texts(&statement["Action"]) {
            for resource in texts(&statement["Resource"]) {
                let mut one = statement.clone();
                one["Action"] = action.clone().into();
                one["Resource"] = resource.into();
                grants.push(json!({"Statement": [one]}));
            }
        }
    }
    grants
}

fn of_statement(statement: &Value, request: &Request) -> Answer {
    for (name, _) in statement.as_object().expect("a statement is an object") {
        let known =
            ["Sid", "Effect", "Principal", "Action", "Resource", "Condition"].contains(&name.as_str());
        assert!(known, "{name} of {statement}");
    }
    let action = texts(&statement["Action"]).iter().any(|action| like(action, &request.action));
    let resource = texts(&statement["Resource"]).iter().any(|resource| {
        filled(resource, &request.context).is_some_and(|resource| like(&resource, &request.resource))
    });
    if !action || !resource || !conditions_hold(&statement["Condition"], &request.context) {
        return Answer::Silent;
    }
    match statement["Effect"].as_str() {
        Some("Allow") => Answer::Allowed,
        Some("Deny") => Answer::Denied,
        _ => panic!("the effect of {statement}"),
    }
}

/// All operators, and all keys of each, must hold.
fn conditions_hold(conditions: &Value, context: &BTreeMap<String, String>) -> bool {
    let Some(conditions) = conditions.as_object() else { return true };
    conditions.iter().all(|(operator, keys)| {
        let keys = keys.as_object().expect("an operator has keys");
        let wanted =
            |wanted| texts(wanted).iter().filter_map(|text| filled(text, context)).collect::<Vec<_>>();
        keys.iter().all(|(key, all)| holds(operator, context.get(key).map(String::as_str), &wanted(all)))
    })
}

fn holds(operator: &str, found: Option<&str>, wanted: &[String]) -> bool {
    if let Some(operator) = operator.strip_suffix("IfExists") {
        return found.is_none() || holds(operator, found, wanted);
    }
    match (operator, found) {
        ("Null", found) => {
            wanted.iter().any(|wanted| wanted == if found.is_none() { "true" } else { "false" })
        }
        ("StringEquals" | "ArnEquals" | "Bool", Some(found)) => wanted.iter().any(|wanted| wanted == found),
        ("StringLike", Some(found)) => wanted.iter().any(|wanted| like(wanted, found)),
        ("StringNotEquals", found) => !wanted.iter().any(|wanted| Some(wanted.as_str()) == found),
        ("StringEquals" | "ArnEquals" | "Bool" | "StringLike", None) => false,
        _ => panic!("the operator {operator}"),
    }
}

/// A text with its variables replaced; none where one has no value, since what names it holds for nothing. What a
/// tag brings matches only itself, also where it holds a wildcard.
fn filled(text: &str, context: &BTreeMap<String, String>) -> Option<String> {
    let Some((before, rest)) = text.split_once("${") else { return Some(text.to_owned()) };
    let (variable, after) = rest.split_once('}').expect("a variable ends");
    let value = context.get(variable)?;
    if value.contains(['*', '?']) {
        return None;
    }
    Some(format!("{before}{value}{}", filled(after, context)?))
}

/// IAM's wildcards: `*` is anything, slashes included, `?` one character.
pub fn like(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .any(|at| like(&pattern[1..], &text[at..])),
        Some(c) => text
            .chars()
            .next()
            .is_some_and(|t| (c == '?' || c == t) && like(&pattern[c.len_utf8()..], &text[t.len_utf8()..])),
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::String(text) => vec![text.clone()],
        Value::Bool(value) => vec![value.to_string()],
        other => panic!("{other} in a policy"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(statement: Value) -> Value {
        json!({"Version": "2012-10-17", "Statement": [statement]})
    }

    #[test]
    fn wildcards_pass_slashes() {
        assert!(like("a/*/c", "a/b/b/c") && like("a?c", "aüc") && like("*", ""));
        assert!(!like("a/*", "a") && !like("a", "ab"));
    }

    #[test]
    fn one_no_is_stronger_than_all_yes() {
        let yes = policy(json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}));
        let no = policy(json!({"Effect": "Deny", "Action": ["s3:PutObject"], "Resource": "arn:b/j/*",
            "Condition": {"Null": {"s3:if-none-match": "true"}}}));
        let put = Request::new("s3:PutObject", "arn:b/j/1");
        assert!(!allows(&[&yes, &no], &put));
        assert!(allows(&[&yes, &no], &put.with("s3:if-none-match", "*")));
        assert!(!allows(&[&no], &Request::new("s3:GetObject", "arn:b/j/1")));
    }

    #[test]
    fn a_tag_that_is_missing_or_holds_a_wildcard_opens_nothing() {
        let own = policy(
            json!({"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:b/${aws:PrincipalTag/pod}/*"}),
        );
        let put = Request::new("s3:PutObject", "arn:b/p1/x");
        assert!(allows(&[&own], &put.clone().with("aws:PrincipalTag/pod", "p1")));
        assert!(!allows(&[&own], &put.clone().with("aws:PrincipalTag/pod", "*")));
        assert!(!allows(&[&own], &put));
    }

    #[test]
    fn a_condition_on_what_is_not_there_fails_unless_it_says_if_exists() {
        let context = BTreeMap::new();
        assert!(!conditions_hold(&json!({"StringLike": {"s3:prefix": ["*"]}}), &context));
        assert!(conditions_hold(&json!({"StringNotEqualsIfExists": {"k": "v"}}), &context));
    }
}
