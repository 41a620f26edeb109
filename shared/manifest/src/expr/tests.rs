mod answers;
mod hostile;
mod tables;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::tags::Lookup;

/// The variables that `answers` was made with.
struct Sample;

impl Sample {
    fn tree() -> Value {
        json!({
            "steps": {"a": {
                "outputs": {"result": "7", "parameters": {"x": "hello world", "list": "[1,2,3]"}},
                "status": "Succeeded",
            }},
            "item": "abc", "retries": "2", "t": {"date": "2024-02-29T13:04:05Z"},
            "count": 3, "cron": {"failed": 2, "ratio": 0.5},
        })
    }

    fn at(name: &str) -> Option<Value> {
        name.split('.').try_fold(Self::tree(), |tree, part| tree.get(part).cloned())
    }
}

impl Scope for Sample {
    fn get(&self, name: &str) -> Lookup {
        match Self::at(name) {
            _ if name == "steps.skipped.outputs.result" => {
                Lookup::Absent { why: "it was skipped".to_owned() }
            }
            Some(value) if !value.is_object() => Lookup::Value(value),
            _ => Lookup::Unknown,
        }
    }

    fn subtree(&self, prefix: &str) -> Option<Value> {
        Self::at(prefix).filter(Value::is_object)
    }

    fn now(&self) -> jiff::Timestamp {
        "2024-02-29T13:04:05Z".parse().unwrap()
    }

    fn seed(&self) -> u64 {
        42
    }
}

