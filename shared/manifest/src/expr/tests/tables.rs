//! Tables of what Argo 4.1.2's own libraries answer, function by function: expr-lang 1.17.8, sprig 3.3.0 and
//! evilmonkeyinc/jsonpath 0.8.1, set up as Argo does.
//!
//! A line is an expression, a tab, and `= ` with the text that a tag would get, or `!` for an error.

use super::*;

/// The value of each expression of a table, as the table would have it.
fn checked(table: &str) {
    let mut wrong = Vec::new();
    for line in table.lines() {
        let (text, expected) = line.split_once('\t').expect("a table's line has two columns");
        let result = parse(text).and_then(|expr| evaluate_text(&expr, &Env::of(&Sample)));
        let found = match result {
            Ok((value, _)) => format!("= {}", escaped(value.as_deref().unwrap_or("<nil>"))),
            Err(_) => "!".to_owned(),
        };
        if found != expected {
            wrong.push(format!("{text}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r")
}

macro_rules! tables {
    ($($name:ident $file:literal)*) => {$(
        #[test]
        fn $name() {
            checked(include_str!(concat!("tables/", $file, ".txt")));
        }
    )*};
}

tables! {
    built_in_functions_answer_as_expr_langs "functions"
    operators_and_members_answer_as_expr_langs "operators"
    functions_with_predicates_answer_as_expr_langs "predicates"
    times_and_durations_answer_as_gos "times"
    paths_into_json_answer_as_argos "jsonpath"
    dates_answer_as_sprigs "sprig-dates"
    dictionaries_answer_as_sprigs "sprig-dicts"
    encodings_and_checksums_answer_as_sprigs "sprig-encodings"
    lists_answer_as_sprigs "sprig-lists"
    defaults_and_reflection_answer_as_sprigs "sprig-logic"
    arithmetic_answers_as_sprigs "sprig-numbers"
    file_paths_answer_as_sprigs "sprig-paths"
    regular_expressions_answer_as_sprigs "sprig-patterns"
    texts_answer_as_sprigs "sprig-strings"
    addresses_answer_as_sprigs "sprig-urls"
    versions_answer_as_sprigs "sprig-versions"
}

#[test]
fn random_functions_give_what_they_promise() {
    let shape = |text: &str, pattern: &str| {
        let found = answer(text);
        assert!(regex::Regex::new(&format!("^{pattern}$")).unwrap().is_match(&found), "{text}: {found}");
    };
    shape("sprig.randAlpha(20)", "[A-Za-z]{20}");
    shape("sprig.randNumeric(20)", "[0-9]{20}");
    shape("sprig.randAlphaNum(20)", "[0-9A-Za-z]{20}");
    shape("sprig.randAscii(20)", "[ -~]{20}");
    shape("sprig.randBytes(3)", "[A-Za-z0-9+/]{4}");
    shape("sprig.uuidv4()", "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
    check(&[
        ("sprig.randAlpha(0) + sprig.randAlpha(-1)", ""),
        ("all(map(1..100, sprig.randInt(3, 6)), # in [3, 4, 5])", "true"),
        ("len(uniq(map(1..100, sprig.randInt(3, 6))))", "3"),
        ("sort(split(sprig.shuffle('dbca'), '')) == ['a', 'b', 'c', 'd']", "true"),
        ("len(uniq(map(1..20, sprig.randAlpha(8))))", "20"),
        ("sprig.date('2006', sprig.now())", "2024"),
        ("sprig.ago(sprig.dateModify('-90s', sprig.now()))", "1m30s"),
        ("sprig.durationRound(sprig.dateModify('-3h', sprig.now()))", "3h"),
    ]);
    assert_eq!(answer("sprig.randInt(3, 3)").lines().next(), Some("invalid argument to Intn (1:7)"));
}
