//! What Terraform renders with a provider that answers by itself: runs of `infra/tests/*.tftest.hcl`, and of these the
//! stack that is `rendered` by `stack.tftest.hcl`.

use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::in_repository;

/// The names in `infra/tests/stack.tftest.hcl`.
pub const CONTROL: &str = "demo-control";
/// The artifact bucket.
pub const ARTIFACTS: &str = "demo-artifacts";
/// The upload bucket.
pub const UPLOADS: &str = "uploads";

/// The stack's outputs.
pub struct Stack(Value);

/// The stack; where Terraform or its provider is missing, none, and a line that says so for this test.
pub fn stack(test: &str) -> Option<&'static Stack> {
    static STACK: LazyLock<Result<Stack, String>> = LazyLock::new(render);
    match &*STACK {
        Ok(stack) => Some(stack),
        Err(why) => {
            println!("SKIPPED: infra: {test} ({why})");
            None
        }
    }
}

fn render() -> Result<Stack, String> {
    state("stack", "rendered").map(|state| Stack(state["outputs"].clone()))
}

/// What a run of `infra/tests/FILE.tftest.hcl` has made, as `terraform show -json` tells it.
///
/// # Errors
/// Why nothing can be rendered here, where Terraform or its provider is missing.
pub fn state(file: &str, run: &str) -> Result<Value, String> {
    let command = Command::new(in_repository("tests/infra/render")).arg(file).output();
    let output = command.expect("tests/infra/render runs");
    let text = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => Ok(told_after(run, &text)),
        Some(3) => Err(text.trim().to_owned()),
        _ => panic!("rendering failed:\n{text}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// Terraform tells the state after each run as one line of JSON.
fn told_after(run: &str, lines: &str) -> Value {
    let states = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut states = states.filter(|line| line["type"] == "test_state" && line["@testrun"] == run);
    states.next().unwrap_or_else(|| panic!("no state was rendered:\n{lines}"))["test_state"].clone()
}

impl Stack {
    /// A policy, by the path of the output that holds it: `["policies", "steps", "team-a"]`.
    pub fn policy(&self, path: &[&str]) -> Value {
        let value = path[1..].iter().fold(&self.0[path[0]]["value"], |value, name| &value[*name]);
        let text = value.as_str().unwrap_or_else(|| panic!("there is no policy {path:?}"));
        serde_json::from_str(text).expect("a policy is JSON")
    }
}
