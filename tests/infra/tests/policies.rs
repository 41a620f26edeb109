//! Who may do what in a stack of two namespaces, asked of the policies as Terraform renders them: the roles' own and the
//! buckets'. `infra/tests/stack.tftest.hcl` says what the stack is.

use dropforge_infra_tests::in_repository;
use dropforge_infra_tests::policy::{Answer, Request, allows, answer, grants};
use dropforge_infra_tests::rendered::{ARTIFACTS, CONTROL, Stack, UPLOADS, stack};
use dropforge_infra_tests::samples::{self, Object};
use dropforge_storage::keys;
use serde_json::Value;

const POD: &str = "churn-x7-train-0123456789abcdef";
const OTHER_POD: &str = "churn-x7-evaluate-0123456789abcdef";

fn arn(bucket: &str, key: &str) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}

/// A step of a namespace, in a pod.
struct Step<'s> {
    stack: &'s Stack,
    namespace: &'s str,
    pod: &'s str,
}

impl Step<'_> {
    fn may(&self, request: Request) -> bool {
        let request = request
            .with("aws:PrincipalTag/kubernetes-namespace", self.namespace)
            .with("aws:PrincipalTag/kubernetes-pod-name", self.pod);
        may(self.stack, &["policies", "steps", self.namespace], &request)
    }

    fn puts(&self, bucket: &str, key: &str) -> bool {
        self.may(creates(bucket, key))
    }

    fn gets(&self, bucket: &str, key: &str) -> bool {
        self.may(Request::new("s3:GetObject", &arn(bucket, key)))
    }

    fn lists(&self, bucket: &str, prefix: &str) -> bool {
        self.may(Request::new("s3:ListBucket", &format!("arn:aws:s3:::{bucket}")).with("s3:prefix", prefix))
    }
}

/// A PUT that makes an object or fails.
fn creates(bucket: &str, key: &str) -> Request {
    overwrites(bucket, key).with("s3:if-none-match", "*")
}

/// A PUT without a condition.
fn overwrites(bucket: &str, key: &str) -> Request {
    Request::new("s3:PutObject", &arn(bucket, key)).with("s3:ObjectCreationOperation", "true")
}

/// What a role's policy says, and the policy of the bucket that is asked.
fn may(stack: &Stack, role: &[&str], request: &Request) -> bool {
    let policies: Vec<_> = [stack.policy(role)]
        .into_iter()
        .chain(["control", "artifacts", "uploads"].map(|bucket| stack.policy(&["bucket_policies", bucket])))
        .collect();
    allows(&policies.iter().collect::<Vec<_>>(), request)
}

fn function(stack: &Stack, name: &str, request: &Request) -> bool {
    may(stack, &["policies", "functions", name], request)
}

/// As the artifact bucket holds it: below its namespace, unless the manifest names a bucket.
fn stored(namespace: &str, object: &Object) -> (String, String) {
    match &object.bucket {
        Some(bucket) => (bucket.clone(), object.key.clone()),
        None => (ARTIFACTS.to_owned(), format!("{namespace}/{}", object.key)),
    }
}

#[test]
fn each_sample_can_put_and_read_each_object_it_writes_and_no_other_namespace_can() {
    let Some(stack) = stack("policies allow what the samples write") else { return };
    let step = |namespace| Step { stack, namespace, pod: POD };
    let samples = samples::all();
    assert!(samples.len() >= 8 && samples.iter().all(|sample| !sample.writes.is_empty()), "{samples:?}");
    for sample in samples {
        for object in &sample.writes {
            let (bucket, key) = stored("team-a", object);
            assert!(step("team-a").puts(&bucket, &key), "{}: put {bucket}/{key}", sample.name);
            assert!(step("team-a").gets(&bucket, &key), "{}: get {bucket}/{key}", sample.name);
            assert!(!step("team-b").puts(&bucket, &key), "{}: the other puts {bucket}/{key}", sample.name);
            assert!(!step("team-b").gets(&bucket, &key), "{}: the other gets {bucket}/{key}", sample.name);
        }
    }
}