/// The text that a tag would get, or the message.
fn answer(text: &str) -> String {
    let result = parse(text).and_then(|expr| evaluate_text(&expr, &Env::of(&Sample)));
    match result {
        Ok((Some(text), _)) => text,
        Ok((None, _)) => "<nil>".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn check(table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(answer(text), *expected, "{text}");
    }
}

#[test]
fn operators_answer_as_expr_lang() {
    check(answers::OPERATORS);
}

#[test]
fn collections_answer_as_expr_lang() {
    check(answers::COLLECTIONS);
}

#[test]
fn texts_answer_as_expr_lang() {
    check(answers::TEXTS);
}

#[test]
fn numbers_answer_as_expr_lang() {
    check(answers::NUMBERS);
}

#[test]
fn conversions_answer_as_expr_lang() {
    check(answers::CONVERSIONS);
}

#[test]
fn times_answer_as_expr_lang() {
    check(answers::TIMES);
}

#[test]
fn jsonpath_answers_as_argos() {
    check(answers::JSONPATH);
}

#[test]
fn sprig_answers_as_sprig() {
    check(answers::SPRIG);
}

#[test]
fn variables_answer_as_expr_lang() {
    check(answers::VARIABLES);
}

#[test]
fn mistakes_are_reported_in_expr_langs_words() {
    check(answers::ERRORS);
}

#[test]
fn whole_numbers_of_the_scope_stay_whole() {
    check(&[
        ("count + 1", "4"),
        ("cron.failed >= 2", "true"),
        ("cron.ratio * 2", "1"),
        ("type(count)", "int"),
    ]);
}

#[test]
fn where_ours_differs_on_purpose() {
    check(&[
        // Argo fails: "cannot fetch outputs from <nil>". The default is what the author asked for.
        ("steps.b.outputs.result ?? 'none'", "none"),
        // Argo cannot write the result as JSON.
        ("groupBy(['a', 'bb', 'cc'], string(len(#)))", r#"{"1":["a"],"2":["bb","cc"]}"#),
        ("fromPairs([['a', 1]])", r#"{"a":1}"#),
        ("keys({'b': 1, 'a': 2})", r#"["a","b"]"#),
        ("sprig.duration(95)", "1m35s"),
        ("sprig.date('2006', '2001-02-03T04:05:06Z')", "2001"),
    ]);
}

#[test]
fn a_branch_that_is_not_taken_is_not_read() {
    check(&[
        ("true ? 1 : gone.x", "1"),
        ("false ? gone.x : 2", "2"),
        ("true || gone", "true"),
        ("false && gone", "false"),
        ("1 ?? gone", "1"),
        ("if false { gone } else { 3 }", "3"),
    ]);
}

#[test]
fn a_missing_variable_is_named() {
    let kind = |text: &str| {
        let expr = parse(text).unwrap();
        evaluate_text(&expr, &Env::of(&Sample)).unwrap_err().kind
    };
    let missing = |name: &str| ExprErrorKind::Missing(name.to_owned());
    assert_eq!(kind("gone"), missing("gone"));
    assert_eq!(kind("gone.x + 'a'"), missing("gone.x"));
    assert_eq!(kind("steps.b.outputs['result']"), missing("steps.b.outputs.result"));
    assert_eq!(kind("gone ?? 'x'"), missing("gone"));
    assert_eq!(kind("gone.x ?? 'x'"), missing("gone.x"));
    assert_eq!(kind("steps.a.outputs.result.more"), missing("steps.a.outputs.result.more"));
}

#[test]
fn a_plain_expression_takes_an_unknown_member_for_nil() {
    let value = |text: &str| evaluate(&parse(text).unwrap(), &Env::of(&Sample));
    assert_eq!(value("steps.b"), Ok(Value::Null));
    assert_eq!(value("steps.a.finishedAt == nil"), Ok(json!(true)));
    assert_eq!(
        value("steps.b.status").unwrap_err().kind,
        ExprErrorKind::Missing("steps.b.status".to_owned())
    );
    assert_eq!(value("{'a': [1, 2.5, nil]}"), Ok(json!({"a": [1, 2.5, null]})));
}

#[test]
fn a_variable_known_to_have_no_value_is_nil_and_remembered() {
    let expr = parse("steps.skipped.outputs.result").unwrap();
    let (text, absent) = evaluate_text(&expr, &Env::of(&Sample)).unwrap();
    assert_eq!(text, None);
    assert_eq!(absent[0].name, "steps.skipped.outputs.result");
    assert_eq!(absent[0].why, "it was skipped");
    check(&[("steps.skipped.outputs.result ?? 'd'", "d")]);
}

#[test]
fn a_condition_must_be_true_or_false() {
    let truth = |text: &str| {
        evaluate_bool(&parse(text).unwrap(), &Env::of(&Sample)).map_err(|error| error.to_string())
    };
    assert_eq!(truth("asInt(retries) < 3"), Ok(true));
    assert_eq!(truth("steps.a.status == 'Failed'"), Ok(false));
    assert_eq!(
        truth("steps.a.status"),
        Err("unable to cast expression result 'Succeeded' to bool".to_owned())
    );
    assert_eq!(truth("1"), Err("unable to cast expression result '%!s(int=1)' to bool".to_owned()));
    assert_eq!(
        truth("asInt('x') == 1"),
        Err("unable to evaluate expression 'asInt('x') == 1': invalid operation: int(x) (1:1)\n | asInt('x') == 1\n | ^"
            .to_owned())
    );
}

#[test]
fn time_and_chance_come_from_the_environment() {
    check(&[
        ("now().Format('2006-01-02 15:04')", "2024-02-29 13:04"),
        ("now(timezone('Europe/Berlin')).Hour()", "14"),
        ("sprig.date('15:04:05', sprig.now())", "13:04:05"),
        ("sprig.uuidv4() == sprig.uuidv4()", "false"),
        ("sprig.randInt(3, 4)", "3"),
    ]);
    let uuid = answer("sprig.uuidv4()");
    assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"), "{uuid}");
}

#[test]
fn names_are_found_with_their_whole_path() {
    let table: [(&str, &[&str], &[&str]); 9] = [
        ("1 + 1", &[], &[]),
        (
            "steps.a.outputs['result'] + item",
            &["item", "steps.a.outputs.result"],
            &["item", "steps.a.outputs.result"],
        ),
        ("a.b ?? c.d", &["a.b", "c.d"], &["a", "c.d"]),
        ("a.b?.c", &["a.b.c"], &["a"]),
        ("let x = a.b; x.c + y", &["a.b", "y"], &["a.b", "y"]),
        ("map(a.list, #.name + b)", &["a.list", "b"], &["a.list", "b"]),
        ("sprig.upper(a.b)", &["a.b"], &["a.b"]),
        ("a[b.c].d", &["a", "b.c"], &["a", "b.c"]),
        ("true ? a : b", &["a", "b"], &["a", "b"]),
    ];
    for (text, reads, needs) in table {
        let expr = parse(text).unwrap();
        assert_eq!(expr.reads(), reads, "{text}");
        assert_eq!(expr.needs(), needs, "{text}");
    }
}

#[test]
fn unknown_functions_are_named() {
    assert_eq!(answer("frobnicate(1)"), "unknown function frobnicate (1:1)\n | frobnicate(1)\n | ^");
    assert!(answer("sprig.frobnicate(1)").starts_with("unknown function sprig.frobnicate"));
    assert!(answer("sprig.uper('a')").starts_with("unknown function sprig.uper, did you mean sprig.upper?"));
    assert!(answer("sprig.env('HOME')").starts_with("sprig.env is not supported: expressions do not read"));
    assert!(answer("sprig.genCA('a', 1)").starts_with("sprig.genCA is not supported: it handles a secret"));
}

#[test]
fn equal_inputs_give_equal_answers() {
    let values = BTreeMap::from([
        ("a", answer("sprig.randInt(0, 1000000)")),
        ("b", answer("toJson(groupBy(1..9, # % 2))")),
    ]);
    assert_eq!(values["a"], answer("sprig.randInt(0, 1000000)"));
    assert_eq!(values["b"], answer("toJson(groupBy(1..9, # % 2))"));
}

mod depends_logic {
    use super::super::depends::*;

    fn none(_: &str) -> ContinueOn {
        ContinueOn::default()
    }

    type Has = &'static [(&'static str, DependsResult)];

    fn holds(text: &str, has: Has) -> bool {
        parse(text, &none).unwrap().evaluate(&|task, result| has.contains(&(task, result)))
    }

    #[test]
    fn conditions_combine() {
        use DependsResult::{
            AllFailed, AnySucceeded, Daemoned, Errored, Failed, Omitted, Skipped, Succeeded,
        };
        let table: [(&str, Has, bool); 18] = [
            ("", &[], true),
            ("A", &[("A", Succeeded)], true),
            ("A", &[("A", Skipped)], true),
            ("A", &[("A", Daemoned)], true),
            ("A", &[("A", Failed)], false),
            ("A", &[("A", Omitted)], false),
            ("A.Failed", &[("A", Failed)], true),
            ("A.Failed || A.Errored", &[("A", Errored)], true),
            ("A && B", &[("A", Succeeded)], false),
            ("A && B", &[("A", Succeeded), ("B", Skipped)], true),
            ("!A.Succeeded", &[("A", Failed)], true),
            ("!(A.Failed || B.Failed) && C", &[("C", Succeeded)], true),
            ("A.Succeeded || B.Succeeded && C.Succeeded", &[("A", Succeeded)], true),
            ("(A.Succeeded || B.Succeeded) && C.Succeeded", &[("A", Succeeded)], false),
            ("a-b.Succeeded and not a_b.Succeeded", &[("a-b", Succeeded)], true),
            ("order or android.Skipped", &[("android", Skipped)], true),
            ("loop.AnySucceeded", &[("loop", AnySucceeded)], true),
            ("loop.AllFailed", &[("loop", AllFailed)], true),
        ];
        for (text, has, expected) in table {
            assert_eq!(holds(text, has), expected, "{text} with {has:?}");
        }
    }

    #[test]
    fn names_are_listed_with_whether_items_are_asked_for() {
        let depends = parse("a-1.Succeeded && (b || !c.AllFailed) && c", &none).unwrap();
        assert_eq!(
            depends.tasks().into_iter().collect::<Vec<_>>(),
            [("a-1", false), ("b", false), ("c", true)]
        );
    }

    #[test]
    fn dependencies_expand_with_continue_on() {
        use DependsResult::{Daemoned, Errored, Failed, Skipped, Succeeded};
        let continue_on = |task: &str| ContinueOn { error: task == "b", failed: task == "b" };
        let is = |task: &str, result| Depends::Is { task: task.to_owned(), result };
        assert_eq!(
            from_dependencies(["a", "b"], &continue_on),
            Depends::All(vec![
                Depends::Any(vec![is("a", Succeeded), is("a", Skipped), is("a", Daemoned)]),
                Depends::Any(vec![
                    is("b", Succeeded),
                    is("b", Skipped),
                    is("b", Daemoned),
                    is("b", Errored),
                    is("b", Failed),
                ]),
            ])
        );
        assert_eq!(from_dependencies([], &none), Depends::Always);
        assert_eq!(parse("b", &continue_on).unwrap(), expand("b", continue_on("b")));
    }

    #[test]
    fn mistakes_name_task_and_place() {
        let message = |text: &str| parse(text, &none).unwrap_err().to_string();
        assert_eq!(message("A.Done"), "task result 'Done' for task 'A' is invalid");
        assert_eq!(message("A &"), "unexpected '&' in depends logic 'A &'");
        assert_eq!(message("(A"), "unexpected end in depends logic '(A'");
        assert_eq!(message("A B"), "unexpected 'B' in depends logic 'A B'");
        assert_eq!(parse(&"(".repeat(100_000), &none).unwrap_err(), DependsError::Nesting);
    }
}
