mod answers;

use super::*;

#[test]
fn conditions_hold_as_in_argo() {
    for (text, expected) in answers::TRUTHS {
        assert_eq!(evaluate(text), Ok(*expected), "{text}");
    }
}

#[test]
fn mistakes_are_reported_in_argos_words() {
    for (text, expected) in answers::ERRORS {
        assert_eq!(evaluate(text).map_err(|error| error.to_string()), Err((*expected).to_owned()), "{text}");
    }
}

#[test]
fn an_empty_condition_holds() {
    assert_eq!(evaluate(""), Ok(true));
}

#[test]
fn words_of_a_cron_condition_are_names() {
    assert_eq!(evaluate_with("1 < 2", Words::AreNames), Ok(true));
    assert_eq!(
        evaluate_with("blue == blue", Words::AreNames).unwrap_err().to_string(),
        "Failed to evaluate 'when' expresion 'blue == blue': No parameter 'blue' found."
    );
}

#[test]
fn hostile_conditions_are_refused() {
    for text in [
        format!("{}true{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("1{} == 1", " + 1".repeat(100_000)),
        format!("{}true", "!".repeat(100_000)),
        "x".repeat(2 << 20),
        "'a' =~ '(((a{1,100}){1,100}){1,100}){1,100}'".to_owned(),
        format!("'{}' =~ '[ab]*a[ab]{{1000}}c'", "ab".repeat(100_000)),
        format!("{}true", "'a' =~ '[b]{3000}' || ".repeat(200)),
    ] {
        assert!(evaluate(&text).is_err(), "{}", &text[..20]);
    }
    let long = format!("{}true", "true && ".repeat(400));
    assert_eq!(evaluate(&long), Ok(true));
}

/// What govaluate answers for each condition of a table: the tab stands before `= ` and the truth, or `!`.
#[test]
fn conditions_answer_as_govaluates() {
    for line in include_str!("tests/table.txt").lines() {
        let (text, expected) = line.split_once('\t').expect("a table's line has two columns");
        let found = evaluate(text).map_or("!".to_owned(), |truth| format!("= {truth}"));
        assert_eq!(found, expected, "{text}");
    }
}
