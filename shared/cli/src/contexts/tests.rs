use super::*;

const OUTPUT: &str = r#"{"format": 1, "name": "forge", "region": "eu-central-1", "account": "123456789012",
 "control_bucket": "c", "artifact_bucket": "a", "upload_bucket": "u", "events_queue_url": "https://q/e",
 "cluster": {"name": "k", "endpoint": "https://k", "certificate_authority": "QQ==", "arn": "arn:k"},
 "namespaces": {"ml": {"service_account": "dropforge-step", "isolation": "pod", "model_prefixes": ["m/x/"]}},
 "executor_repository": null, "newer": {"than": "this"}}"#;

fn context() -> Context {
    Context {
        name: "cloud".to_owned(),
        namespace: Some("ml".to_owned()),
        profile: None,
        endpoint: None,
        kubeconfig: None,
        kube_context: None,
        any_cluster: false,
        deployment: Deployment::parse(OUTPUT).unwrap(),
    }
}

#[test]
fn a_context_is_kept_as_it_was_put() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep/contexts.toml");
    assert_eq!(Contexts::load(&file).unwrap(), Contexts::default(), "no file is no context");
    let mut contexts = Contexts::default();
    assert!(!contexts.put(context()));
    contexts.save(&file).unwrap();
    assert_eq!(Contexts::load(&file).unwrap().get("cloud"), Some(context()));
    assert!(contexts.remove("cloud") && !contexts.remove("cloud"));
}

#[test]
fn terraforms_output_is_read_alone_and_among_others() {
    let whole =
        format!(r#"{{"other": {{"value": 1}}, "dropforge": {{"sensitive": false, "value": {OUTPUT}}}}}"#);
    assert_eq!(Deployment::parse(&whole), Deployment::parse(OUTPUT));
    let why = |text: &str| Deployment::parse(text).unwrap_err();
    assert!(why("{}").contains("nothing was applied"));
    assert!(why(r#"{"other": {"value": 1}}"#).contains("no output `dropforge`"));
    assert!(why(r#"{"format": 2}"#).contains("knows format 1"));
    assert!(why(r#"{"format": 1}"#).contains("region"), "{}", why(r#"{"format": 1}"#));
    assert!(why("terraform: not found").contains("not JSON"));
}

#[test]
fn a_file_that_says_something_else_is_refused_with_what_is_wrong() {
    let why = |text: &str| Contexts::parse(text).unwrap_err();
    assert!(why("format = 2\nanything = 1").contains("knows format 1"));
    assert!(why("format = 1\n[contexts.a]\nregion = \"x\"").contains("region"));
}

#[test]
fn an_unknown_context_is_told_with_those_there_are() {
    let mut contexts = Contexts::default();
    let file = Path::new("/f");
    assert!(unknown("x", file, &contexts).contains("dropforge deploy"));
    contexts.put(context());
    assert_eq!(unknown("x", file, &contexts), "/f has no context \"x\"; there are: cloud");
}
