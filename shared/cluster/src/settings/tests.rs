use super::*;
use crate::gpus::{Gpu, Gpus};
use dropforge_driver::supervision::EngineKind;

fn parse(text: &str) -> Result<Settings, Vec<String>> {
    Settings::parse(Path::new("/project/dropforge.toml"), text).map_err(|error| match error {
        Error::Invalid { findings } => findings.iter().map(Finding::to_string).collect(),
        Error::Read { .. } => vec![error.to_string()],
    })
}

fn good(text: &str) -> Settings {
    parse(text).unwrap()
}

fn wanted(text: &str) -> Option<Wanted> {
    Some(text.parse().unwrap())
}

const ONE_GPU: &str = "GPU-1";

fn gpus(count: usize) -> Gpus {
    Gpus(vec![Gpu { id: ONE_GPU.to_owned(), name: String::new(), memory_bytes: None }; count])
}

#[test]
fn a_whole_file_is_read() {
    let settings = good(
        r#"
executor = "podman"
[images."python:3.9"]
requirements = ["pandas==2.2.*", "joblib"]
[images."tensorflow/tensorflow:2.6.0-gpu"]
python = "3.8"
[images."tensorflow/tensorflow:2.6.0-gpu".without-gpu]
python = "3.11"
requirements = ["scikit-learn"]
code = ["standin/train.py"]
[code]
include = ["train_model.py", "src/**"]
exclude = ["src/old/**"]
[claims]
my-claim = "./folder"
[secrets]
folder = "my-secrets"
[pip]
wheels = "wheels"
offline = true
"#,
    );
    let stand_in = StandIn {
        requirements: Some(Requirements::new(["scikit-learn"])),
        python: wanted("3.11"),
        code: vec!["standin/train.py".to_owned()],
    };
    let expected = Settings {
        root: "/project".into(),
        file: Some("/project/dropforge.toml".into()),
        images: vec![
            Image {
                pattern: "python:3.9".to_owned(),
                place: Place { line: 3, column: 9 },
                requirements: Some(Requirements::new(["joblib", "pandas==2.2.*"])),
                python: None,
                without_gpu: None,
                cluster: OnCluster::default(),
            },
            Image {
                pattern: "tensorflow/tensorflow:2.6.0-gpu".to_owned(),
                place: Place { line: 5, column: 9 },
                requirements: None,
                python: wanted("3.8"),
                without_gpu: Some(stand_in),
                cluster: OnCluster::default(),
            },
        ],
        code: Code {
            include: vec!["train_model.py".to_owned(), "src/**".to_owned()],
            exclude: vec!["src/old/**".to_owned()],
        },
        claims: BTreeMap::from([("my-claim".to_owned(), "/project/folder".into())]),
        secrets: "/project/my-secrets".into(),
        config_maps: "/project/.dropforge/config-maps".into(),
        pip: Pip { wheels: Some("/project/wheels".into()), offline: true },
        executor: Executor::Engine(EngineKind::Podman),
        site: Site::default(),
    };
    assert_eq!(settings, expected);
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_the_nearest_key() {
    let text =
        "[images.\"a\"]\nrequirement = [\"six\"]\npython = 3.9\n[cod]\n[pip]\noffline = \"yes\"\nfoo = 1\n";
    let expected = [
        "/project/dropforge.toml:2:1: `requirement` is not a key of [images.\"a\"]; did you mean `requirements`?",
        "/project/dropforge.toml:3:10: here stands a value of type float, where a string belongs",
        "/project/dropforge.toml:4:2: `cod` is not a key of the settings; did you mean `code`?",
        "/project/dropforge.toml:6:11: here stands a value of type string, where true or false belongs",
        "/project/dropforge.toml:7:1: `foo` is not a key of [pip]; known are wheels, offline",
    ];
    assert_eq!(parse(text).unwrap_err(), expected);
}

#[test]
fn an_executor_that_there_is_not_is_named_with_those_there_are() {
    let expected =
        "/project/dropforge.toml:1:12: `rkt` is no executor; write \"process\", \"docker\" or \"podman\"";
    assert_eq!(parse("executor = \"rkt\"\n").unwrap_err(), [expected]);
}

#[test]
fn what_is_not_toml_is_told_with_its_place() {
    let findings = parse("[pip]\noffline = \n").unwrap_err();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].starts_with("/project/dropforge.toml:2:"), "{findings:?}");
}

#[test]
fn a_python_2_an_editable_requirement_and_a_glob_that_leads_out_are_refused() {
    let text =
        "[images.a]\npython = \"2.7\"\nrequirements = [\"-e .\"]\n[code]\ninclude = [\"../x\", \"a[\"]\n";
    let findings = parse(text).unwrap_err();
    let places: Vec<&str> = findings.iter().filter_map(|one| one.split(": ").next()).collect();
    let file = "/project/dropforge.toml";
    let expected =
        [(2, 10), (3, 17), (5, 12), (5, 20)].map(|(line, column)| format!("{file}:{line}:{column}"));
    assert_eq!(places, expected, "{findings:?}");
}

