use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

/// A scope of flat names; a name mapped to null is known to have no value.
struct Names(BTreeMap<&'static str, Value>);

impl Scope for Names {
    fn get(&self, name: &str) -> Lookup {
        match self.0.get(name) {
            None => Lookup::Unknown,
            Some(Value::Null) => Lookup::Absent { why: String::new() },
            Some(value) => Lookup::Value(value.clone()),
        }
    }

    fn subtree(&self, prefix: &str) -> Option<Value> {
        let mut tree = Value::Null;
        for (name, value) in &self.0 {
            let Some(rest) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) else {
                continue;
            };
            let mut at = &mut tree;
            for part in rest.split('.') {
                if !at.is_object() {
                    *at = json!({});
                }
                at = &mut at[part];
            }
            *at = value.clone();
        }
        (!tree.is_null()).then_some(tree)
    }
}

fn names<const N: usize>(pairs: [(&'static str, Value); N]) -> Names {
    Names(pairs.into_iter().collect())
}

fn workflow() -> Names {
    names([
        ("workflow.parameters.json", json!(r#"{"a": {"b": [1, 2, 3]}, "name": "Ann", "ratio": 0.25}"#)),
        ("workflow.parameters.list", json!("[3, 1, 2]")),
        ("workflow.parameters.number", json!("42")),
        ("workflow.parameters.text", json!("Hello, World")),
        ("workflow.labels.team", json!("forge")),
        ("workflow.annotations.note", json!("hello")),
        ("workflow.creationTimestamp", json!("2024-02-29T13:04:05Z")),
        (
            "workflow.parameters.weather",
            json!(r#"{"weekWeather": "eyJ0ZW1wcyI6IFszNCwgMjcsIDE1LCA1NywgNDZdfQo="}"#),
        ),
        (
            "workflow.parameters.config",
            json!(
                r#"{"employees": [{"name": "Baris", "age":43},{"name": "Mo", "age": 42}, {"name": "Jai", "age" :44}]}"#
            ),
        ),
    ])
}

#[test]
fn expressions_give_what_the_real_argo_gave() {
    let table = [
        ("{{=jsonpath(workflow.parameters.json, '$.a.b[1]')}}", "2"),
        ("{{=jsonpath(workflow.parameters.json, '$.name')}}", "Ann"),
        ("{{=asInt(workflow.parameters.number) + 1}}", "43"),
        ("{{=asFloat('1.5') * 2}}", "3"),
        ("{{=string(asInt(workflow.parameters.number) / 5)}}", "8.4"),
        ("{{=toJson(map([1, 2, 3], # * 2))}}", "[2,4,6]"),
        ("{{=toJson(filter([1, 2, 3, 4], # % 2 == 0))}}", "[2,4]"),
        ("{{=sprig.upper(workflow.parameters.text)}}", "HELLO, WORLD"),
        ("{{=sprig.replace('o', '0', workflow.parameters.text)}}", "Hell0, W0rld"),
        ("{{=sprig.trunc(5, workflow.parameters.text)}}", "Hello"),
        ("{{=sprig.b64enc(workflow.parameters.text)}}", "SGVsbG8sIFdvcmxk"),
        ("{{=sprig.sha256sum('x')}}", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"),
        ("{{=asInt(workflow.parameters.number) > 40 ? 'big' : 'small'}}", "big"),
        ("{{=workflow.labels.team + '-' + workflow.annotations.note}}", "forge-hello"),
        ("{{=len(workflow.parameters.text)}}", "12"),
        (
            "{{=workflow.parameters.text startsWith 'Hello' && workflow.parameters.text contains 'World'}}",
            "true",
        ),
        ("{{=workflow.parameters.text matches '^H.*d$'}}", "true"),
        ("{{=toJson({'k': [true, nil, 1.0, 'x']})}}", r#"{"k":[true,null,1,"x"]}"#),
        ("{{=join(['a', 'b'], '+')}}", "a+b"),
        ("{{=toJson(split('a-b-c', '-'))}}", r#"["a","b","c"]"#),
        (
            "{{=1e3}} {{=0.1 + 0.2}} {{=10 / 4}} {{=7 % 4}} {{=2 ** 10}}",
            "1000 0.30000000000000004 2.5 3 1024",
        ),
        (
            "{{=sprig.default('none', '')}} {{=sprig.ternary('y', 'n', true)}} {{=sprig.title('two words')}}",
            "none y Two Words",
        ),
        (
            "{{=fromJSON(workflow.parameters.json).ratio}} {{=toJSON(fromJSON(workflow.parameters.list))}}",
            "0.25 [\n  3,\n  1,\n  2\n]",
        ),
        (
            "{{=max(3, 9, 2)}} {{=sum([1, 2, 3])}} {{=toJson(sort([3, 1, 2]))}} {{=upper('x')}} {{=trim('  y ')}}",
            "9 6 [1,2,3] X y",
        ),
        (
            "{{=nil ?? 'fallback'}} {{=[1, 2, 3][1:2][0]}} {{=any([1, 2], # > 1)}} {{=all([1, 2], # > 1)}} {{=toJson(1..4)}}",
            "fallback 2 true false [1,2,3,4]",
        ),
        ("{{= workflow.parameters['text'] }} {{ workflow.parameters.number }}", "Hello, World 42"),
        (r#"{{=jsonpath(workflow.parameters.config, '$.employees[?(@.name=="Baris")].age')}}"#, "[43]"),
        ("{{=jsonpath(workflow.parameters.config, '$.employees[?(@.age>42 && @.age<44)].age')}}", "[43]"),
        ("{{=jsonpath(workflow.parameters.config, '$.employees[0:1]')}}", r#"[{"age":43,"name":"Baris"}]"#),
        ("{{=jsonpath(workflow.parameters.config, '$.employees[*].name')}}", r#"["Baris","Mo","Jai"]"#),
        ("{{=sprig.date('2006', workflow.creationTimestamp)}}", "2024"),
        ("{{=toJson(filter([1, 3], {# > 1}))}}", "[3]"),
    ];
    for (text, expected) in table {
        assert_eq!(replace(text, &workflow(), Strictness::All).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn a_verbose_expression_over_several_lines_works() {
    let text = "{{=
                map([
                    jsonpath(sprig.b64dec(jsonpath(workflow.parameters.weather, '$.weekWeather')), '$.temps')
                  ], {
                    toJson({
                      avg: sprig.add(#[0], #[1], #[2], #[3], #[4]) / 5,
                      min: sprig.min(#[0], #[1], #[2], #[3], #[4]),
                      max: sprig.max(#[0], #[1], #[2], #[3], #[4])
                    })
                })[0]
              }}";
    assert_eq!(replace(text, &workflow(), Strictness::All).unwrap(), r#"{"avg":35.8,"max":57,"min":15}"#);
}

#[test]
fn a_failing_function_is_reported_with_argos_text() {
    let scope = names([("steps.a.outputs.result", json!("x"))]);
    let error = replace(
        "{{=jsonpath(steps.a.outputs.result, '$.missing')}}",
        &scope,
        Strictness::Strict(&["steps", "tasks"]),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to evaluate expression: invalid character 'x' looking for beginning of value (1:1)\n | \
         jsonpath(steps.a.outputs.result, '$.missing')\n | ^"
    );
}

const STEPS: Strictness = Strictness::Strict(&["steps", "tasks"]);

fn replaced(text: &str, scope: &dyn Scope, strictness: Strictness) -> Result<String, String> {
    replace(text, scope, strictness).map_err(|error| error.to_string())
}

#[test]
fn simple_tags_are_replaced_by_strictness() {
    let scope = names([
        ("a.x", json!("1")),
        ("a.n", json!(2.5)),
        ("a.list", json!([1, "x"])),
        ("steps.s.outputs.result", json!("r\n\"q\"")),
        ("steps.gone.outputs.result", Value::Null),
    ]);
    let absent = "unable to substitute {{steps.gone.outputs.result}}: output is an absent optional \
                  (skipped/omitted node with no default)";
    let table: [(&str, [Result<&str, &str>; 3]); 9] = [
        ("plain", [Ok("plain"); 3]),
        ("<{{a.x}}|{{ a.x }}>", [Ok("<1|1>"); 3]),
        ("{{a.n}} {{a.list}}", [Ok(r#"2.5 [1,"x"]"#); 3]),
        ("{{steps.s.outputs.result}}", [Ok("r\n\"q\""); 3]),
        ("{{b.y}}", [Ok("{{b.y}}"), Ok("{{b.y}}"), Err("failed to resolve {{b.y}}")]),
        (
            "{{steps.t.id}}",
            [
                Ok("{{steps.t.id}}"),
                Err("failed to resolve {{steps.t.id}}"),
                Err("failed to resolve {{steps.t.id}}"),
            ],
        ),
        ("{{stepsX.t}}", [Ok("{{stepsX.t}}"), Ok("{{stepsX.t}}"), Err("failed to resolve {{stepsX.t}}")]),
        (
            "{{steps.t.outputs.artifacts.a}}",
            [
                Ok("{{steps.t.outputs.artifacts.a}}"),
                Ok("{{steps.t.outputs.artifacts.a}}"),
                Err("failed to resolve {{steps.t.outputs.artifacts.a}}"),
            ],
        ),
        ("x-{{steps.gone.outputs.result}}", [Err(absent); 3]),
    ];
    for (text, expected) in table {
        for (strictness, expected) in [Strictness::Lenient, STEPS, Strictness::All].into_iter().zip(expected)
        {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(replaced(text, &scope, strictness), expected, "{text} {strictness:?}");
        }
    }
}

#[test]
fn a_nested_tag_is_replaced_inside_out() {
    let scope = names([("x", json!("p")), ("inputs.parameters.p", json!("v"))]);
    let once = replaced("<{{inputs.parameters.{{x}}}}>", &scope, Strictness::Lenient).unwrap();
    assert_eq!(once, "<{{inputs.parameters.p}}>");
    assert_eq!(replaced(&once, &scope, Strictness::Lenient).unwrap(), "<v>");
    let unknown = "<{{inputs.parameters.{{y}}}}>";
    assert_eq!(replaced(unknown, &scope, Strictness::Lenient).unwrap(), unknown);
}

#[test]
fn text_that_only_looks_like_a_tag_stays() {
    for text in ["{{", "a {{ b", "}}", "{x}", "{{}}", "{{ =x}}", "$(({{ 1"] {
        assert_eq!(replaced(text, &names([]), Strictness::Lenient), Ok(text.to_owned()));
    }
}

#[test]
fn expressions_wait_for_what_is_not_known_yet() {
    let scope = names([("steps.a.status", json!("Succeeded")), ("workflow.name", json!("w"))]);
    let stays = |text: &str, strictness| assert_eq!(replaced(text, &scope, strictness), Ok(text.to_owned()));
    for late in ["item", "item.x", "retries", "lastRetry.message", "workflow.status", "workflow.failures"] {
        stays(&format!("{{{{=true ? 'x' : {late}}}}}"), Strictness::Lenient);
        stays(&format!("{{{{={late} + 'x'}}}}"), STEPS);
    }
    stays("{{=item ?? 'x'}}", STEPS);
    stays("{{=inputs.parameters.x}}", Strictness::Lenient);
    stays("{{=inputs.parameters.x ?? 'd'}}", STEPS);
    stays("{{=steps.b.status}}", Strictness::Lenient);
    stays("{{=asInt(steps.a.status)}}", Strictness::Lenient);
    stays("{{=nil}}", Strictness::Lenient);
}

#[test]
fn expressions_that_cannot_wait_fail_in_argos_words() {
    let scope = names([("steps.a.status", json!("Succeeded")), ("steps.s.outputs.result", Value::Null)]);
    let table = [
        ("{{=steps.b.status}}", STEPS, "failed to evaluate expression: steps.b.status is missing"),
        ("{{=inputs.x + steps.b.status}}", STEPS, "failed to evaluate expression: steps.b.status is missing"),
        ("{{=item + steps.b.status}}", STEPS, "failed to evaluate expression: steps.b.status is missing"),
        ("{{=inputs.x}}", Strictness::All, "failed to evaluate expression: inputs.x is missing"),
        ("{{=nil}}", STEPS, "failed to evaluate expression \"nil\""),
        (
            "{{= asInt('x') }}",
            STEPS,
            "failed to evaluate expression: invalid operation: int(x) (1:2)\n |  asInt('x') \n | .^",
        ),
        (
            "{{=asInt(steps.a.status)}}",
            STEPS,
            "failed to evaluate expression: invalid operation: int(Succeeded) (1:1)\n | asInt(steps.a.status)\n | ^",
        ),
        (
            "{{=1 +}}",
            Strictness::Lenient,
            "failed to evaluate expression: unexpected token EOF (1:3)\n | 1 +\n | ..^",
        ),
        (
            "{{=steps.s.outputs.result}}",
            STEPS,
            "unable to substitute {{steps.s.outputs.result}}: output is an absent optional \
             (skipped/omitted node with no default)",
        ),
    ];
    for (text, strictness, expected) in table {
        assert_eq!(replaced(text, &scope, strictness), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn a_default_and_a_branch_not_taken_spare_a_skipped_step() {
    let scope = names([
        ("tasks.left.status", json!("Succeeded")),
        ("tasks.left.outputs.result", json!("l")),
        ("tasks.right.status", json!("Skipped")),
        ("tasks.gone.status", json!("Skipped")),
        ("tasks.gone.outputs.result", Value::Null),
    ]);
    let table = [
        (
            "{{=tasks.left.status == 'Succeeded' ? tasks.left.outputs.result : tasks.right.outputs.result}}",
            "l",
        ),
        ("{{=tasks.right.outputs.result ?? 'd'}}", "d"),
        ("{{=tasks.gone.outputs.result ?? 'd'}}", "d"),
        ("{{=tasks.right.outputs?.result ?? 'd'}}", "d"),
    ];
    for (text, expected) in table {
        assert_eq!(replaced(text, &scope, STEPS), Ok(expected.to_owned()), "{text}");
    }
}

#[test]
fn a_parent_beside_its_children_is_the_map() {
    let scope = names([("inputs.parameters", json!("[]")), ("inputs.parameters.x", json!("1"))]);
    assert_eq!(replaced("{{inputs.parameters}}", &scope, STEPS), Ok("[]".to_owned()));
    assert_eq!(replaced("{{=inputs.parameters}}", &scope, STEPS), Ok(r#"{"x":"1"}"#.to_owned()));
}

#[test]
fn values_are_replaced_everywhere_keys_included() {
    let mut value = json!({"{{k}}": ["{{v}}", 1, {"a": "x{{v}}"}], "plain": "{{unknown}}"});
    let scope = names([("k", json!("key")), ("v", json!("val\"ue"))]);
    replace_value(&mut value, &scope, Strictness::Lenient).unwrap();
    assert_eq!(value, json!({"key": ["val\"ue", 1, {"a": "xval\"ue"}], "plain": "{{unknown}}"}));
    assert_eq!(
        replace_value(&mut json!(["{{unknown}}"]), &scope, Strictness::All).unwrap_err().missing(),
        Some("unknown")
    );
}

#[test]
fn growth_is_bounded() {
    let scope = names([("big", json!("x".repeat(1 << 20)))]);
    assert_eq!(replace(&"{{big}}".repeat(17), &scope, Strictness::All), Err(TagError::TooLarge));
    assert_eq!(TagError::TooLarge.to_string(), "the text is larger than 16 MiB after its tags were replaced");
}

#[test]
fn tags_are_found_with_their_places() {
    let tag = |range, content: &str, kind| Tag { range, content: content.to_owned(), kind };
    assert_eq!(
        scan("a {{ b.c }} {{= x + 1 }}é{{d}}").unwrap(),
        [
            tag(2..11, "b.c", TagKind::Simple),
            tag(12..24, "x + 1", TagKind::Expression),
            tag(26..31, "d", TagKind::Simple),
        ]
    );
    assert_eq!(
        scan("{{a.{{b}}}}").unwrap(),
        [tag(0..9, "a.{{b", TagKind::Simple), tag(4..9, "b", TagKind::Simple)]
    );
    assert_eq!(scan("x {{a").unwrap_err(), TagError::Unclosed { offset: 2, rest: "{{a".to_owned() });
}

#[test]
fn reads_lists_each_variable_once() {
    let text = "{{a.b}} {{=steps.x.outputs.result + a.b + item}} {{a.{{c}}}} {{=broken +}}";
    assert_eq!(reads(text), ["a.b", "item", "steps.x.outputs.result", "c"]);
    assert_eq!(reads("nothing"), Vec::<String>::new());
}

#[test]
fn many_texts_are_bounded_together_as_one_is() {
    struct Long;
    impl Scope for Long {
        fn get(&self, _: &str) -> Lookup {
            Lookup::Value(Value::from("x".repeat(1 << 20)))
        }
        fn subtree(&self, _: &str) -> Option<Value> {
            None
        }
    }
    let texts = |count: usize| {
        let mut value = Value::from(vec!["{{x}}"; count]);
        replace_value(&mut value, &Long, Strictness::Lenient)
    };
    assert_eq!((texts(16), texts(17)), (Ok(()), Err(TagError::TooLarge)));
    assert_eq!(replace(&"{{x}}".repeat(17), &Long, Strictness::Lenient), Err(TagError::TooLarge));
}

#[test]
fn tags_that_are_never_closed_or_hold_each_other_take_no_more_time_than_their_length() {
    let unclosed = "{{".repeat(200_000);
    assert_eq!(replace(&unclosed, &names([]), Strictness::Lenient), Ok(unclosed.clone()));
    let nested = format!("{}a{}", "{{".repeat(50_000), "}}".repeat(50_000));
    assert_eq!(replace(&nested, &names([]), Strictness::Lenient), Ok(nested.clone()));
}
