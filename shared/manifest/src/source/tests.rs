use super::*;

fn one(text: &str) -> Node {
    let (mut documents, errors) = read(text);
    assert_eq!(errors, [], "{text}");
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0)
}

fn scalar(text: &str) -> Scalar {
    match one(&format!("k: {text}\n")).get("k").unwrap().value.clone() {
        Value::Scalar(scalar) => scalar,
        other => panic!("{other:?}"),
    }
}

fn errors(text: &str) -> Vec<String> {
    read(text).1.iter().map(|error| format!("{} {error}", error.at())).collect()
}

fn text(value: &str) -> Scalar {
    Scalar::Text(value.to_owned())
}

#[test]
fn plain_scalars_mean_what_kubernetes_makes_of_them() {
    for word in ["yes", "Yes", "YES", "on", "On", "true", "TRUE"] {
        assert_eq!(scalar(word), Scalar::Bool(true), "{word}");
    }
    for word in ["no", "No", "NO", "off", "OFF", "false", "False"] {
        assert_eq!(scalar(word), Scalar::Bool(false), "{word}");
    }
    for word in ["~", "null", "Null", "NULL", ""] {
        assert_eq!(scalar(word), Scalar::Null, "{word}");
    }
    assert_eq!(scalar("n"), Scalar::Letter('n'));
    assert_eq!(scalar("0777"), Scalar::Int(511));
    assert_eq!(scalar("0o17"), Scalar::Int(15));
    assert_eq!(scalar("0x1F"), Scalar::Int(31));
    assert_eq!(scalar("0b101"), Scalar::Int(5));
    assert_eq!(scalar("1_000"), Scalar::Int(1000));
    assert_eq!(scalar("+12"), Scalar::Int(12));
    assert_eq!(scalar("-0x10"), Scalar::Int(-16));
    assert_eq!(scalar("08"), Scalar::Float(8.0));
    assert_eq!(scalar("18446744073709551615"), Scalar::UInt(u64::MAX));
    assert_eq!(scalar("99999999999999999999"), Scalar::Float(1e20));
    assert_eq!(scalar("1.50"), Scalar::Float(1.5));
    assert_eq!(scalar("1e3"), Scalar::Float(1000.0));
    assert_eq!(scalar(".5"), Scalar::Float(0.5));
    assert_eq!(scalar("-.inf"), Scalar::Float(f64::NEG_INFINITY));
}

#[test]
fn what_only_looks_like_a_number_is_text() {
    for word in
        ["yEs", "nul", "1.2.3", "0x", "0xg", "1:30", "2024-01-02", "1e", "--1", ".", "1__", "python:3.12"]
    {
        let expected = if word == "1__" { Scalar::Int(1) } else { text(word) };
        assert_eq!(scalar(word), expected, "{word}");
    }
}

#[test]
fn quoted_scalars_and_tags_are_what_they_say() {
    assert_eq!(scalar("\"yes\""), text("yes"));
    assert_eq!(scalar("'0777'"), text("0777"));
    assert_eq!(scalar("!!str 5"), text("5"));
    assert_eq!(scalar("!!int \"5\""), Scalar::Int(5));
    assert_eq!(one("k: |\n  yes\n").get("k").unwrap().as_str(), Some("yes\n"));
}

#[test]
fn numbers_print_as_go_prints_them() {
    let printed = [
        (0.0, "0"),
        (1.5, "1.5"),
        (1e20, "1e+20"),
        (123456.0, "123456"),
        (1234567.0, "1.234567e+06"),
        (0.00001, "1e-05"),
        (-2.5, "-2.5"),
    ];
    for (value, expected) in printed {
        assert_eq!(go_float(value), expected);
    }
    assert_eq!(go_float(f64::INFINITY), "+Inf");
}

#[test]
fn keys_and_values_know_their_place() {
    let node = one("a:\n  b:\n    - x: 1\n    - {y: 2, z: [3, 4]}\n  c: |\n    first\n    second\n");
    assert_eq!(node.at("a.b[1].z").to_string(), "4:14");
    assert_eq!(node.at("a.b[1].z[1]").to_string(), "4:21");
    assert_eq!(node.at("a.c").to_string(), "5:3");
    assert_eq!(node.find("a.c").unwrap().text_at.unwrap().to_string(), "6:5");
    let blank = one("k:\n  c: |\n\n\n    first\n    second\n");
    assert_eq!(blank.find("k.c").unwrap().text_at.unwrap().to_string(), "3:5");
    assert_eq!(node.at("a.b[1].nothing.below").to_string(), "4:7", "the deepest part that is there");
    assert_eq!(one("limits:\n  \"nvidia.com/gpu\": 1").at("limits[\"nvidia.com/gpu\"]").to_string(), "2:3");
}

