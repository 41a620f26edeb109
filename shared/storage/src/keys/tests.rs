use std::path::Path;

use proptest::prelude::*;

use super::*;

#[test]
fn ordinary_keys_are_ordinary_paths() {
    for key in ["churn/data.csv", "Kündigungen 2026 (neu).csv", "100%.csv", ".hidden/a=b,c", "a%2e"] {
        assert_eq!(key_path(key).unwrap(), Path::new(key));
    }
}

#[test]
fn odd_keys_stay_inside_and_differ() {
    let stored = [
        ("../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd"),
        ("./a", "%2E/a"),
        ("a//b", "a/%/b"),
        ("a/", "a/%"),
        ("/a", "%/a"),
        ("%", "%25"),
        ("a%41", "a%2541"),
        ("a%-", "a%25-"),
        ("%+a", "%25+a"),
        ("a\nb\0", "a%0Ab%00"),
    ];
    for (key, path) in stored {
        assert_eq!(key_path(key).unwrap(), Path::new(path), "{key:?}");
        assert_eq!(key_of(Path::new(path)).as_deref(), Some(key));
    }
}

#[test]
fn a_long_component_goes_on_below() {
    let key = format!("{}/x", "ü".repeat(200));
    let path = key_path(&key).unwrap();
    assert_eq!(path, Path::new(&"ü".repeat(126)).join(format!("%+{}", "ü".repeat(74))).join("x"));
    assert_eq!(key_of(&path), Some(key));
}

#[test]
fn keys_that_s3_refuses_are_refused() {
    for key in [String::new(), "a".repeat(1025)] {
        assert!(matches!(key_path(&key), Err(StoreError::BadName { what: "key", .. })));
    }
}

#[test]
fn an_object_beside_a_folder_has_the_folders_key() {
    assert_eq!(key_of(&beside_folder(Path::new("a/b"))).as_deref(), Some("a/b"));
}

#[test]
fn paths_that_no_key_has_have_no_key() {
    use std::os::unix::ffi::OsStrExt;
    let not_utf8 = Path::new(std::ffi::OsStr::from_bytes(b"caf\xe9.csv"));
    for path in ["a%20b", "%FF", "../a", "/a", "%+a", "%41%+"].map(Path::new).into_iter().chain([not_utf8]) {
        assert_eq!(key_of(path), None, "{path:?}");
    }
}

#[test]
fn names_are_one_component_and_never_ours() {
    assert_eq!(name("run", "a/b").unwrap(), "a%2Fb");
    assert_eq!(name("run", ".tmp").unwrap(), "%2Etmp");
    assert_eq!(name("run", "..").unwrap(), "%2E%2E");
    assert_eq!(name("run", "größe").unwrap(), "größe");
    assert!(matches!(name("run", ""), Err(StoreError::BadName { .. })));
    assert!(matches!(name("run", &"a".repeat(254)), Err(StoreError::BadName { .. })));
}

#[test]
fn the_layout_is_for_ever() {
    let (run, attempt) = (RunUid::from("u-1"), AttemptId::from("wf-train-0123"));
    let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let paths = [
        live(&run),
        spec(&run),
        command(&run, &"c-1".into()),
        journal(&run),
        self::attempt("default", &attempt),
        log("default", &attempt, "main"),
        index_entry("default", at, &run),
        document("triggers/default/churn/state.json"),
        object_path("models", "churn/latest.json"),
    ];
    let paths: Vec<_> = paths.map(|path| path.unwrap().display().to_string()).to_vec();
    assert_eq!(
        paths,
        [
            "live/u-1",
            "runs/a2/u-1/spec.json",
            "runs/a2/u-1/inbox/c-1.json",
            "journals/a2/u-1.journal",
            "attempts/default/wf-train-0123",
            "logs/default/wf-train-0123/main",
            "index/default/251634977754999999-u-1.json",
            "triggers/default/churn/state.json",
            "models/churn/latest.json",
        ]
    );
}

#[test]
fn newer_entries_sort_first() {
    let entry = |at: &str| index_entry("d", at.parse().unwrap(), &"u".into()).unwrap();
    let times = [
        "9999-12-30T00:00:00Z",
        "2026-01-02T03:04:05.000001Z",
        "2026-01-02T03:04:05Z",
        "1969-01-01T00:00:00Z",
    ];
    let paths = times.map(entry);
    assert!(paths.is_sorted(), "{paths:?}");
}

#[test]
fn documents_never_lie_among_runs_or_locks() {
    for key in
        ["runs/00/u/spec.json", "owner.lock", ".tmp/x", "live/u", "triggers//x", "triggers/x/", "", "/a/b"]
    {
        assert!(matches!(document(key), Err(StoreError::BadName { what: "document", .. })), "{key:?}");
    }
}

#[test]
fn bucket_names_are_s3s() {
    for good in ["uploads", "a-b.c", "0ab"] {
        check_bucket(good).unwrap();
    }
    for bad in ["", "ab", "Uploads", "a_b", "-ab", "ab.", "a..b", "../ab", &"a".repeat(64)] {
        assert!(check_bucket(bad).is_err(), "{bad:?}");
    }
}

/// Text full of what escaping is about.
fn odd_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("%".to_owned()),
        Just("/".to_owned()),
        Just(".".to_owned()),
        Just("%+".to_owned()),
        Just("%-".to_owned()),
        Just("%2E".to_owned()),
        Just("\0".to_owned()),
        Just("é".repeat(60)),
        Just("x".repeat(126)),
        "[A-F0-9]{1,2}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 1..9).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn every_key_comes_back_from_its_path(key in odd_text()) {
        let path = key_path(&key).unwrap();
        prop_assert_eq!(key_of(&path), Some(key.clone()));
        prop_assert_eq!(key_of(&beside_folder(&path)), Some(key));
    }

    #[test]
    fn every_path_is_made_of_plain_names(key in odd_text()) {
        for component in key_path(&key).unwrap().components() {
            let Component::Normal(name) = component else { panic!("{component:?}") };
            // With `%-` behind it, it is still a name that the system takes.
            prop_assert!(name.len() + 2 <= 255);
        }
    }

    #[test]
    fn every_name_comes_back_from_its_component(text in odd_text()) {
        if let Ok(component) = name("run", &text) {
            prop_assert!(!component.contains('/') && !component.starts_with('.'));
            prop_assert_eq!(name_of(&component), Some(text));
        }
    }

    #[test]
    fn a_path_has_at_most_one_key(path in odd_text()) {
        if let Some(key) = key_of(Path::new(&path)) {
            let stored = key_path(&key).unwrap();
            prop_assert!(Path::new(&path) == stored || Path::new(&path) == beside_folder(&stored));
        }
    }
}
