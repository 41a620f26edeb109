use super::*;

fn bind(target: &str, source: &str) -> Bind {
    Bind { source: source.into(), target: target.into(), read_only: false }
}

fn rewriting() -> Rewriting {
    let binds = [bind("/mnt", "/s/m"), bind("/mnt/data", "/mnt/real"), bind("/tmp/x.csv", "/s/x")];
    Rewriting::new(&binds, "refused").unwrap()
}

fn text(given: &str) -> String {
    rewriting().text(OsStr::new(given)).into_string().unwrap()
}

#[test]
fn paths_are_replaced_wherever_they_stand_as_paths() {
    let table = [
        ("/mnt/data", "/mnt/real"),
        ("/mnt/data/", "/mnt/real/"),
        ("cat /mnt/data/a /mnt/b", "cat /mnt/real/a /s/m/b"),
        ("--in=/mnt/data:/mnt", "--in=/mnt/real:/s/m"),
        ("open(\"/mnt/data\")", "open(\"/mnt/real\")"),
        ("open('/tmp/x.csv', 'w')", "open('/s/x', 'w')"),
        (">/mnt/data/a;", ">/mnt/real/a;"),
        ("file:///mnt/data/a", "file:///mnt/real/a"),
        ("Writes to /mnt/data.", "Writes to /mnt/real."),
    ];
    for (given, expected) in table {
        assert_eq!(text(given), expected);
    }
}

#[test]
fn what_only_looks_like_the_path_stays() {
    for given in [
        "/tmp/x.csv.gz",
        "/mntx",
        "x/mnt/data",
        "./mnt/data",
        "~/mnt/data",
        "$HOME/mnt",
        "${X}/mnt/data",
        "s3://bucket/mnt/data",
        "http://mnt/data",
        "/mnt$N",
        "/tmp/x",
        "\u{e9}/mnt",
        "/mnt\u{e9}",
    ] {
        assert_eq!(text(given), given);
    }
    assert_eq!(text("/mnt/database"), "/s/m/database");
}

#[test]
fn the_replacements_made_are_told_in_one_line() {
    let mut rewriting = rewriting();
    rewriting.text(OsStr::new("nothing here"));
    assert_eq!((rewriting.made(), rewriting.line()), (vec![], None));
    rewriting.text(OsStr::new("a /mnt/data b"));
    assert_eq!(rewriting.path(Path::new("/tmp/x.csv")), Path::new("/s/x"));
    let line = "no mount namespace here, so paths were replaced: /tmp/x.csv by /s/x, /mnt/data by /mnt/real";
    assert_eq!(rewriting.line().as_deref(), Some(line));
}

#[test]
fn a_path_is_moved_to_where_its_folder_is() {
    let mut rewriting = rewriting();
    let moved = |path: &str| rewriting.path(Path::new(path)).display().to_string();
    assert_eq!(
        ["/mnt/data", "/mnt/data/a/b", "/mnt/database", "/opt"].map(moved),
        ["/mnt/real", "/mnt/real/a/b", "/s/m/database", "/opt"]
    );
}

#[test]
fn the_last_bind_of_a_path_counts() {
    let mut rewriting = Rewriting::new(&[bind("/a", "/1"), bind("/a/", "/2")], "").unwrap();
    assert_eq!(rewriting.text(OsStr::new("/a/x")), "/2/x");
}

#[test]
fn bytes_that_are_no_text_survive() {
    let given = OsString::from_vec(b"\xff /mnt/\xfe".to_vec());
    assert_eq!(rewriting().text(&given), OsString::from_vec(b"\xff /s/m/\xfe".to_vec()));
}

#[test]
fn system_folders_are_refused_with_the_way_out() {
    for target in ["/", "/usr", "/bin", "/etc", "/usr//lib/"] {
        let error = Rewriting::new(&[bind(target, "/s")], "user namespaces are off").unwrap_err();
        assert!(matches!(error, RewriteError::System { .. }), "{target}");
        assert!(
            error.to_string().contains("user namespaces are off), so this step needs the container executor")
        );
    }
    assert!(Rewriting::new(&[bind("/etc/config", "/s"), bind("/tmp", "/t")], "").is_ok());
    let relative = RewriteError::Relative { target: "x".into() };
    assert_eq!(Rewriting::new(&[bind("x", "/s")], ""), Err(relative));
}
