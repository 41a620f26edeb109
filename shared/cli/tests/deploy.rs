//! `deploy`, `doctor` and `redrive`, each against what it changes: a registry (`DROPFORGE_TEST_REGISTRY`, host:port), a
//! Kubernetes API server (`DROPFORGE_TEST_KUBECONFIG`) and an emulator of AWS (`AWS_ENDPOINT_URL`). Where only a failing
//! Terraform shows what is to be seen, a script stands in for it; tests/infra/run has a real one.

#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use aws_sdk_sqs::Client as Sqs;
use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_manifest::source;
use serde_json::{Value, json};

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod bench;

#[path = "support/api_server.rs"]
mod api_server;

use api_server::ApiServer;
use bench::{Answer, Bench};

/// A deployment of a test's own.
struct Place {
    bench: Bench,
    name: String,
    runtime: tokio::runtime::Runtime,
    sqs: Sqs,
    queues: Vec<String>,
}

fn named(variable: &str, test: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    if value.is_none() {
        println!("SKIPPED: {test} ({variable} names none)");
    }
    value
}

impl Place {
    /// None where there is no emulator.
    fn new(test: &str) -> Option<Place> {
        named("AWS_ENDPOINT_URL", test)?;
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let name = format!("{test}-{}", SystemClock.now().as_nanosecond());
        let (sqs, queues) = runtime.block_on(made(&name));
        Some(Place { bench: Bench::new(), name, runtime, sqs, queues })
    }

    /// Terraform's output, with more of it.
    fn outputs(&self, more: Value) {
        let Place { name, queues, .. } = self;
        let mut own = json!({"format": 1, "name": "test", "region": "us-east-1", "control_bucket": name,
            "artifact_bucket": name, "events_queue_url": queues[0], "upload_queue_url": queues[1],
            "dead_letter_queue_urls": {"events": queues[2], "uploads": queues[3]},
            "kubernetes_group": "dropforge:dispatcher",
            "namespaces": {name: {"service_account": "dropforge-step", "pod_security": "baseline"}}});
        own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.bench.write("outputs.json", json!({"dropforge": {"value": own}}).to_string());
    }

    fn dropforge(&self, arguments: &[&str]) -> Answer {
        let mut command = self.bench.command(arguments);
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        self.bench.start_command(&mut command).end()
    }

    fn deploy(&self, more: &[&str]) -> Answer {
        let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap();
        self.dropforge(&[&["deploy", "outputs.json", "--endpoint", &endpoint], more].concat())
    }

    fn send(&self, queue: usize, body: &str) {
        let sent = self.sqs.send_message().queue_url(&self.queues[queue]).message_body(body).send();
        self.runtime.block_on(sent).unwrap();
    }

    /// The texts in a queue, which keeps them.
    fn texts(&self, queue: usize) -> Vec<String> {
        let request = self.sqs.receive_message().queue_url(&self.queues[queue]).visibility_timeout(0);
        let request = request.max_number_of_messages(10).send();
        let messages = self.runtime.block_on(request).unwrap().messages;
        messages.into_iter().flatten().filter_map(|message| message.body).collect()
    }
}

async fn made(name: &str) -> (Sqs, Vec<String>) {
    let config = dropforge_aws::from_environment().await;
    let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
    aws_sdk_s3::Client::from_conf(s3).create_bucket().bucket(name).send().await.unwrap();
    let sqs = Sqs::new(&config);
    let mut queues = Vec::new();
    for queue in ["e", "u", "e-dead", "u-dead"] {
        let made = sqs.create_queue().queue_name(format!("{name}-{queue}")).send().await.unwrap();
        queues.push(made.queue_url.unwrap());
    }
    (sqs, queues)
}

/// The head of a static program, as far as `deploy` looks at it.
fn executor(machine: u8, rest: &str) -> Vec<u8> {
    let mut head = b"\x7fELF\x02\x01".to_vec();
    head.resize(18, 0);
    head.push(machine);
    head.push(0);
    head.extend(rest.as_bytes());
    head
}

