//! Expressions that want too much: each is refused with what it exceeds, and none takes the stack or the memory.

use super::*;

#[test]
fn deep_nesting_is_refused_and_does_not_overflow() {
    let nested = |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
    let hostile = [
        nested("(", ")", 100_000),
        nested("[", "]", 100_000),
        nested("{a:", "}", 100_000),
        nested("map([1],", ")", 100_000),
        nested("-", "", 100_000),
        nested("not ", "", 100_000),
        nested("let x = 1; ", "", 100_000),
        nested("true ? ", " : 1", 100_000),
        nested("if true {", "} else {1}", 100_000),
        format!("{}1", "true ? 1 : ".repeat(100_000)),
        format!("{}1{}", "if false {1} else ".repeat(100_000), ""),
        format!("{}1", "[".repeat(1_000_000)),
        format!("1{}", " + 1".repeat(100_000)),
        format!("1{}", " < 1".repeat(100_000)),
        format!("1{}", "; 1".repeat(100_000)),
        format!("[1{}]", ", 1".repeat(100_000)),
        format!("a{}", ".b".repeat(100_000)),
        format!("a{}", "[0]".repeat(100_000)),
        format!("a{}", "?.b".repeat(100_000)),
        format!("'a'{}", " | upper()".repeat(100_000)),
        format!("1{}", " ?? 1".repeat(100_000)),
        format!("1{}", " ** 1".repeat(100_000)),
        format!("true{}", " ? 1 : 1".repeat(100_000)),
        format!("a{}", "()".repeat(100_000)),
        format!("now(){}", ".UTC()".repeat(100_000)),
    ];
    for text in hostile {
        assert_eq!(parse(&text).unwrap_err().kind, ExprErrorKind::Syntax, "{}", &text[..20]);
    }
}

#[test]
fn the_deepest_allowed_expressions_evaluate_on_a_small_stack() {
    let texts = [
        format!("{}1{}", "(".repeat(60), ")".repeat(60)),
        format!("{}1{}", "[".repeat(60), "]".repeat(60)),
        format!("1{}", " + 1".repeat(250)),
        format!("{}1{}", "map([1], ".repeat(60), ")".repeat(60)),
    ];
    let work = move || texts.iter().map(|text| answer(text)).collect::<Vec<_>>();
    let answers = std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
    assert_eq!((answers[0].as_str(), answers[2].as_str()), ("1", "251"));
    assert!(answers[1].starts_with("[[[[") && answers[3].starts_with("[[[["), "{answers:?}");
}

const LARGE: &str = "the value is larger than 16 MiB";
const MUCH: &str = "the values of the expression take more than 64 MiB";
const LONG: &str = "the expression takes more than 5000000 steps";
const BUDGET: &str = "memory budget exceeded";

fn refused(table: &[(&str, &str)]) {
    for (text, expected) in table {
        let found = answer(text);
        assert!(found.contains(expected), "{text}: {}", &found[..found.floor_char_boundary(200)]);
    }
}

#[test]
fn what_expr_lang_refuses_for_its_memory_is_refused_here() {
    refused(&[
        ("repeat('x', 1000000000)", BUDGET),
        ("len(repeat('x', 999999))", "999999"),
        ("repeat('x', 1000000)", BUDGET),
        ("repeat('', 9223372036854775807)", BUDGET),
        ("1..1000000000", BUDGET),
        ("len(1..999999)", "999999"),
        ("len(1..1000000)", BUDGET),
        ("-9223372036854775807..9223372036854775807", BUDGET),
        ("len(5..1)", "0"),
        ("len(map(1..499999, #))", "499999"),
        ("map(1..500000, #)", BUDGET),
        ("filter(1..500000, true)", BUDGET),
        ("reverse(1..500000)", BUDGET),
        ("let a = 1..300000; concat(a, a, a)", BUDGET),
        ("let a = 1..250000; flatten([a, a, a])", BUDGET),
        ("sortBy(1..500000, -#)", BUDGET),
        ("sort(1..500000)", BUDGET),
        ("map(1..2000, map(1..2000, #))", BUDGET),
        ("map(1..100000, [#, #, #, #, #, #, #, #, #, #])", BUDGET),
    ]);
}

