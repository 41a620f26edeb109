//! Where a person's credentials come from in a context, and what is said when they can't be had. Nothing is asked of AWS.

#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod bench;

use bench::{Answer, Bench};

/// What `aws configure sso` writes, in its present and in its older form; a process; roles over each.
const PROFILES: &str = "
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
sso_registration_scopes = sso:account:access

[profile team]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Engineer

[profile older]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = Engineer

[profile production]
role_arn = arn:aws:iam::210987654321:role/Operator
source_profile = team

[profile round]
role_arn = arn:aws:iam::210987654321:role/Operator
source_profile = round

[profile vault]
credential_process = BENCH/vault

[profile locked]
credential_process = false
";

/// The names under which the session `corp` and its URL are cached: their SHA-1.
const CACHED: [&str; 2] =
    ["ee0bfd2552fbd840c02cc48b6e823320543c450f", "a51746d4aa793ae07b25e90c3a5db96fc7832bd7"];

/// A home with these profiles and a deployment known as `cloud`.
fn home() -> Bench {
    let bench = Bench::new();
    bench.write(".aws/config", PROFILES.replace("BENCH", &bench.path("").display().to_string()));
    let outputs = json!({"dropforge": {"value": {
        "format": 1, "name": "test", "region": "eu-west-1", "control_bucket": "c", "artifact_bucket": "a",
        "upload_bucket": "u", "events_queue_url": "http://127.0.0.1:1/q", "upload_queue_url": "http://127.0.0.1:1/u",
        "namespaces": {"ml": {"service_account": "dropforge-step"}}}}});
    bench.write("outputs.json", outputs.to_string());
    // Nobody listens there: what has credentials fails at that.
    bench
        .dropforge(&["context", "add", "cloud", "outputs.json", "--endpoint", "http://127.0.0.1:1"])
        .exits(0);
    bench
}

fn list(bench: &Bench, profile: &str) -> Answer {
    let mut command = bench.command(["--context", "cloud", "list"]);
    command.env("AWS_PROFILE", profile).env("AWS_EC2_METADATA_DISABLED", "true");
    bench.start_command(&mut command).end()
}

#[test]
fn a_session_that_is_over_or_never_was_names_its_login_command() {
    let bench = home();
    let told = |profile: &str, login: &str| {
        let answer = list(&bench, profile).exits(3).says(&["cloud", login]);
        assert!(answer.stderr.contains(&format!("{login}\n")), "nothing else behind it: {answer}");
    };
    let all = |session: &str| {
        told("team", "aws sso login --profile team");
        told("older", "aws sso login --profile older");
        // A role has no session of its own.
        told("production", "aws sso login --profile team");
        println!("as said: {session}");
    };
    all("there never was one");
    for name in CACHED {
        let token = json!({
            "startUrl": "https://corp.awsapps.com/start", "region": "eu-west-1", "accessToken": "secret-token",
            "expiresAt": "2020-01-02T03:04:05Z"});
        bench.write(&format!(".aws/sso/cache/{name}.json"), token.to_string());
    }
    all("it is over");
    assert!(!list(&bench, "team").stderr.contains("secret-token"));
}

#[test]
fn a_process_gives_credentials_and_one_that_fails_is_named() {
    let bench = home();
    let keys = json!({"Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret-key"});
    bench.write("vault", format!("#!/bin/sh\necho asked >> box/asked\necho '{keys}'\n"));
    fs::set_permissions(bench.path("vault"), fs::Permissions::from_mode(0o755)).unwrap();
    let answer = list(&bench, "vault");
    assert_ne!(answer.code, Some(0));
    assert!(!answer.stderr.contains("log in") && !answer.stderr.contains("secret-key"), "{answer}");
    // Once for each client.
    assert_eq!(bench.lines("asked").first().map(String::as_str), Some("asked"));
    list(&bench, "locked").exits(3).says(&["external process exited with code exit status: 1"]);
}

#[test]
fn a_profile_that_is_none_is_named_and_one_that_leads_to_itself_does_not_hang() {
    let bench = home();
    list(&bench, "nobody").exits(3).says(&["nobody"]);
    list(&bench, "round").exits(3).says(&["round"]);
}