#[test]
fn an_executor_is_pushed_once_and_never_replaced() {
    let Some(registry) = named("DROPFORGE_TEST_REGISTRY", "push") else { return };
    let Some(place) = Place::new("push") else { return };
    let repository = format!("{registry}/{}/executor", place.name);
    place.outputs(json!({"executor_repository": repository, "executor_image": format!("{repository}:1")}));
    place.bench.write("x86", executor(62, "one"));
    place.bench.write("arm", executor(183, "one"));
    place.bench.write("other", executor(62, "two"));
    // No cluster is reached: the image comes before it, and stays.
    let push = |files: &[&str]| {
        let mut all = vec!["--kubeconfig", "none"];
        files.iter().for_each(|file| all.extend(["--executor", file]));
        place.deploy(&all)
    };
    let missing = push(&[]).exits(3);
    assert!(missing.stderr.contains("shared/executor/build"), "{missing}");
    let first = push(&["x86", "arm"]).exits(3);
    assert!(first.stdout.contains(&format!("image {repository}:1 pushed")), "{first}");
    let again = push(&["arm", "x86"]).exits(3);
    assert!(again.stdout.contains(&format!("image {repository}:1 is there")), "{again}");
    assert!(push(&[]).exits(3).stdout.contains("is there"));
    let other = push(&["other"]).exits(3);
    assert!(other.stderr.contains("another executor_version"), "{other}");
    // Before Terraform names it, and no cluster is asked.
    let before = place.deploy(&["--push", "2", "--executor", "other", "--kubeconfig", "none"]).exits(0);
    assert!(before.stdout.contains(&format!("image {repository}:2 pushed")), "{before}");
    assert!(!place.bench.path(".config").exists(), "no context was kept");
    pulled(&place, &format!("{repository}:1"));
}

/// An engine takes the image, and knows what it starts.
fn pulled(place: &Place, image: &str) {
    let podman = |arguments: &[&str]| {
        let (root, run) = (place.bench.path("root"), place.bench.path("run"));
        let mut command = Command::new("podman");
        command.arg("--root").arg(root).arg("--runroot").arg(run).args(["--storage-driver", "vfs"]);
        command.args(arguments).output()
    };
    if podman(&["version"]).is_err() {
        println!("SKIPPED: pull of the executor's image (no podman)");
        return;
    }
    let got = podman(&["pull", "--tls-verify=false", "--arch", "arm64", image]).unwrap();
    assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
    let told = podman(&["image", "inspect", "--format", "{{.Architecture}} {{.Config.Entrypoint}}", image]);
    assert_eq!(String::from_utf8_lossy(&told.unwrap().stdout).trim(), "arm64 [/dropforge-executor]");
}

/// What Terraform says of a deployment with one namespace.
fn outputs() -> Value {
    json!({"dropforge": {"value": {"format": 1, "name": "test", "region": "r", "control_bucket": "c", "artifact_bucket": "a",
        "events_queue_url": "q", "namespaces": {"ml": {"service_account": "steps"}}}}})
}

