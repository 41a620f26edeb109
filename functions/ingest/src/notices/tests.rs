use dropforge_driver::reminders::Starter;

use super::*;

fn announced(key: &str, version: Option<&str>, sequencer: &str) -> Announced {
    Announced {
        bucket: "uploads".to_owned(),
        key: key.to_owned(),
        version_id: version.map(str::to_owned),
        sequencer: sequencer.to_owned(),
    }
}

fn objects(objects: &[Announced]) -> Message {
    Message::Notice(Notice::Objects(objects.to_vec()))
}

#[test]
fn events_of_s3_name_written_objects_with_decoded_keys() {
    let expected = [
        announced("up/sp ace+é.json", Some("096fKKXTRTtl3on89fVO.nfljtsv6qko"), "0055AED6DCD90281E5"),
        announced("../100%.csv", None, "0055AED6DCD90281E6"),
    ];
    assert_eq!(read(include_str!("../fixtures/s3.json")), objects(&expected));
}

#[test]
fn in_events_of_eventbridge_keys_are_as_they_are() {
    let expected =
        announced("up/sp ace+é%2B.json", Some("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"), "617f08299329d189");
    assert_eq!(read(include_str!("../fixtures/eventbridge.json")), objects(&[expected]));
}

#[test]
fn a_test_event_and_other_kinds_say_nothing() {
    assert_eq!(read(include_str!("../fixtures/s3-test.json")), Message::Nothing);
    let tagged = include_str!("../fixtures/eventbridge.json").replace("Object Created", "Object Tags Added");
    assert_eq!(read(&tagged), Message::Nothing);
    assert_eq!(read(r#"{"Records":[]}"#), Message::Nothing);
    assert_eq!(read(r#"{"Records":[{"eventName":"ObjectTagging:Put"}]}"#), Message::Nothing);
}

#[test]
fn reminders_are_read_and_those_of_a_newer_version_left() {
    let nightly = Starter::CronWorkflow { namespace: "ml".to_owned(), name: "nightly".to_owned() };
    let text = Reminder::of(nightly.clone()).encode();
    assert_eq!(read(&text), Message::Notice(Notice::Remind(nightly)));
    assert_eq!(read(r#"{"format":7,"remind":{"planet":"mars"}}"#), Message::Newer(7));
}

#[test]
fn anything_else_is_garbage() {
    let key = |key: &str| {
        format!(
            r#"{{"Records":[{{"eventName":"ObjectCreated:Put","s3":{{"bucket":{{"name":"b"}},"object":{{"key":"{key}"}}}}}}]}}"#
        )
    };
    let deep = "[".repeat(100_000);
    let huge = format!("\"{}\"", "x".repeat(BODY_BYTES_MAX));
    let (long, no_text) = (key(&"x".repeat(1025)), key("%FF"));
    let texts = [
        "",
        "{",
        "null",
        "[]",
        "1",
        "{}",
        &deep,
        &huge,
        &long,
        &no_text,
        &key(""),
        r#"{"Records":{}}"#,
        r#"{"Records":[{}]}"#,
        r#"{"Event":"other"}"#,
        r#"{"detail-type":"Object Created","detail":{}}"#,
        r#"{"format":1,"remind":{"planet":"mars"}}"#,
        r#"{"format":1,"run":"u1","why":"sweep"}"#,
    ];
    for text in texts {
        let shown: String = text.chars().take(80).collect();
        assert!(matches!(read(text), Message::Garbage(_)), "{shown}");
    }
    assert!(matches!(read(&key(&"x".repeat(1024))), Message::Notice(_)));
}