#[test]
fn too_much_memory_is_refused_with_the_figure() {
    refused(&[
        ("sprig.repeat(17000000, 'x')", LARGE),
        ("len(sprig.repeat(16000000, 'x'))", "16000000"),
        ("sprig.repeat(9223372036854775807, 'xx')", LARGE),
        ("let a = sprig.repeat(9000000, 'x'); a + a", LARGE),
        ("map(1..10, len(sprig.repeat(9000000, 'x')))", MUCH),
        ("let a = sprig.repeat(4000000, 'x'); [a, a, a, a, a]", LARGE),
        ("let a = sprig.repeat(4000000, 'x'); {a: a, b: a, c: a, d: a, e: a}", LARGE),
        ("let a = sprig.repeat(4000000, 'x'); sprig.cat(a, a, a, a, a)", LARGE),
        ("let a = sprig.repeat(4000000, 'x'); join([a, a, a, a], 'abc')", "x"),
        ("join(map(1..400000, 'x'), repeat('y', 1000))", LARGE),
        ("sprig.join(repeat('y', 1000), map(1..400000, 'x'))", LARGE),
        ("sprig.regexReplaceAll('(?s).*', sprig.repeat(9000000, 'x'), '$0$0')", LARGE),
        ("sprig.regexReplaceAll('', repeat('x', 100000), repeat('y', 1000))", LARGE),
        ("map(1..400000, ({a: 1}))", MUCH),
        ("fromJSON('[' + sprig.repeat(100000, '{},') + '0]')", LARGE),
        ("reduce(1..100, [#acc, #acc]) == [1]", LARGE),
        ("reduce(1..40, #acc + #acc, 'ab')", LARGE),
        ("reduce(1..100000, [#acc])", "the value is nested more than 128 deep"),
        ("replace(repeat('a', 100000), 'a', repeat('b', 1000))", LARGE),
        ("sprig.replace('a', repeat('b', 1000), repeat('a', 100000))", LARGE),
        ("sprig.indent(16000000, 'a\\nb\\nc')", LARGE),
        ("sprig.nindent(1000000000, 'a')", LARGE),
        ("sprig.wrapWith(1, repeat('y', 1000), repeat('x ', 100000))", LARGE),
        ("sprig.toPrettyJson(reduce(1..100, [#acc])) + sprig.repeat(17000000, 'x')", LARGE),
        ("split(repeat('x', 900000), '')", LARGE),
        ("sprig.splitList('', sprig.repeat(800000, 'x'))", LARGE),
        ("sprig.split('x', sprig.repeat(800000, 'x'))", LARGE),
        ("sprig.regexFindAll('.', sprig.repeat(800000, 'x'), -1)", LARGE),
        ("sprig.regexSplit('x', sprig.repeat(800000, 'x'), -1)", LARGE),
        ("sprig.until(1000000000)", BUDGET),
        ("sprig.untilStep(0, 9223372036854775807, 1)", BUDGET),
        ("sprig.untilStep(0, -9223372036854775807, -1)", BUDGET),
        ("sprig.seq(1000000000)", BUDGET),
        ("sprig.seq(-9223372036854775807, 1, 9223372036854775807)", BUDGET),
    ]);
}

#[test]
fn too_much_work_is_refused_with_the_figure() {
    refused(&[
        ("let a = sprig.repeat(9000000, 'x'); any(1..100000, a contains 'y')", LONG),
        ("len(uniq(map(1..5000, [#])))", LONG),
        ("count(1..600000, # > 0 && # + 1 > 0 && # + 2 > 0)", LONG),
        ("let a = 1..90000; all(1..90000, # in a)", LONG),
        ("let a = 1..1000; count(a, count(a, count(a, true) > 0) > 0)", LONG),
        ("any(1..1000, any(1..1000, false))", BUDGET),
        ("let a = [1..1000, 1..1000]; len(uniq(map(1..700, a)))", "1"),
        ("let a = 1..10000; any(1..10, sprig.without(map(1..100, a), a, a, a, a, a, a, a, a) == 1)", LONG),
        ("let a = map(1..1000, 'x'); reduce(1..100000, a == a)", LONG),
        // Each of these took hours once.
        ("len(trim(sprig.repeat(4000000, 'x'), sprig.repeat(4000000, 'y') + 'x'))", "0"),
        ("len(sprig.trimAll(sprig.repeat(4000000, 'y') + 'x', sprig.repeat(4000000, 'x')))", "0"),
        ("len(sprig.wrap(1000000000, sprig.repeat(1000000, 'x ')))", "2000000"),
    ]);
}

#[test]
fn json_from_outside_is_bounded() {
    refused(&[
        ("fromJSON(repeat('[', 200) + repeat(']', 200))", "recursion limit exceeded"),
        ("fromJSON(repeat('[', 100000))", "unexpected end of JSON input"),
        ("fromJSON(repeat('{\"a\":', 20000))", "unexpected end of JSON input"),
        ("fromJSON('[' + sprig.repeat(4000000, '0,') + '0]')", LARGE),
        ("fromJSON('1e999999999')", "out of range"),
        ("fromJSON('-1e999999999')", "out of range"),
        ("sprig.mustFromJson(repeat('[', 200) + repeat(']', 200))", "recursion limit exceeded"),
        ("jsonpath(toJson(reduce(1..12, [#acc, #acc])), '$..*..*..*..*..*..*..*..*..*..*..*..*')", LONG),
    ]);
}

#[test]
fn patterns_are_bounded_in_size_and_in_work() {
    refused(&[
        ("'a' matches '(((a{1,100}){1,100}){1,100}){1,100}'", "Compiled regex exceeds size limit"),
        ("'a' matches 'a{1000000000}'", "error parsing regexp"),
        ("'a' matches repeat('(', 10000)", "error parsing regexp"),
        ("'a' matches repeat('\\\\w', 100000)", "the pattern is longer than 16384 bytes"),
        ("sprig.repeat(100000, 'ab') matches '[ab]*a[ab]{1000}c'", LONG),
        ("any(1..100000, sprig.repeat(100, 'ab') matches '[ab]*a[ab]{1000}c')", LONG),
        ("any(1..100000, 'a' matches '\\\\pL{5}' + string(#))", LONG),
        ("sprig.repeat(1000000, 'ab') matches '(error|warning)[a-z]+: '", "false"),
    ]);
}

#[test]
fn a_message_does_not_repeat_a_large_value() {
    let message = answer("int(repeat('x', 900000))");
    assert!(message.starts_with("invalid operation: int(xxx") && message.len() < 5000, "{}", message.len());
}