/// What each namespace gets.
const OF_NAMESPACE: [&str; 5] = ["Namespace", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"];

/// The objects of a printed text.
fn documents(printed: &str) -> Vec<Value> {
    let (nodes, errors) = source::read(printed);
    assert!(errors.is_empty(), "{errors:?}: {printed}");
    nodes.iter().map(source::Node::json).collect()
}

#[test]
fn the_objects_are_printed_for_who_applies_them_otherwise() {
    let bench = Bench::new();
    bench.write("outputs.json", outputs().to_string());
    let print = |more: &[&str]| bench.dropforge(&[&["deploy", "outputs.json", "--print"], more].concat());
    let kinds = |answer: &Answer| -> Vec<String> {
        let all = documents(&answer.stdout);
        all.iter().map(|object| object["kind"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let plain = print(&[]).exits(0).says(&["left out", "--has", "auto-mode"]);
    assert_eq!(kinds(&plain), OF_NAMESPACE);
    let of_cluster: [(&str, &[&str]); 5] = [
        ("auto-mode", &["StorageClass", "NodePool"]),
        ("ebs-csi", &["StorageClass"]),
        ("ebs-csi,silent-gpus", &["StorageClass", "DaemonSet"]),
        ("auto-mode,default-class", &["NodePool"]),
        ("default-class", &[]),
    ];
    for (has, wanted) in of_cluster {
        let all = print(&["--has", has]).exits(0);
        assert_eq!(kinds(&all), [&OF_NAMESPACE, wanted].concat(), "{has}");
        assert!(!all.stderr.contains("left out"), "{has}: {all}");
    }
    for (has, provisioner) in [("auto-mode", "ebs.csi.eks.amazonaws.com"), ("ebs-csi", "ebs.csi.aws.com")] {
        let class = documents(&print(&["--has", has]).stdout).swap_remove(OF_NAMESPACE.len());
        assert_eq!(class["provisioner"], provisioner, "each driver has a class of its own");
    }
    print(&["--has", "gpus"]).exits(2).says(&["silent-gpus"]);
    bench.dropforge(&["deploy", "outputs.json", "--has", "auto-mode"]).exits(2).says(&["--print"]);
    assert!(!bench.path(".config").exists(), "no context was kept");
}

/// A folder of Terraform's, and a stand-in for the program, which notes its words and does what `script` says.
fn terraform(script: &str) -> Bench {
    let bench = Bench::new();
    bench.write("infra/main.tf", "");
    let text = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >\"$HOME/words\"\n{script}\n");
    // Another process writes it: a program that any process holds open for writing can't be started, and one that a test
    // beside this one starts at the moment inherits what this process holds.
    let write = "mkdir bin && printf %s \"$0\" >bin/terraform && chmod +x bin/terraform";
    let mut shell = Command::new("sh");
    shell.args(["-c", write, &text]).current_dir(bench.path(""));
    assert!(shell.status().unwrap().success());
    bench
}

/// `deploy infra --print`, where the only programs are those of the stand-in's folder.
fn print_of_folder(bench: &Bench) -> Answer {
    let mut command = bench.command(["deploy", "infra", "--print"]);
    bench.start_command(command.env("PATH", bench.path("bin"))).end()
}

#[test]
fn a_folder_of_terraforms_is_asked_for_its_outputs() {
    let bench = terraform(&format!("printf %s '{}'", outputs()));
    let printed = print_of_folder(&bench).exits(0);
    assert_eq!(documents(&printed.stdout).len(), OF_NAMESPACE.len(), "{printed}");
    let words = std::fs::read_to_string(bench.path("words")).unwrap();
    assert_eq!(words, "-chdir=infra\noutput\n-json\n-no-color\n");
}

#[test]
fn what_terraform_can_not_tell_is_told_with_what_to_do() {
    let refused = terraform("echo 'Error: Backend initialization required' >&2; echo '{}'; exit 1");
    print_of_folder(&refused).exits(3).says(&[
        "run terraform output -json",
        "infra",
        "Backend initialization required",
    ]);
    print_of_folder(&terraform("echo '{}'"))
        .exits(2)
        .says(&["infra: there are no outputs", "terraform apply"]);
    print_of_folder(&terraform(r#"echo '{"bucket": {"value": "b"}}'"#))
        .exits(2)
        .says(&["no output `dropforge`"]);
    print_of_folder(&terraform("echo 'no json'")).exits(2).says(&["infra: it is not JSON"]);
    let bench = Bench::new();
    bench.write("infra/main.tf", "");
    print_of_folder(&bench).exits(3).says(&["infra", "no terraform on the PATH", "install it"]);
}

/// A definition without pods: only a person is waited for.
const TEMPLATE: &str = "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: greet}\nspec:\n  \
                        entrypoint: main\n  templates: [{name: main, suspend: {}}]\n";

#[test]
fn deploy_applies_what_it_prints_and_stores_what_apply_names() {
    let Some(place) = Place::new("apply") else { return };
    place.outputs(json!({}));
    let server = ApiServer::start("ebs.csi.eks.amazonaws.com");
    place.bench.write("kubeconfig", server.kubeconfig());
    place.bench.write("pipelines/greet.yaml", TEMPLATE);
    let deploy = || place.deploy(&["--kubeconfig", "kubeconfig", "--apply", "pipelines"]);
    let deployed = deploy();
    for words in ["nodepool/dropforge-gpu applied", "context test kept", "workflowtemplate/greet created"] {
        assert!(deployed.stdout.contains(words), "{words}: {deployed}");
    }
    let printed = place.deploy(&["--print", "--has", "auto-mode"]).exits(0);
    assert_eq!(server.applied(), documents(&printed.stdout));
    let listed = place.dropforge(&["--context", "test", "template", "list"]).exits(0);
    assert!(listed.stdout.contains("greet"), "{listed}");
    let again = deploy();
    assert!(again.stdout.contains("workflowtemplate/greet unchanged"), "{again}");
    // Nothing is done where one is wrong.
    server.applied();
    place.bench.write("pipelines/other.yaml", TEMPLATE.replace("greet", "other"));
    place.bench.write("pipelines/wrong.yaml", TEMPLATE.replace("main, suspend", "main, suspnd"));
    let refused = deploy().exits(2).says(&["wrong.yaml", "suspnd"]);
    assert!(refused.stdout.is_empty() && server.applied().is_empty(), "{refused}");
    let listed = place.dropforge(&["--context", "test", "template", "list"]).exits(0);
    assert!(!listed.stdout.contains("other"), "{listed}");
}

#[test]
fn a_role_that_stays_as_somebody_else_has_set_it_fails_the_doctor() {
    let Some(place) = Place::new("stale") else { return };
    place.outputs(json!({}));
    let rbac = "rbac.authorization.k8s.io";
    let named = json!({"name": "dropforge-dispatcher", "namespace": place.name});
    let role = json!({"apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": named,
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get", "list", "delete"]}]});
    let binding = json!({"apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": named,
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "dropforge-dispatcher"},
        "subjects": [{"apiGroup": rbac, "kind": "Group", "name": "dropforge:dispatcher"}]});
    let held = vec![("roles/dropforge-dispatcher", role), ("rolebindings/dropforge-dispatcher", binding)];
    let server = ApiServer::holding("ebs.csi.aws.com", held);
    place.bench.write("kubeconfig", server.kubeconfig());
    let deployed = place.deploy(&["--kubeconfig", "kubeconfig"]).exits(1);
    for words in [
        format!("role/dropforge-dispatcher of {} stays as it is: Apply failed", place.name),
        format!("FAIL  rights of functions in {}: role/dropforge-dispatcher does not let", place.name),
        "create, get, list, delete persistentvolumeclaims".to_owned(),
        "list events".to_owned(),
    ] {
        assert!(deployed.stdout.contains(&words), "{words}: {deployed}");
    }
}

#[test]
fn a_kubeconfig_of_another_cluster_is_refused_before_it_is_asked_anything() {
    let bench = Bench::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let server = format!("http://{}", other.local_addr().unwrap());
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}], "users": [{"name": "u", "user": {}}]});
    bench.write("kubeconfig", kubeconfig.to_string());
    let own = "https://0123ABCD.gr7.eu-central-1.eks.amazonaws.com";
    let outputs = json!({"format": 1, "name": "test", "region": "eu-central-1", "control_bucket": "c",
        "artifact_bucket": "a", "events_queue_url": "q", "cluster": {"name": "research", "endpoint": own},
        "namespaces": {"ml": {"service_account": "steps"}}});
    bench.write("outputs.json", outputs.to_string());
    let deploy = |more: &[&str]| {
        bench.dropforge(&[&["deploy", "outputs.json", "--kubeconfig", "kubeconfig"], more].concat())
    };
    let refused = deploy(&[]).exits(3);
    for part in [&server, own, "research", "aws eks update-kubeconfig --region eu-central-1", "--any-cluster"]
    {
        assert!(refused.stderr.contains(part), "{part}: {refused}");
    }
    assert!(other.accept().is_err(), "it was asked something: {refused}");
    assert!(!bench.path(".config").exists(), "no context was kept");
    drop(other);
    let asked = deploy(&["--any-cluster"]).exits(3);
    assert!(asked.stderr.contains("the cluster does not answer"), "{asked}");
}

/// A Kubernetes in whose namespace `ml` another stack's functions have their rights, and which holds nothing else.
struct Kubernetes {
    kubeconfig: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Kubernetes {
    fn start() -> Kubernetes {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server}}], "users": [{"name": "u", "user": {}}]});
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                noted.lock().unwrap().extend(answered(connection.unwrap()));
            }
        });
        Kubernetes { kubeconfig: kubeconfig.to_string(), asked }
    }

    /// The requests that would change something.
    fn changes(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|line| !line.starts_with("GET ")).cloned().collect()
    }
}