#[test]
fn requirements_and_a_file_of_them_together_are_refused() {
    let text = "[images.a]\nrequirements = []\nrequirements-file = \"r.txt\"\n";
    let expected = "/project/dropforge.toml:3:21: [images.\"a\"] has both `requirements` and `requirements-file`; keep one of them";
    assert_eq!(parse(text).unwrap_err(), [expected]);
}

#[test]
fn a_requirements_file_is_read_with_those_it_names_and_without_comments() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(FILE_NAME, "[images.a]\nrequirements-file = \"r.txt\"\n");
    write(
        "r.txt",
        "# all\n--extra-index-url https://h/simple#x\nsix==1.16.0 \\\n  --hash=sha256:aa # why\n-r more.txt\n",
    );
    write("more.txt", "Pandas\nsix==1.16.0 --hash=sha256:aa\n");
    let settings = Settings::load(folder.path()).unwrap();
    let expected = Requirements {
        packages: vec!["Pandas".to_owned(), "six==1.16.0 --hash=sha256:aa".to_owned()],
        options: vec!["--extra-index-url https://h/simple#x".to_owned()],
    };
    assert_eq!(settings.images[0].requirements, Some(expected));
}

#[test]
fn mistakes_of_a_requirements_file_are_told_with_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        FILE_NAME,
        "[images.a]\nrequirements-file = \"r.txt\"\n[images.b]\nrequirements-file = \"none.txt\"\n",
    );
    write("r.txt", "six\n-c limits.txt\n-r r.txt\n");
    let Err(Error::Invalid { findings }) = Settings::load(folder.path()) else { panic!("must be refused") };
    let root = folder.path();
    let places: Vec<_> = findings.iter().map(|one| (one.file.clone(), one.place.line)).collect();
    let expected = [(root.join(FILE_NAME), 4), (root.join("r.txt"), 2), (root.join("r.txt"), 3)];
    assert_eq!(places, expected, "{findings:?}");
}

#[test]
fn without_a_file_there_are_defaults() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Settings::load(folder.path()).unwrap(), Settings::defaults(folder.path()));
}

#[test]
fn names_of_secrets_do_not_lead_out_of_their_folder() {
    let settings = Settings::defaults(Path::new("/p"));
    assert_eq!(settings.secret("db", "user"), Some("/p/.dropforge/secrets/db/user".into()));
    for (name, key) in
        [("..", "user"), ("db", "../x"), ("/etc", "passwd"), ("a/b", "c"), ("", "c"), ("a/", "c")]
    {
        assert_eq!((name, settings.secret(name, key)), (name, None));
    }
}

#[test]
fn a_star_matches_any_run_of_characters() {
    let cases = [
        ("python:3.9", "python:3.9", true),
        ("python:3.9", "python:3.9-slim", false),
        ("python:3.9*", "python:3.9-slim", true),
        ("*", "", true),
        ("*/train:*", "registry:5000/a/train:1", true),
        ("a*b*b", "ab", false),
        ("a*b", "ab", true),
        ("*ab", "aab", true),
        ("a*bc*d", "abcbcd", true),
        ("a*d", "abc", false),
    ];
    for (pattern, image, expected) in cases {
        assert_eq!((pattern, image, image::matches(pattern, image)), (pattern, image, expected));
    }
}

#[test]
fn the_most_specific_pattern_wins() {
    let settings = good(
        "[images]\n\"*\" = {}\n\"python:*\" = {}\n\"python:3*\" = {}\n\"python:3.9\" = {}\n\"*:3*\" = {}\n",
    );
    let pattern = |name: &str| settings.image(name).map(|image| image.pattern.as_str());
    assert_eq!(pattern("python:3.9"), Some("python:3.9"));
    assert_eq!(pattern("python:3.10"), Some("python:3*"));
    assert_eq!(pattern("python:2"), Some("python:*"));
    assert_eq!(pattern("alpine"), Some("*"));
    assert_eq!(pattern("alpine:3.1"), Some("*:3*"));
}

#[test]
fn a_python_image_says_its_version() {
    let cases = [
        ("python:3.9", Some(wanted("3.9"))),
        ("python:3.9-slim-bookworm", Some(wanted("3.9"))),
        ("python:3.9.18@sha256:00", Some(wanted("3.9.18"))),
        ("python:3.13.0rc1-slim", Some(wanted("3.13"))),
        ("python:3", Some(wanted("3"))),
        ("python:slim", Some(None)),
        ("python", Some(None)),
        ("docker.io/library/python:3.12", Some(wanted("3.12"))),
        ("mirror:5000/library/python", Some(None)),
        ("me/python-app:3.9", None),
        ("me/python:3.9", None),
        ("amazon/aws-cli", None),
    ];
    for (name, expected) in cases {
        assert_eq!((name, image::python(name)), (name, expected));
    }
}

