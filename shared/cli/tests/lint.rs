//! What `lint` says, and what it says in Argo's place.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/bench.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod bench;

use bench::Bench;

/// Argo takes a template that no engine runs on one machine; an image without a tag is our finding alone.
const FOREIGN: &str = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: foreign}
spec:
  entrypoint: main
  hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]
  templates: [{name: main, container: {image: busybox}}]
";

/// There are no pods to remove on a laptop; Argo refuses a strategy that it does not know.
const REFUSED: &str = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: refused}
spec:
  entrypoint: main
  templates:
  - name: main
    container: {image: 'busybox:1'}
  podGC: {strategy: Sometimes}
";

#[test]
fn argos_verdict_does_not_ask_what_runs_here() {
    let bench = Bench::new();
    bench.write("foreign.yaml", FOREIGN);
    let ours = bench.dropforge(&["lint", "foreign.yaml"]).exits(2);
    assert!(ours.stdout.contains("E601") && ours.stdout.contains("W701"), "{ours}");
    let argos = bench.dropforge(&["lint", "--argo", "foreign.yaml"]).exits(0);
    assert_eq!(argos.stdout, "");
    assert!(argos.stderr.contains("no linting errors found!"), "{argos}");
}

#[test]
fn what_only_argo_refuses_is_refused_by_both() {
    let bench = Bench::new();
    bench.write("refused.yaml", REFUSED);
    let words = "refused.yaml:9:11: in \"refused\" (Workflow): podGC.strategy unknown strategy 'Sometimes'\n";
    let argos = bench.dropforge(&["lint", "--argo", "-o", "simple", "refused.yaml"]).exits(2);
    assert_eq!(argos.stdout, words);
    let ours = bench.dropforge(&["lint", "refused.yaml"]).exits(2);
    assert!(ours.stdout.contains("error[E503]: in \"refused\" (Workflow)"), "{ours}");
}

#[test]
fn a_file_that_cannot_be_read_hides_no_finding_of_the_others() {
    let bench = Bench::new();
    for name in ["all/a.yaml", "all/c.yaml"] {
        bench.write(name, FOREIGN);
    }
    let large = std::fs::File::create(bench.path("all/b.yaml")).unwrap();
    large.set_len(33 << 20).unwrap();
    std::os::unix::fs::symlink("nowhere", bench.path("all/d.yaml")).unwrap();
    let all = bench.dropforge(&["lint", "all"]).exits(2);
    assert!(all.stdout.contains("all/a.yaml:6:") && all.stdout.contains("all/c.yaml:6:"), "{all}");
    let all = all.says(&["error: all/b.yaml has 34603008 bytes", "all/d.yaml", "2 objects, "]);
    assert!(!all.stdout.contains("b.yaml"), "{all}");
    bench.dropforge(&["lint", "--argo", "all"]).exits(2).says(&["all/b.yaml", "no linting errors found!"]);
}

#[test]
fn nothing_to_lint_is_a_refusal_as_it_is_argos() {
    let bench = Bench::new();
    bench.write("map.yaml", "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n");
    let argos = bench.dropforge(&["lint", "--argo", "map.yaml"]).exits(2);
    assert!(argos.stderr.contains("found nothing to lint"), "{argos}");
}