#[test]
fn a_step_reports_its_own_attempt_and_no_other() {
    let Some(stack) = stack("policies keep pods apart") else { return };
    let of = |namespace, pod| Step { stack, namespace, pod };
    let attempt = keys::attempt("team-a", &POD.into()).expect("a key");
    let log = keys::log("team-a", &POD.into(), "main").expect("a key");
    for key in [attempt.join("claim.json"), attempt.join("result.json"), log.join("00000")] {
        let key = key.to_str().expect("UTF-8");
        assert!(of("team-a", POD).puts(CONTROL, key), "{key}");
        assert!(!of("team-a", OTHER_POD).puts(CONTROL, key), "another pod: {key}");
        assert!(!of("team-b", POD).puts(CONTROL, key), "a pod of that name in another namespace: {key}");
        assert!(!of("team-a", "*").puts(CONTROL, key), "a tag that is a wildcard: {key}");
    }
    // A verdict that is read back after a lost answer; a launch document that was too large for a variable.
    assert!(of("team-a", POD).gets(CONTROL, &format!("attempts/team-a/{POD}/launch.json")));
    assert!(!of("team-a", POD).gets(CONTROL, &format!("attempts/team-a/{OTHER_POD}/launch.json")));
}

#[test]
fn a_step_reaches_nothing_else_of_the_control_bucket() {
    let Some(stack) = stack("policies keep steps out of the control bucket") else { return };
    let step = Step { stack, namespace: "team-a", pod: POD };
    for key in [
        "runs/ab/u1/spec.json",
        "runs/ab/u1/inbox/c1.json",
        "runs/ab/u1/snapshot.json",
        "journals/ab/u1/00000000000000000001.json",
        "live/u1",
        "definitions/team-a/workflowtemplate/churn.yaml",
        "triggers/team-a/churn/state.json",
        "locks/team-a/gpu.json",
        "index/team-a/1.json",
        "environments/team-b/0123",
    ] {
        assert!(!step.puts(CONTROL, key), "put {key}");
        assert!(!step.gets(CONTROL, key), "get {key}");
    }
    assert!(step.gets(CONTROL, "environments/team-a/0123"), "the run's own packed environment");
    assert!(!step.puts(CONTROL, "environments/team-a/0123"), "nobody's code changes what another step runs");
    assert!(!step.lists(CONTROL, "attempts/team-a/"));
}

#[test]
fn a_step_lists_below_its_namespace_only() {
    let Some(stack) = stack("policies bound what steps list") else { return };
    let of = |namespace| Step { stack, namespace, pod: POD };
    assert!(of("team-a").lists(ARTIFACTS, "team-a/models/"));
    assert!(
        !of("team-a").lists(ARTIFACTS, "team-b/")
            && !of("team-a").lists(ARTIFACTS, "")
            && !of("team-a").lists(ARTIFACTS, "team-a")
    );
    assert!(of("team-a").lists("models", "train-until-accurate/"));
    assert!(
        !of("team-a").lists("models", "other/") && !of("team-b").lists("models", "train-until-accurate/")
    );
}

#[test]
fn uploads_are_read_where_they_are_listed_and_written_by_no_step() {
    let Some(stack) = stack("policies bound what steps read of the uploads") else { return };
    let of = |namespace| Step { stack, namespace, pod: POD };
    assert!(of("team-a").gets(UPLOADS, "churn/data.csv") && of("team-b").gets(UPLOADS, "team-b/data.csv"));
    assert!(!of("team-b").gets(UPLOADS, "churn/data.csv"));
    assert!(!of("team-a").puts(UPLOADS, "churn/data.csv"), "a step would start runs");
}