/// Answers one request; gives its method and path, and nothing for a connection on which none comes.
fn answered(connection: TcpStream) -> Option<String> {
    let mut lines = BufReader::new(&connection);
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    let (asked, _) = first.rsplit_once(' ')?;
    let (mut line, mut length) = (String::new(), 0);
    while lines.read_line(&mut line).unwrap() > 2 {
        let (name, value) = line.split_once(':').unwrap();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    lines.read_exact(&mut vec![0; length]).unwrap();
    let rbac = "rbac.authorization.k8s.io";
    let (status, body) = match asked {
        "GET /version" => ("200 OK", json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0"})),
        "GET /apis/rbac.authorization.k8s.io/v1/namespaces/ml/rolebindings/dropforge-dispatcher" => (
            "200 OK",
            json!({"apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding",
                "metadata": {"name": "dropforge-dispatcher", "namespace": "ml"},
                "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "dropforge-dispatcher"},
                "subjects": [{"apiGroup": rbac, "kind": "Group", "name": "other:dispatcher"}]}),
        ),
        _ => (
            "404 Not Found",
            json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404,
                "message": "not found", "metadata": {}}),
        ),
    };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
    write!(&connection, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    Some(asked.to_owned())
}

#[test]
fn a_namespace_of_another_stack_is_refused_before_anything_changes() {
    let bench = Bench::new();
    let kubernetes = Kubernetes::start();
    bench.write("kubeconfig", &kubernetes.kubeconfig);
    let deploy = |group: &str| {
        let outputs = json!({"format": 1, "name": "test", "region": "r", "control_bucket": "c", "artifact_bucket": "a",
            "events_queue_url": "q", "kubernetes_group": group, "namespaces": {"ml": {"service_account": "steps"}}});
        bench.write("outputs.json", outputs.to_string());
        bench.dropforge(&["deploy", "outputs.json", "--kubeconfig", "kubeconfig", "--take-over"])
    };
    deploy("test:dispatcher").exits(3).says(&[
        "the namespace ml is another stack's",
        "other:dispatcher",
        "are of the group test:dispatcher",
        "name another in `namespaces`",
        "kubectl -n ml delete rolebinding dropforge-dispatcher",
    ]);
    assert_eq!(kubernetes.changes(), [""; 0]);
    assert!(!bench.path(".config").exists(), "no context was kept");
    deploy("other:dispatcher").exits(3);
    let first = kubernetes.changes().into_iter().next();
    assert!(first.is_some_and(|line| line.starts_with("PATCH /api/v1/namespaces/ml")), "its own is applied");
}

#[test]
fn a_cluster_gets_its_namespace_and_the_context_is_kept() {
    let Some(kubeconfig) = named("DROPFORGE_TEST_KUBECONFIG", "deploy") else { return };
    let Some(place) = Place::new("deploy") else { return };
    place.outputs(json!({}));
    let deployed = place.deploy(&["--kubeconfig", &kubeconfig]);
    let kubectl = |arguments: &[&str]| {
        let ran =
            Command::new("kubectl").args(["--kubeconfig", &kubeconfig]).args(arguments).output().unwrap();
        String::from_utf8(ran.stdout).unwrap()
    };
    let label = "jsonpath={.metadata.labels.pod-security\\.kubernetes\\.io/enforce}";
    let level = kubectl(&["get", "namespace", &place.name, "-o", label]);
    let there = kubectl(&[
        "-n",
        &place.name,
        "get",
        "serviceaccounts,roles,rolebindings,networkpolicies",
        "-o",
        "name",
    ]);
    let again = place.deploy(&["--kubeconfig", &kubeconfig]);
    kubectl(&[
        "label",
        "--overwrite",
        "namespace",
        &place.name,
        "pod-security.kubernetes.io/enforce=restricted",
    ]);
    let mounts = || {
        kubectl(&[
            "-n",
            &place.name,
            "get",
            "serviceaccount",
            "dropforge-step",
            "-o",
            "jsonpath={.automountServiceAccountToken}",
        ])
    };
    kubectl(&[
        "-n",
        &place.name,
        "patch",
        "serviceaccount",
        "dropforge-step",
        "-p",
        "{\"automountServiceAccountToken\":true}",
    ]);
    let others = place.deploy(&["--kubeconfig", &kubeconfig]);
    let (stricter, left) = (kubectl(&["get", "namespace", &place.name, "-o", label]), mounts());
    let taken = place.deploy(&["--kubeconfig", &kubeconfig, "--take-over"]);
    let ours = mounts();
    place.outputs(json!({"kubernetes_group": "other:dispatcher"}));
    let another = place.deploy(&["--kubeconfig", &kubeconfig, "--take-over"]);
    let group = kubectl(&[
        "-n",
        &place.name,
        "get",
        "rolebinding",
        "dropforge-dispatcher",
        "-o",
        "jsonpath={.subjects[*].name}",
    ]);
    kubectl(&["delete", "namespace", &place.name, "--wait=false"]);
    assert_eq!(
        (stricter.as_str(), left.as_str(), ours.as_str()),
        ("restricted", "true", "false"),
        "{others}{taken}"
    );
    for words in [
        "it enforces restricted already, which stays",
        "dropforge-step of",
        "stays as it is: Apply failed",
        "--take-over",
    ] {
        assert!(others.stdout.contains(words), "{words}: {others}");
    }
    assert_eq!(group, "dropforge:dispatcher", "the first stack's functions keep their rights: {another}");
    another.exits(3).says(&["is another stack's"]);
    assert_eq!(level, "baseline", "{deployed}");
    for name in ["serviceaccount/dropforge-step", "/dropforge-dispatcher", "/dropforge-steps"] {
        assert!(there.contains(name), "{name}: {there}");
    }
    assert!(deployed.stdout.contains("context test kept"), "{deployed}");
    assert!(deployed.stdout.contains(&format!("ok    namespace {}", place.name)), "{deployed}");
    assert!(again.stdout.contains("context test kept"), "a second time changes nothing: {again}");
    assert!(place.dropforge(&["context", "list"]).exits(0).stdout.contains("test"));
}

#[test]
fn dead_letters_are_shown_and_put_back() {
    let Some(place) = Place::new("redrive") else { return };
    place.outputs(json!({}));
    let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap();
    place.dropforge(&["context", "add", "c", "outputs.json", "--endpoint", &endpoint]).exits(0);
    for text in ["one", "two"] {
        place.send(2, text);
    }
    place.send(3, "upload");
    let redrive = |more: &[&str]| place.dropforge(&[&["--context", "c", "redrive"], more].concat());
    let shown = redrive(&[]).exits(0);
    for line in ["one\n", "two\n", "upload\n"] {
        assert!(shown.stdout.contains(line), "{line}: {shown}");
    }
    assert_eq!(place.texts(2).len(), 2, "a look changes nothing");
    let back = redrive(&["events", "--put-back"]).exits(0);
    assert_eq!(back.stdout, "events: 2 put back\n");
    let mut home = place.texts(0);
    home.sort();
    assert_eq!(
        (home, place.texts(2), place.texts(3)),
        (vec!["one".to_owned(), "two".to_owned()], vec![], vec!["upload".to_owned()])
    );
    assert!(redrive(&["events"]).exits(0).stderr.contains("no dead letters"));
    assert!(redrive(&["event"]).exits(2).stderr.contains("events, uploads"));
}
