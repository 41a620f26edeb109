//! Whether the control bucket's policy refuses what must be refused whoever asks. Terraform writes it for a bucket that it
//! makes; the owner of one that was there adds those statements, and nobody sees that they are missing until something is
//! lost.

use serde_json::Value;

use super::Found;

/// What is written once: a journal's segment, a claim and a verdict.
const ONCE: [&str; 3] = ["journals/a/b/1.json", "attempts/a/b/claim.json", "attempts/a/b/result.json"];

/// What a policy means; none where the bucket has none.
pub fn found(bucket: &str, policy: Option<&str>) -> Found {
    let policy: Value = policy.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let statements = match &policy["Statement"] {
        Value::Array(all) => all.clone(),
        one => vec![one.clone()],
    };
    let refused = |action: &str, key: &str, meets: fn(&[String]) -> bool| {
        statements.iter().any(|one| denies(one, action, &format!("{bucket}{key}")) && meets(&conditions(one)))
    };
    let of_plain = [("s3:ListBucket", ""), ("s3:GetObject", "/a"), ("s3:PutObject", "/a")];
    let mut lacks = Vec::new();
    if !of_plain.iter().all(|(action, key)| refused(action, key, is_plain)) {
        lacks.push("requests without TLS");
    }
    if !ONCE.iter().all(|key| refused("s3:PutObject", &format!("/{key}"), is_unconditional)) {
        lacks.push("a second write of a journal, a claim or a verdict");
    }
    match lacks.is_empty() {
        true => Found::Good("refuses what comes without TLS and what would be written twice".to_owned()),
        false => Found::Unknown(format!(
            "does not refuse {}: have the bucket's owner add the statements that Terraform's output `bucket_policies` holds",
            lacks.join(", nor ")
        )),
    }
}

/// Whether a statement denies everybody an action on something, under its conditions.
fn denies(statement: &Value, action: &str, resource: &str) -> bool {
    let everybody = ["*"].map(Value::from);
    let principal = &statement["Principal"];
    let is_everybody = everybody.contains(principal) || texts(&principal["AWS"]).any(|one| one == "*");
    let of_s3 = |pattern: &str| pattern.split_once(":::").map_or(pattern, |(_, name)| name).to_owned();
    statement["Effect"] == "Deny"
        && is_everybody
        && texts(&statement["Action"]).any(|pattern| matches(&pattern.to_lowercase(), &action.to_lowercase()))
        && texts(&statement["Resource"]).any(|pattern| matches(&of_s3(pattern), resource))
}

/// `operator key=values` of each condition, in small letters.
fn conditions(statement: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
        for (key, values) in keys.as_object().into_iter().flatten() {
            let values: Vec<String> = match values {
                Value::Array(values) => values.iter().map(plain).collect(),
                one => vec![plain(one)],
            };
            all.push(format!("{operator} {key}={}", values.join(",")).to_lowercase());
        }
    }
    all
}

fn is_plain(conditions: &[String]) -> bool {
    conditions == ["bool aws:securetransport=false"]
}

/// That no condition is on the request; parts of a multipart upload, which carry none, may be spared.
fn is_unconditional(conditions: &[String]) -> bool {
    const NONE: &str = "null s3:if-none-match=true";
    const WHOLE: &str = "bool s3:objectcreationoperation=true";
    conditions.iter().any(|one| one == NONE) && conditions.iter().all(|one| one == NONE || one == WHOLE)
}

/// Policies may say `true` and `"true"`.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let many = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    many.chain(value.as_str())
}

/// Whether a pattern of a policy's, in which `*` stands for anything and `?` for one character, is about a text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return text.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    let mut after = text.chars();
    match first {
        '*' => text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..])),
        '?' => after.next().is_some() && matches(rest, after.as_str()),
        one => after.next() == Some(one) && matches(rest, after.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As the module `storage` writes it.
    fn policy() -> Value {
        let arn = "arn:aws:s3:::c";
        json!({"Version": "2012-10-17", "Statement": [
            {"Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, format!("{arn}/*")],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
            {"Sid": "CreateOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
                "Resource": [format!("{arn}/journals/*"), format!("{arn}/attempts/*/claim.json"),
                    format!("{arn}/attempts/*/result.json")],
                "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}}]})
    }

    fn judged(change: impl FnOnce(&mut Value)) -> Found {
        let mut policy = policy();
        change(&mut policy);
        found("c", Some(&policy.to_string()))
    }

    fn lacks(found: Found) -> String {
        match found {
            Found::Unknown(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn statements_are_known_by_what_they_refuse_however_they_are_written() {
        assert!(matches!(judged(|_| ()), Found::Good(_)), "{:?}", judged(|_| ()));
        let another = judged(|policy| {
            let all = policy["Statement"].as_array_mut().unwrap();
            all[0]["Principal"] = json!({"AWS": ["*"]});
            all[0]["Resource"] = json!("*");
            all[0]["Condition"] = json!({"Bool": {"AWS:securetransport": [false]}});
            all[1]["Action"] = json!(["s3:Put*"]);
            all[1]["Resource"] = json!(["arn:aws:s3:::c/*"]);
            all[1]["Condition"] = json!({"Null": {"s3:If-None-Match": true}});
        });
        assert!(matches!(another, Found::Good(_)), "{another:?}");
    }

    #[test]
    fn a_statement_that_is_missing_or_weaker_is_told() {
        let (plain, twice) = ("requests without TLS", "a second write of a journal");
        let none = lacks(found("c", None));
        assert!(none.contains(plain) && none.contains(twice) && none.contains("`bucket_policies`"), "{none}");
        let without =
            |at: usize| lacks(judged(|policy| drop(policy["Statement"].as_array_mut().unwrap().remove(at))));
        assert!(without(0).contains(plain) && !without(0).contains(twice), "{}", without(0));
        assert!(without(1).contains(twice) && !without(1).contains(plain), "{}", without(1));
        for (pointer, weaker, words) in [
            ("/Statement/0/Effect", json!("Allow"), plain),
            ("/Statement/0/Principal", json!({"AWS": "arn:aws:iam::1:root"}), plain),
            ("/Statement/0/Resource", json!("arn:aws:s3:::c/*"), plain),
            ("/Statement/0/Resource", json!("arn:aws:s3:::other/*"), plain),
            ("/Statement/0/Condition/StringEquals", json!({"aws:PrincipalAccount": "1"}), plain),
            ("/Statement/1/Resource", json!("arn:aws:s3:::c/journals/*"), twice),
            ("/Statement/1/Action", json!("s3:DeleteObject"), twice),
            ("/Statement/1/Condition/Null", json!({"s3:if-none-match": "false"}), twice),
            ("/Statement/1/Condition/StringLike", json!({"aws:PrincipalArn": "x"}), twice),
        ] {
            let told = lacks(judged(|policy| {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                policy.pointer_mut(parent).unwrap()[name] = weaker.clone();
            }));
            assert!(told.contains(words), "{pointer} {weaker}: {told}");
        }
    }
}