#[test]
fn the_journal_is_written_by_advance_alone_and_once() {
    let Some(stack) = stack("policies protect the journal") else { return };
    let segment = "journals/ab/u1/00000000000000000007.json";
    assert!(function(stack, "advance", &creates(CONTROL, segment)));
    assert!(!function(stack, "advance", &overwrites(CONTROL, segment)), "even advance may not overwrite");
    assert!(!function(stack, "advance", &Request::new("s3:DeleteObject", &arn(CONTROL, segment))));
    for name in ["ingest", "sweep"] {
        assert!(!function(stack, name, &creates(CONTROL, segment)), "{name}");
        for key in
            ["live/u1", "runs/ab/u1/spec.json", "starters/team-a/trigger/churn.json", "index/team-a/1.json"]
        {
            assert!(function(stack, name, &creates(CONTROL, key)), "{name}: {key}");
        }
    }
    for (who, namespace) in [("submit", Some("team-a")), ("operate", None)] {
        let path: Vec<&str> = ["policies", "people", who].into_iter().chain(namespace).collect();
        assert!(!may(stack, &path, &creates(CONTROL, segment)), "{who}");
    }
}

#[test]
fn a_claim_and_a_verdict_are_written_once_whoever_writes() {
    let Some(stack) = stack("policies protect claims and verdicts") else { return };
    let step = Step { stack, namespace: "team-a", pod: POD };
    for file in ["claim.json", "result.json"] {
        let key = format!("attempts/team-a/{POD}/{file}");
        assert!(step.may(creates(CONTROL, &key)) && function(stack, "advance", &creates(CONTROL, &key)));
        assert!(
            !step.may(overwrites(CONTROL, &key)) && !function(stack, "advance", &overwrites(CONTROL, &key))
        );
        assert!(!function(stack, "advance", &Request::new("s3:DeleteObject", &arn(CONTROL, &key))));
    }
}

#[test]
fn a_snapshot_and_a_lock_are_overwritten() {
    let Some(stack) = stack("policies let documents change") else { return };
    for key in [
        "runs/ab/u1/snapshot.json",
        "locks/team-a/gpu.json",
        "index/team-a/1.json",
        "memo/team-a/cache/k.json",
    ] {
        assert!(function(stack, "advance", &overwrites(CONTROL, key)), "{key}");
    }
    // A marker, a command that was applied and a lock that nobody wants are taken away; what the marker stood for is not.
    let removes = |name, key| function(stack, name, &Request::new("s3:DeleteObject", &arn(CONTROL, key)));
    for (key, goes) in [
        ("live/u1", true),
        ("runs/ab/u1/inbox/c1.json", true),
        ("locks/team-a/mutex-gpu.json", true),
        ("runs/ab/u1/spec.json", false),
    ] {
        assert_eq!(removes("advance", key), goes, "{key}");
    }
    assert!(
        removes("sweep", "locks/team-a/mutex-gpu.json") && !removes("ingest", "locks/team-a/mutex-gpu.json")
    );
}

#[test]
fn models_that_artifact_gc_names_are_removed_where_steps_may_put_them() {
    let Some(stack) = stack("policies let functions remove models") else { return };
    for name in ["ingest", "advance", "sweep"] {
        let removes = |bucket: &str, key: &str| {
            function(stack, name, &Request::new("s3:DeleteObject", &arn(bucket, key)))
        };
        let lists = |prefix: &str| {
            let asked = Request::new("s3:ListBucket", "arn:aws:s3:::models").with("s3:prefix", prefix);
            function(stack, name, &asked)
        };
        assert!(removes("models", "train-until-accurate/m") && removes(ARTIFACTS, "team-a/m"), "{name}");
        assert!(lists("train-until-accurate/m/"), "{name}: a folder");
        assert!(!removes("models", "other/m") && !removes(UPLOADS, "m") && !lists("other/"), "{name}");
    }
}

#[test]
fn nothing_goes_without_tls() {
    let Some(stack) = stack("policies refuse what comes without TLS") else { return };
    let plain =
        creates(CONTROL, "journals/ab/u1/00000000000000000001.json").with("aws:SecureTransport", "false");
    assert!(!function(stack, "advance", &plain));
    let step = Step { stack, namespace: "team-a", pod: POD };
    assert!(!step.may(creates(ARTIFACTS, "team-a/x").with("aws:SecureTransport", "false")));
}

