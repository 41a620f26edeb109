use std::collections::BTreeMap;

use super::*;

const BASE: [(&str, &str); 9] = [
    ("DROPFORGE_CONTROL_BUCKET", "control"),
    ("DROPFORGE_ARTIFACT_BUCKET", "artifacts"),
    ("AWS_REGION", "eu-west-1"),
    ("DROPFORGE_EVENTS_QUEUE_URL", "https://sqs/events"),
    ("DROPFORGE_EVENTS_QUEUE_ARN", "arn:events"),
    ("DROPFORGE_UPLOAD_QUEUE_URL", "https://sqs/uploads"),
    ("DROPFORGE_UPLOAD_QUEUE_ARN", "arn:uploads"),
    ("DROPFORGE_SCHEDULE_GROUP", "stack"),
    ("DROPFORGE_SCHEDULER_ROLE_ARN", "arn:role"),
];

const CLUSTER: [(&str, &str); 4] = [
    ("DROPFORGE_KUBECONFIG", "/var/task/kubeconfig"),
    ("DROPFORGE_NAMESPACES", "ml, other,"),
    ("DROPFORGE_EXECUTOR_IMAGE", "registry/executor:1"),
    ("DROPFORGE_POD_DEFAULTS", r#"{"labels":{"team":"a"}}"#),
];

fn read<T>(variables: &[(&'static str, &'static str)], with: impl Fn(&mut Reader) -> T) -> Result<T, String> {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let mut reader = Reader::new(move |name| variables.get(name).map(|value| (*value).to_owned()));
    let read = with(&mut reader);
    reader.done(read).map_err(|problems| problems.to_string())
}

#[test]
fn the_environment_becomes_settings() {
    let settings = read(&BASE, Reader::settings).unwrap();
    let stores = Stores {
        control: "control".to_owned(),
        artifacts: "artifacts".to_owned(),
        region: "eu-west-1".to_owned(),
        endpoint: None,
    };
    let queue = |name: &str| Queue { url: format!("https://sqs/{name}"), arn: format!("arn:{name}") };
    let expected = Settings {
        stores,
        events: queue("events"),
        uploads: queue("uploads"),
        schedule_group: "stack".to_owned(),
        scheduler_role_arn: "arn:role".to_owned(),
    };
    assert_eq!(settings, expected);
    let cluster = read(&CLUSTER, Reader::cluster).unwrap();
    assert_eq!(cluster.reach, Reach::Kubeconfig("/var/task/kubeconfig".into()));
    assert_eq!(cluster.namespaces, ["ml", "other"]);
    assert_eq!(cluster.pod_defaults.labels["team"], "a");
}

#[test]
fn who_has_a_dispatch_function_needs_no_cluster_and_that_function_needs_nothing_else() {
    let of_advance =
        [("DROPFORGE_DISPATCH_FUNCTION", "arn:dispatch:live"), CLUSTER[0], CLUSTER[1], CLUSTER[2]];
    let cluster = read(&of_advance, Reader::cluster).unwrap();
    assert_eq!(cluster.reach, Reach::Function("arn:dispatch:live".to_owned()));
    let of_dispatch = [of_advance[0], BASE[2], CLUSTER[0], CLUSTER[1]];
    let expected = DispatchSettings {
        region: "eu-west-1".to_owned(),
        reach: Reach::Kubeconfig("/var/task/kubeconfig".into()),
        namespaces: vec!["ml".to_owned(), "other".to_owned()],
    };
    assert_eq!(read(&of_dispatch, Reader::dispatch), Ok(expected));
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_what_to_do() {
    let told = read(&BASE[2..], Reader::settings).unwrap_err();
    let expected = "read the settings of this function from its environment; DROPFORGE_CONTROL_BUCKET: it is not set; \
                    set it to the bucket of runs and journals; DROPFORGE_ARTIFACT_BUCKET: it is not set; set it to the \
                    bucket of artifacts";
    assert_eq!(told, expected);
    let told = read(&[("DROPFORGE_POD_DEFAULTS", "{\"label\":1}")], Reader::cluster).unwrap_err();
    for part in [
        "DROPFORGE_CLUSTER_NAME: it is not set; set it to the name of the EKS cluster, or set DROPFORGE_KUBECONFIG",
        "DROPFORGE_CLUSTER_ENDPOINT",
        "DROPFORGE_CLUSTER_CA",
        "DROPFORGE_NAMESPACES",
        "DROPFORGE_EXECUTOR_IMAGE",
        "DROPFORGE_POD_DEFAULTS: unknown field `label`",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn an_empty_variable_is_none() {
    let mut variables = BASE.to_vec();
    variables[0].1 = "";
    assert!(
        read(&variables, Reader::settings).unwrap_err().contains("DROPFORGE_CONTROL_BUCKET: it is not set")
    );
}

#[test]
fn runs_that_start_by_themselves_have_the_deployments_defaults() {
    let variables = [
        ("DROPFORGE_NAMESPACES", "ml"),
        (
            "DROPFORGE_WORKFLOW_DEFAULTS",
            r#"{"metadata":{"labels":{"team":"a"}},"spec":{"activeDeadlineSeconds":9}}"#,
        ),
        ("DROPFORGE_DAYS_MAX", "30"),
    ];
    let StartSettings { namespaces, site } = read(&variables, Reader::starts).unwrap();
    assert_eq!((namespaces, site.days_max), (vec!["ml".to_owned()], Some(30)));
    assert_eq!(site.defaults.metadata.labels["team"], "a");
    assert_eq!(read(&variables[..1], Reader::starts).unwrap().site, Site::default());
    let wrong = [
        variables[0],
        ("DROPFORGE_WORKFLOW_DEFAULTS", r#"{"spec":{"paralelism":1}}"#),
        ("DROPFORGE_DAYS_MAX", "0"),
    ];
    let told = read(&wrong, Reader::starts).unwrap_err();
    assert!(told.contains("DROPFORGE_WORKFLOW_DEFAULTS") && told.contains("paralelism"), "{told}");
    assert!(told.contains("DROPFORGE_DAYS_MAX: it is no number of days"), "{told}");
}