#[test]
fn columns_count_characters() {
    assert_eq!(one("{ä: 1, b: 2}").at("b").to_string(), "1:8");
}

#[test]
fn several_documents_are_read_and_empty_ones_left_out() {
    let (documents, errors) = read("---\na: 1\n---\n\n---\n# nothing\n---\nb: 2\n...\n");
    assert_eq!(errors, []);
    let keys: Vec<_> = documents.iter().map(|d| d.entries()[0].key.as_str()).collect();
    assert_eq!(keys, ["a", "b"]);
    assert_eq!(documents[1].span.line, 8);
    assert_eq!(read("").0, []);
}

#[test]
fn json_is_read_whatever_its_whitespace() {
    let node = one("\t{\n\t\t\"a\":\t[1, -2.5, true, null, \"\\ud83d\\ude00\\/\"],\r\n\t\t\"b\": {}\n\t}\n");
    let a: Vec<_> = node.get("a").unwrap().items().iter().map(|item| item.value.clone()).collect();
    let expected = [Scalar::Int(1), Scalar::Float(-2.5), Scalar::Bool(true), Scalar::Null, text("😀/")];
    assert_eq!(a, expected.map(Value::Scalar));
    assert_eq!(node.at("b").to_string(), "3:3");
    assert_eq!(read("{\"a\": 1}\n{\"b\": 2}").0.len(), 2);
}

#[test]
fn a_key_that_stands_twice_is_an_error_with_both_places() {
    assert_eq!(
        errors("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n"),
        [
            "4:3 key \"c\" is already set at line 3, column 3",
            "5:1 key \"a\" is already set at line 1, column 1",
        ]
    );
    assert_eq!(errors("{\"a\": 1,\n \"a\": 2}"), ["2:2 key \"a\" is already set at line 1, column 2"]);
}

#[test]
fn aliases_and_merge_keys_unfold() {
    let node = one(
        "base: &b {x: 1, y: 2}\nmore: &m {z: 3}\nuse: {<<: *b, y: 5}\nboth:\n  <<: [*b, *m]\n  w: 4\nsame: *b\n",
    );
    let plain = one("{x: 1, y: 2}");
    let values = |node: &Node| {
        node.entries().iter().map(|e| (e.key.clone(), e.value.value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(node.get("same").unwrap()), values(&plain));
    let mut used = values(node.get("use").unwrap());
    used.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(used, values(&one("{x: 1, y: 5}")));
    assert_eq!(node.get("both").unwrap().entries().len(), 4);
    assert_eq!(errors("a: {<<: 5}"), ["1:9 `<<` merges mappings, but this is an integer"]);
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = "a0: &a0 [xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    let found = errors(&bomb);
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with("the aliases unfold to more than 16777216 bytes"), "{found:?}");
    assert_eq!(errors("a: &a [*a]"), ["1:8 the alias refers to a value that it is part of"]);
}

#[test]
fn nesting_without_end_is_refused() {
    for text in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "[".repeat(100_000) + &"]".repeat(100_000),
        "[".repeat(300) + &"]".repeat(300),
    ] {
        let found = errors(&text);
        assert_eq!(found.len(), 1, "{}", &text[..4]);
    }
}

#[test]
fn what_is_no_text_is_refused_with_its_place() {
    assert_eq!(
        errors("a: 1\nb: \u{0}"),
        ["2:4 the file holds the control character U+0000, which YAML does not allow"]
    );
    assert_eq!(
        errors("a: \u{1b}[0m"),
        ["1:4 the file holds the control character U+001B, which YAML does not allow"]
    );
    let error = decode(b"a: 1\nb: \xff\xfe").unwrap_err();
    assert_eq!(
        (error.at().to_string(), error.to_string()),
        ("2:4".into(), "the file is not UTF-8 text: byte 0xff".into())
    );
    assert_eq!(one("\u{feff}a: 1").at("a").to_string(), "1:1");
}

#[test]
fn utf_16_is_text_where_its_mark_says_so() {
    assert_eq!(decode(b"\xff\xfea\0:\0 \0\xe9\0").unwrap(), "\u{feff}a: é");
    assert_eq!(decode(b"\xfe\xff\0a\0:\0 \0\xe9").unwrap(), "\u{feff}a: é");
    assert!(decode(b"\xff\xfea\0:").is_err(), "half a letter");
}

#[test]
fn a_tab_may_stand_between_a_key_and_its_value() {
    let node = one("a:\tb\nc: {d:\t\t-1, e:\t\"f:\tg\"}\n");
    assert_eq!(node, one("a: b\nc: {d:  -1, e: \"f:\tg\"}\n"));
}