#[test]
fn each_function_reads_its_own_queue() {
    let Some(stack) = stack("policies give each function its queue") else { return };
    let queue = |name: &str| format!("arn:aws:sqs:eu-central-1:111122223333:demo-{name}");
    for (name, own, other) in [("ingest", "uploads", "events"), ("advance", "events", "uploads")] {
        assert!(function(stack, name, &Request::new("sqs:ReceiveMessage", &queue(own))), "{name}");
        assert!(!function(stack, name, &Request::new("sqs:ReceiveMessage", &queue(other))), "{name}");
    }
    for name in ["ingest", "advance", "sweep"] {
        assert!(function(stack, name, &Request::new("sqs:SendMessage", &queue("events"))), "{name} rings");
    }
    let step = Step { stack, namespace: "team-a", pod: POD };
    assert!(step.may(Request::new("sqs:SendMessage", &queue("events"))));
    assert!(!step.may(Request::new("sqs:SendMessage", &queue("uploads"))), "a step starts no run");
    assert!(!step.may(Request::new("sqs:ReceiveMessage", &queue("events"))));
}

#[test]
fn people_start_and_steer_runs_of_their_namespace() {
    let Some(stack) = stack("policies bound what people do") else { return };
    let may = |who: &str, request: &Request| may(stack, &["policies", "people", who, "team-a"], request);
    for key in [
        "live/u1",
        "runs/ab/u1/spec.json",
        "runs/ab/u1/inbox/c1.json",
        "definitions/team-a/trigger/churn.yaml",
        "environments/team-a/0123",
    ] {
        assert!(may("submit", &creates(CONTROL, key)), "submit: {key}");
        assert!(!may("read", &creates(CONTROL, key)), "read: {key}");
    }
    let get = |key: &str| Request::new("s3:GetObject", &arn(CONTROL, key));
    assert!(
        may("read", &get("logs/team-a/p/main/00000"))
            && may("read", &get("journals/ab/u1/00000000000000000001.json"))
    );
    assert!(
        !may("read", &get("logs/team-b/p/main/00000"))
            && !may("submit", &creates(CONTROL, "definitions/team-b/trigger/x.yaml"))
    );
    assert!(
        !may("submit", &creates(CONTROL, "runs/ab/u1/snapshot.json"))
            && !may("submit", &creates(CONTROL, "attempts/team-a/p/result.json"))
    );
}

#[test]
fn people_make_and_see_the_uploads_of_their_namespace() {
    let Some(stack) = stack("policies keep uploads apart") else { return };
    let may = |who: &str, namespace: &str, request: &Request| {
        may(stack, &["policies", "people", who, namespace], request)
    };
    let list = |prefix: &str| Request::new("s3:ListBucket", "arn:aws:s3:::uploads").with("s3:prefix", prefix);
    for (own, other, key) in [("team-a", "team-b", "churn/a.csv"), ("team-b", "team-a", "team-b/a.csv")] {
        assert!(may("submit", own, &overwrites(UPLOADS, key)), "{own}: {key}");
        assert!(
            !may("submit", other, &overwrites(UPLOADS, key)),
            "{other} would start the triggers of {own}"
        );
        assert!(!may("read", own, &overwrites(UPLOADS, key)), "who reads makes none: {key}");
        let get = Request::new("s3:GetObject", &arn(UPLOADS, key));
        for who in ["read", "submit"] {
            assert!(may(who, own, &get) && may(who, own, &list(key)), "{who} of {own}: {key}");
            assert!(!may(who, other, &get) && !may(who, other, &list(key)), "{who} of {other}: {key}");
            assert!(!may(who, own, &list("")), "{who} of {own}: the whole bucket");
        }
    }
}