const SETTINGS: &str = r#"
[images."python:3.9"]
requirements = ["six"]
[images."tf:2-gpu"]
requirements = ["tensorflow"]
python = "3.8"
[images."tf:2-gpu".without-gpu]
requirements = ["scikit-learn"]
code = ["standin/train.py"]
[images.plain]
python = "3.11"
[code]
include = ["train.py"]
"#;

#[test]
fn an_image_with_requirements_runs_in_an_environment_of_its_tags_python() {
    let plan = plan("python:3.9", &good(SETTINGS), &gpus(0));
    let expected = ImagePlan {
        name: "python:3.9".to_owned(),
        runs: Runs::Environment { requirements: Requirements::new(["six"]), python: wanted("3.9") },
        code: CodeFiles { include: vec!["train.py".to_owned()], ..CodeFiles::default() },
        is_stand_in: false,
        said: None,
    };
    assert_eq!(plan, expected);
}

#[test]
fn a_stand_in_replaces_what_it_names_only_where_there_is_no_gpu() {
    let settings = good(SETTINGS);
    let with = plan("tf:2-gpu", &settings, &gpus(1));
    assert_eq!(
        with.runs,
        Runs::Environment { requirements: Requirements::new(["tensorflow"]), python: wanted("3.8") }
    );
    assert_eq!((with.is_stand_in, with.said, with.code.replace), (false, None, Vec::new()));

    let without = plan("tf:2-gpu", &settings, &gpus(0));
    let expected = ImagePlan {
        name: "tf:2-gpu without a GPU".to_owned(),
        runs: Runs::Environment { requirements: Requirements::new(["scikit-learn"]), python: wanted("3.8") },
        code: CodeFiles {
            include: vec!["train.py".to_owned()],
            exclude: Vec::new(),
            replace: vec!["standin/train.py".to_owned()],
        },
        is_stand_in: true,
        said: Some(
            "no GPU on this machine: the stand-in for tf:2-gpu runs instead with scikit-learn, and the code standin/train.py"
                .to_owned(),
        ),
    };
    assert_eq!(without, expected);
}

#[test]
fn an_image_without_requirements_runs_with_a_plain_python_or_with_path() {
    let settings = good(SETTINGS);
    let runs = |image: &str| plan(image, &settings, &gpus(0)).runs;
    assert_eq!(runs("python:3.12-slim"), Runs::Python { python: wanted("3.12") });
    assert_eq!(runs("python"), Runs::Python { python: None });
    assert_eq!(runs("plain"), Runs::Python { python: wanted("3.11") });
    assert_eq!(runs("amazon/aws-cli"), Runs::Path);
}

#[test]
fn defaults_and_restrictions_of_workflows_are_read_with_argos_names() {
    let settings = good(
        "[workflow-defaults.metadata.labels]\nteam = \"ml\"\n[workflow-defaults.spec]\nactiveDeadlineSeconds = 3_600\ntemplateDefaults = { retryStrategy = { limit = 2 } }\n[workflow-restrictions]\ntemplate-referencing = \"Strict\"\n",
    );
    let (defaults, referencing) = (settings.site.defaults, settings.site.referencing);
    assert_eq!(defaults.metadata.labels["team"], "ml");
    assert_eq!(defaults.spec.active_deadline_seconds, Some(3600));
    let retries = defaults.spec.template_defaults.unwrap().retry_strategy.unwrap();
    assert_eq!(retries.limit.unwrap().as_str(), "2");
    assert_eq!(referencing, Some(dropforge_driver::births::Referencing::Strict));
    let wrong = parse(
        "[workflow-defaults.spec]\nparalelism = 1\n[workflow-restrictions]\ntemplate-referencing = \"Loose\"\n",
    );
    assert_eq!(
        wrong.unwrap_err(),
        [
            "/project/dropforge.toml:1:2: spec.paralelism: unknown field \"paralelism\"; did you mean `parallelism`?",
            "/project/dropforge.toml:4:24: `Loose` is no way of referencing templates; write \"Strict\" or \"Secure\"",
        ]
    );
}

#[test]
fn limits_of_runs_are_whole_numbers_above_zero() {
    let site = good("parallelism = 10\nnamespace-parallelism = 4\n").site;
    assert_eq!((site.parallelism, site.namespace_parallelism), (Some(10), Some(4)));
    let remedy = "write a whole number above 0, or nothing: then there is no limit";
    assert_eq!(
        parse("parallelism = 0\nnamespace-parallelism = \"4\"\n").unwrap_err(),
        [
            format!("/project/dropforge.toml:1:15: this is no number of runs; {remedy}"),
            format!("/project/dropforge.toml:2:25: this is no number of runs; {remedy}"),
        ]
    );
}