#[test]
fn tabs_are_spaces_between_keys_and_values_alone_however_many_there_are() {
    let many: String = (0..3000).map(|n| format!("k{n}:\tv\n")).collect();
    let text = format!(
        "{many}q: \"x:\ty\"\ns:\t'x:\ty\n  z:\t\ty'\nb: |\n  x:\ty\nf:\t>-\n  x:\ty\nl: [\n  x:\tz,\n]\n"
    );
    let node = one(&text);
    assert_eq!(node.entries().len(), 3005);
    let said = |key: &str| node.get(key).and_then(Node::as_str).unwrap_or_default();
    assert_eq!(
        [said("k2999"), said("q"), said("s"), said("b"), said("f")],
        ["v", "x:\ty", "x:\ty z:\t\ty", "x:\ty\n", "x:\ty"]
    );
    assert_eq!(node.find("l[0].x").unwrap().as_str(), Some("z"));
    assert_eq!(node.at("l").to_string(), "3008:1");
}

#[test]
fn a_large_text_is_not_parsed_again_and_again() {
    let closed = "- c: {\n  }\n".repeat(80);
    assert_eq!(errors(&closed).len(), 0);
    let large = format!("{closed}# {}\n", "x".repeat(1 << 20));
    assert_eq!(errors(&large).len(), 1);
}

#[test]
fn a_tag_calls_a_value_what_it_is() {
    for text in ["!!int \"3\"", "!!float 1", "!!null ''", "!!bool yes", "!!str 3", "!own x"] {
        assert!(errors(&format!("a: {text}")).is_empty(), "{text}");
    }
    for own in ["!int 5", "!null x", "!bool nope", "!<int> 5"] {
        let value = own.split_once(' ').map(|(_, value)| value).unwrap_or_default();
        assert_eq!(scalar(own), text(value), "{own} is a tag of one's own");
    }
    assert_eq!(errors("a: !!null x"), ["1:4 cannot decode !!str `x` as a !!null"]);
    assert_eq!(errors("a: !!int 1.5"), ["1:4 cannot decode !!float `1.5` as a !!int"]);
}

#[test]
fn what_is_no_yaml_is_refused_with_its_place() {
    assert_eq!(errors("a:\n\tb: 1\n").len(), 1);
    assert!(errors("a:\n\tb: 1\n")[0].contains("indented with a tab"), "{:?}", errors("a:\n\tb: 1\n"));
    assert!(errors("a: \"x\nb: 1\n")[0].contains("not valid YAML"));
    assert_eq!(errors("a: {{x}}\n").len(), 1);
    assert_eq!(errors("a: *nothing\n").len(), 1);
}

#[test]
fn quotes_and_brackets_may_close_at_the_indentation_of_their_key() {
    let node = one("a:\n  args: [\"\n    one &&\n    two\n  \"]\n  b: [\n    x\n  ]\nc: 1\n");
    assert_eq!(node.find("a.args[0]").unwrap().as_str(), Some(" one && two "));
    assert_eq!(node.find("a.b[0]").unwrap().as_str(), Some("x"));
    let node = one("a:\n  b: [\n    x\n  ]\n  c: {d: 1,\n  }\n  e: 2\n");
    assert_eq!(node.at("a.e").to_string(), "7:3");
}

#[test]
fn aliases_do_not_nest_deeper_than_values_may() {
    let mut text = "a0: &a0 x\n".to_owned();
    for level in 1..50 {
        text += &format!("a{level}: &a{level} {}*a{}{}\n", "[".repeat(50), level - 1, "]".repeat(50));
    }
    assert_eq!(errors(&text), ["5:59 values are nested more than 200 levels deep"]);
}

/// Cuts and mutations of a real manifest never panic, and what cannot be read says where.
#[test]
fn damaged_text_is_never_a_panic() {
    let whole = include_str!("../../tests/fixtures/article-train-until-accurate.yaml");
    let signs = [
        "\"", "'", "[", "}", "{{", ": ", "\n", "- ", "&a ", "*a ", "|", "\t", "#", "!", "%", "\u{feff}", "ä",
        "<<: ",
    ];
    let boundaries: Vec<usize> = whole.char_indices().map(|(at, _)| at).collect();
    for (step, at) in boundaries.iter().copied().enumerate().filter(|(step, _)| step % 7 == 0) {
        let sign = signs[step % signs.len()];
        for damaged in [whole[..at].to_owned(), format!("{}{sign}{}", &whole[..at], &whole[at..])] {
            let (documents, errors) = read(&damaged);
            let lines = u32::try_from(damaged.lines().count()).unwrap() + 1;
            assert!(errors.iter().all(|error| error.at().line <= lines));
            let parsed = crate::parse::parse("damaged.yaml", &damaged);
            let _ = crate::check::check(&parsed.documents, &crate::check::Options::default());
            assert!(documents.len() <= 3);
        }
    }
}