#[test]
fn ingest_reads_what_it_may_be_told_of_and_what_steps_read() {
    let Some(stack) = stack("policies bound what ingest reads of the uploads") else { return };
    let reads = |name: &str, key: &str| {
        let of = |action: &str| function(stack, name, &Request::new(action, &arn(UPLOADS, key)));
        let both = (of("s3:GetObject"), of("s3:GetObjectVersion"));
        assert_eq!(both.0, both.1, "{name}: {key}");
        both.0
    };
    for key in ["churn/new/a.csv", "team-b/a.csv"] {
        assert!(reads("ingest", key), "{key}");
        assert!(!reads("advance", key) && !reads("sweep", key), "{key}");
    }
    assert!(!reads("ingest", "payroll/a.csv"), "nobody is told of it");
    // What was deleted meanwhile is to be missing and not forbidden.
    assert!(function(stack, "ingest", &Request::new("s3:ListBucket", "arn:aws:s3:::uploads")));
}

#[test]
fn the_scheduler_role_is_lent_to_the_scheduler_alone() {
    let Some(stack) = stack("policies bound iam:PassRole") else { return };
    let pass = |role: &str, service: &str| {
        Request::new("iam:PassRole", &format!("arn:aws:iam::111122223333:role/{role}"))
            .with("iam:PassedToService", service)
    };
    assert!(function(stack, "advance", &pass("demo-scheduler", "scheduler.amazonaws.com")));
    assert!(!function(stack, "advance", &pass("demo-scheduler", "lambda.amazonaws.com")));
    assert!(!function(stack, "advance", &pass("admin", "scheduler.amazonaws.com")));
}

/// What `doctor` asks IAM about, with this stack's names: who, and what it is.
struct Asked {
    who: String,
    line: String,
    request: Request,
}

/// What the names in doctor's table are in this stack; NAME stands for each of its functions, of the cluster's
/// parts, or of the prefixes of its uploads.
const PLACES: [(&str, &str); 23] = [
    ("{control}", "arn:aws:s3:::demo-control"),
    ("{artifacts}", "arn:aws:s3:::demo-artifacts"),
    ("{uploads}", "arn:aws:s3:::uploads"),
    ("{events-queue}", "arn:aws:sqs:eu-central-1:111122223333:demo-events"),
    ("{upload-queue}", "arn:aws:sqs:eu-central-1:111122223333:demo-uploads"),
    ("{upload-rule}", "arn:aws:events:eu-central-1:111122223333:rule/demo-uploads"),
    ("{schedules}", "arn:aws:scheduler:eu-central-1:111122223333:schedule/demo"),
    ("{scheduler-role}", "arn:aws:iam::111122223333:role/demo-scheduler"),
    ("{sweep}", "arn:aws:lambda:eu-central-1:111122223333:function:demo-sweep:live"),
    ("{dead-letters}", "arn:aws:sqs:eu-central-1:111122223333:demo"),
    ("{function}", "arn:aws:lambda:eu-central-1:111122223333:function:demo-NAME"),
    (
        "{function-logs}",
        "arn:aws:logs:eu-central-1:111122223333:log-group:/aws/lambda/demo-NAME:log-stream:a",
    ),
    ("{cluster}", "arn:aws:eks:eu-central-1:111122223333:cluster/research"),
    ("{cluster-parts}", "arn:aws:eks:eu-central-1:111122223333:NAME/research/a"),
    ("{repository}", "arn:aws:ecr:eu-central-1:111122223333:repository/demo/executor"),
    ("{models}", "arn:aws:s3:::models/train-until-accurate/"),
    ("{upload-prefix}", "churn/"),
    ("{any-upload}", "NAME"),
    ("{bucket-key}", "arn:aws:kms:eu-central-1:111122223333:key/models"),
    ("{queue-key}", "arn:aws:kms:eu-central-1:111122223333:key/queues"),
    ("{schedule-key}", "arn:aws:kms:eu-central-1:111122223333:key/schedules"),
    ("{region}", "eu-central-1"),
    ("{namespace}", "team-a"),
];

