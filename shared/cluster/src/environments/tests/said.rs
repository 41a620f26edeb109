//! What is read from the lines of pip and uv, and from pip's settings.

use super::super::output::{Attempt, failure, phase};
use super::super::pip_settings::{Handed, PipSettings};
use super::*;

fn failed(offline: bool, is_resolving: bool, log: &str) -> Error {
    let options = Options { offline, ..Options::default() };
    let attempt = Attempt {
        environment: "e",
        options: &options,
        lock_file: Path::new("/p/dropforge.lock"),
        target: Path::new("/cache/e"),
        is_resolving,
    };
    failure(&attempt, &log.lines().map(str::to_owned).collect::<Vec<_>>())
}

#[test]
fn progress_is_read_from_the_lines_of_both_installers() {
    let downloading = |package: &str| Some(Phase::Downloading { package: package.to_owned() });
    let installing = |package: &str| Some(Phase::Installing { package: package.to_owned() });
    let building = |package: &str| Some(Phase::Building { package: package.to_owned() });
    let cases = [
        ("  Downloading six-1.16.0-py2.py3-none-any.whl (11 kB)", downloading("six 1.16.0 (11 kB)")),
        ("  Downloading https://h/a/six-1.16.0.tar.gz (34 kB)", downloading("six-1.16.0 (34 kB)")),
        ("  Downloading six-1.16.0-py2.py3-none-any.whl.metadata (1.8 kB)", None),
        ("Downloading numpy (15.9MiB)", downloading("numpy (15.9MiB)")),
        ("Installing collected packages: tzdata, six", installing("tzdata, six")),
        ("Prepared 3 packages in 27ms", installing("3 packages")),
        ("  Building wheel for old (setup.py): started", building("old")),
        ("   Building old==1.0", building("old==1.0")),
        ("Collecting six", None),
        ("Resolved 3 packages in 182ms", None),
    ];
    for (line, expected) in cases {
        assert_eq!((line, phase(line)), (line, expected));
    }
}

#[test]
fn a_full_disk_is_told_from_other_failures() {
    for line in
        ["ERROR: [Errno 28] No space left on device", "  cause: No space left on device (os error 28)"]
    {
        assert!(
            matches!(failed(true, false, line), Error::DiskFull { path, .. } if path == Path::new("/cache/e"))
        );
    }
    assert!(
        matches!(failed(false, false, "gcc: error"), Error::Install { tail, .. } if tail == "gcc: error")
    );
}

#[test]
fn an_index_that_does_not_answer_is_not_a_missing_package() {
    let pip = "WARNING: Retrying (Retry(total=0)) after connection broken\nERROR: No matching distribution found for six";
    let uv = "error: Failed to fetch: http://127.0.0.1:9/simple/six/\n  cause: error sending request";
    for log in [pip, uv] {
        assert!(matches!(failed(false, true, log), Error::Unreachable { .. }), "{log}");
    }
}

#[test]
fn reasons_are_read_from_each_installers_words() {
    let resolved = |log: &str| match failed(false, true, log) {
        Error::Resolve { package, reason, .. } => (package.unwrap_or_default(), reason),
        other => panic!("{other:?}"),
    };
    let pip = "ERROR: Could not find a version that satisfies the requirement six==99 (from versions: 1.0, 1.1, 1.2, 1.3, 1.4, 1.5)\nERROR: No matching distribution found for six==99";
    assert_eq!(
        resolved(pip),
        (
            "six".to_owned(),
            "no version fits; the newest for this Python are 1.1, 1.2, 1.3, 1.4, 1.5".to_owned()
        )
    );
    let framed = "  × No solution found when resolving dependencies:\n  ╰─▶ Because only six<=1.17.0 is available and you\n      require six>=99, we can conclude that your requirements are unsatisfiable.";
    let reason = "only six<=1.17.0 is available and you require six>=99, we can conclude that your requirements are unsatisfiable.";
    assert_eq!(resolved(framed), ("six".to_owned(), reason.to_owned()));
}

#[test]
fn passwords_of_addresses_are_not_kept() {
    let (status, transcript) = super::super::output::run(
        Command::new("sh")
            .args(["-c", "echo 'at https://me:secret@host/simple and http://h/@x' >&2; echo out; exit 3"]),
        Stdio::null(),
        &mut |_| (),
    )
    .unwrap();
    assert_eq!((status.code(), transcript.stdout.as_str()), (Some(3), "out\n"));
    assert!(
        transcript.log.contains(&"at https://****@host/simple and http://h/@x".to_owned()),
        "{transcript:?}"
    );
}

#[test]
fn pips_settings_become_uvs() {
    let settings = PipSettings::listed(
        "global.index-url='https://me:pw@index/simple'\nglobal.timeout='5'\ninstall.timeout='60'\n:env:.cert='/ca.pem'\n\
         global.extra-index-url='\\nhttps://a/simple\\nhttps://b/simple'\nglobal.proxy='http://proxy:3128'\n\
         global.find-links='/ /no/such/folder https://links'\nglobal.no-binary='x,y'\nglobal.pre='true'\ndownload.no-index='true'\n",
    );
    let environment = vec![
        ("UV_INDEX_URL", "https://me:pw@index/simple".to_owned()),
        ("UV_EXTRA_INDEX_URL", "https://a/simple https://b/simple".to_owned()),
        ("SSL_CERT_FILE", "/ca.pem".to_owned()),
        ("ALL_PROXY", "http://proxy:3128".to_owned()),
        ("UV_HTTP_TIMEOUT", "60".to_owned()),
        ("UV_INDEX_STRATEGY", "unsafe-best-match".to_owned()),
    ];
    let arguments = [
        "--find-links",
        "/",
        "--find-links",
        "https://links",
        "--no-binary",
        "x",
        "--no-binary",
        "y",
        "--prerelease=allow",
    ]
    .map(str::to_owned)
    .to_vec();
    assert_eq!(settings.for_uv(|_| false), Handed { environment, arguments });

    let set = [
        "UV_DEFAULT_INDEX",
        "UV_INDEX",
        "SSL_CERT_FILE",
        "https_proxy",
        "UV_HTTP_TIMEOUT",
        "UV_INDEX_STRATEGY",
    ];
    assert_eq!(settings.for_uv(|name| set.contains(&name)).environment, [], "what is set for uv stands");
}