/// The lines of doctor's table, an action each.
fn asked_by_doctor() -> Vec<Asked> {
    let table = in_repository("shared/cli/src/cloud/doctor/account/permissions.txt");
    let table = std::fs::read_to_string(table).expect("it can be read");
    table.lines().filter(|line| !line.starts_with('#')).flat_map(asked).collect()
}

fn asked(line: &str) -> Vec<Asked> {
    let mut words = line.split_whitespace();
    let who = words.next().expect("somebody");
    let (actions, resource) = (words.next().expect("actions"), words.next().expect("a resource"));
    // This stack's functions reach the cluster themselves.
    if who == "dispatch" || resource == "{dispatch}" {
        return Vec::new();
    }
    let logs =
        format!("arn:aws:logs:eu-central-1:111122223333:log-group:/aws/lambda/demo-{who}:log-stream:a");
    let place = |text: &str| {
        PLACES.iter().fold(text.replace("{logs}", &logs), |text, (name, place)| text.replace(name, place))
    };
    let context: Vec<_> = words.map(|word| word.split_once('=').expect("key=value")).collect();
    let request = |action, name: &str| {
        let request = Request::new(action, &place(resource).replace("NAME", name));
        context.iter().fold(request, |request, (key, value)| request.with(key, &place(value)))
    };
    let names: &[&str] = match resource {
        "{function}" | "{function-logs}" => &["advance", "ingest", "sweep"],
        "{cluster-parts}" => &["addon", "access-entry", "podidentityassociation"],
        any if any.contains("{any-upload}") => &["churn/", "team-b/"],
        _ => &[""],
    };
    let each = actions.split(',').flat_map(|action| names.iter().map(move |name| (action, *name)));
    let of =
        |(action, name)| Asked { who: who.to_owned(), line: line.to_owned(), request: request(action, name) };
    each.map(of).collect()
}

fn policy_of(stack: &Stack, who: &str) -> Value {
    match who {
        "steps" => stack.policy(&["policies", "steps", "team-a"]),
        "scheduler" => stack.policy(&["policies", "scheduler"]),
        "read" | "submit" => stack.policy(&["policies", "people", who, "team-a"]),
        "operate" => stack.policy(&["policies", "people", who]),
        function => stack.policy(&["policies", "functions", function]),
    }
}

/// Whatever doctor takes for needed the modules give.
#[test]
fn the_policies_allow_what_doctor_asks_for() {
    let Some(stack) = stack("policies allow what doctor asks for") else { return };
    let asked = asked_by_doctor();
    assert!(asked.len() > 200, "{}", asked.len());
    for Asked { who, line, request } in asked {
        assert!(allows(&[&policy_of(stack, &who)], &request), "{line}");
    }
}

/// Whatever the modules give doctor asks for: where somebody else has made a role, it names all that is missing.
#[test]
fn doctor_asks_for_what_the_policies_allow() {
    let Some(stack) = stack("doctor asks for what the policies allow") else { return };
    let asked = asked_by_doctor();
    let mut unasked = Vec::new();
    for who in ["ingest", "advance", "sweep", "scheduler", "steps", "read", "submit", "operate"] {
        // Who submits may read, too.
        let is_own = |one: &&Asked| one.who == who || (who == "submit" && one.who == "read");
        let own: Vec<&Asked> = asked.iter().filter(is_own).collect();
        let is_asked = |grant: &Value| own.iter().any(|one| answer(grant, &one.request) == Answer::Allowed);
        let missing = grants(&policy_of(stack, who)).into_iter().filter(|grant| !is_asked(grant));
        unasked.extend(missing.map(|grant| format!("{who}: {}", grant["Statement"][0])));
    }
    // The stack has two keys for buckets, and one stands for both here. To list models takes a bucket with a prefix of it:
    // the lines know one name at a time.
    unasked.retain(|grant| !grant.contains("key/storage") && !grant.contains("ListModels"));
    assert!(unasked.is_empty(), "{}", unasked.join("\n"));
}
