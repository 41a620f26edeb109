//! What befalls pods, and what becomes of their runs: nothing is lost, no attempt executes twice, and no retry of the
//! user's is used up by it.

use dropforge_cloud_tests::bed::{scenario, until};
use dropforge_cloud_tests::cluster;
use dropforge_cloud_tests::faults::{Hanging, Rewired};
use dropforge_cloud_tests::small::{Run, chain, step, workflow};
use serde_json::Value;

#[test]
fn a_pod_deleted_while_pending_is_made_again() {
    scenario("a pod deleted while pending", |bed| {
        let manifest = workflow(
            "pending",
            &format!("{}    nodeSelector: {{test: pending}}\n", step("main", "true", "")),
        );
        let run = Run::submit(bed, &manifest);
        let pod = run.pod("pending", |pod| cluster::phase(pod) == "Pending");
        bed.cluster.ask(&["delete", "pod", cluster::name(&pod)]);
        run.sweep_until("has a pod again", |_| {
            bed.cluster
                .pods(Some(&run.uid))
                .into_iter()
                .find(|again| again["metadata"]["uid"] != pod["metadata"]["uid"])
        });
        bed.cluster.ask(&["label", "node", "--all", "test=pending", "--overwrite"]);
        let ended = run.end();
        bed.cluster.ask(&["label", "node", "--all", "test-"]);
        assert_eq!((ended.phase(), run.executions(), run.claims().len()), ("Succeeded", 1, 1));
    });
}

#[test]
fn a_pod_deleted_while_running_is_replaced_without_a_retry() {
    scenario("a pod deleted while running", |bed| {
        let run = Run::submit(bed, &workflow("running", &step("main", "sleep 6", "")));
        let pod = run.running_pod();
        bed.cluster.ask(&["delete", "pod", cluster::name(&pod), "--grace-period=0", "--force"]);
        let ended = run.end_by_sweeps();
        assert_eq!((ended.phase(), run.claims().len(), ended.count("Retry")), ("Succeeded", 2, 0));
    });
}

#[test]
fn a_pod_deleted_after_its_result_changes_nothing() {
    scenario("a pod deleted after its result", |bed| {
        let run = Run::submit(bed, &chain("after", "true"));
        let first = run.pod("there", |_| true);
        let result = format!("attempts/{}/{}/result.json", bed.cluster.namespace(), cluster::name(&first));
        until("the first result", 60, || bed.emulator.get(bed.named("control_bucket"), &result));
        // It may be gone already.
        bed.cluster.try_ask(&["delete", "pod", cluster::name(&first), "--grace-period=0", "--force"]);
        assert_eq!((run.end().phase(), run.executions(), run.claims().len()), ("Succeeded", 3, 3));
    });
}

#[test]
fn a_step_above_its_memory_limit_is_called_out_of_memory() {
    scenario("out of memory", |bed| {
        let limit = ", resources: {limits: {memory: 32Mi}}";
        let run = Run::submit(bed, &workflow("oom", &step("main", "exec tail /dev/zero", limit)));
        let ended = run.end();
        assert_eq!(ended.phase(), "Failed");
        assert!(
            ended.messages().iter().any(|message| message.contains("OOMKilled")),
            "{:?}",
            ended.messages()
        );
        assert_eq!(run.executions(), 1);
    });
}

#[test]
fn an_image_that_does_not_exist_is_named_while_it_waits() {
    scenario("an image that does not exist", |bed| {
        let manifest = workflow(
            "image",
            "  - name: main\n    container: {image: nowhere.invalid/none:1, command: [\"true\"]}\n",
        );
        let run = Run::submit(bed, &manifest);
        run.sweep_until_it_says(&["nowhere.invalid/none:1"]);
        run.terminate();
    });
}

#[test]
fn a_pod_that_no_node_takes_says_why() {
    scenario("an unschedulable pod", |bed| {
        let manifest = workflow(
            "nowhere",
            &format!("{}    nodeSelector: {{test: nowhere}}\n", step("main", "true", "")),
        );
        let run = Run::submit(bed, &manifest);
        run.sweep_until_it_says(&["Unschedulable", " nodes "]);
        run.terminate();
        assert_eq!(run.executions(), 0);
    });
}

#[test]
fn a_pod_on_a_node_that_is_gone_is_made_again_elsewhere() {
    scenario("a node gone", |bed| {
        let node = simulated_node("gone", "");
        bed.cluster.apply(&node);
        bed.cluster.ask(&["patch", "node", "gone", "--subresource=status", "--type=merge", "-p", READY]);
        let manifest =
            workflow("gone", &format!("{}    nodeSelector: {{test: gone}}\n", step("main", "true", "")));
        let run = Run::submit(bed, &manifest);
        run.pod("bound to the node", |pod| pod["spec"]["nodeName"] == "gone");
        bed.cluster.ask(&["delete", "node", "gone"]);
        bed.cluster.ask(&["label", "node", "--all", "test=gone", "--overwrite"]);
        let ended = run.end_by_sweeps();
        bed.cluster.ask(&["label", "node", "--all", "test-"]);
        assert_eq!((ended.phase(), run.executions()), ("Succeeded", 1));
    });
}

#[test]
fn a_pod_that_comes_back_after_its_node_had_no_contact_changes_nothing() {
    scenario("a node without contact", |bed| {
        // It outlives what Kubernetes and then Dropforge wait for a node.
        let toleration = "{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 10}";
        let main = format!("{}    tolerations: [{toleration}]\n", step("main", "sleep 200; echo late", ""));
        let run = Run::submit(bed, &workflow("silent", &main));
        run.running_pod();
        // Where no node answers any more Kubernetes takes itself for the one without contact, and gives up no pod.
        let other = bed.cluster.with_empty_node();
        let hanging = Hanging::new("kubelet", "--hostname-override dropforge");
        let first = run.claims();
        until("a second attempt", 190, || {
            other.beat();
            bed.sweep();
            (bed.cluster.pods(Some(&run.uid)).len() > 1).then_some(())
        });
        drop(hanging);
        let ended = run.end();
        assert_eq!((ended.phase(), run.claims().len(), run.executions()), ("Succeeded", 2, 2));
        assert_eq!(ended.count("Pod"), 1, "an attempt is no node: {:?}", ended.messages());
        let lost = first
            .first()
            .map(|attempt| bed.emulator.get(bed.named("control_bucket"), &format!("{attempt}/result.json")));
        let lost =
            String::from_utf8(lost.flatten().expect("the first attempt has a verdict")).expect("it is JSON");
        assert!(lost.contains("\"Lost\""), "the pod that came back changed the verdict: {lost}");
    });
}

/// Its document is an object then, which the executor fetches before anything else.
#[test]
fn a_step_whose_launch_is_too_large_for_its_pod_runs() {
    scenario("a launch too large for its pod", |bed| {
        let script = format!(": {}", "x".repeat(100 * 1024));
        let run = Run::submit(bed, &workflow("large", &step("main", &script, "")));
        assert_eq!((run.end().phase(), run.executions()), ("Succeeded", 1));
    });
}

#[test]
fn a_step_with_an_argument_that_linux_takes_from_nobody_says_so() {
    scenario("an argument too long for Linux", |bed| {
        let script = format!(": {}", "x".repeat(130 * 1024));
        let run = Run::submit(bed, &workflow("long", &step("main", &script, "")));
        let ended = run.end();
        let named = ended
            .messages()
            .iter()
            .any(|message| message.contains("Linux gives a program no text of more than"));
        assert!(named, "{:?}", ended.messages());
        assert_eq!((ended.phase(), run.executions()), ("Error", 0));
    });
}

#[test]
fn only_the_training_pod_goes_to_the_node_with_a_gpu() {
    scenario("GPU placement", |bed| {
        let manifest = workflow(
            "gpu",
            &format!(
                "  - name: main\n    steps:\n    - - {{name: prepare, template: prepare}}\n    - - {{name: train, template: train}}\n{}{}",
                step("prepare", "true", ""),
                step("train", "true", ", resources: {limits: {nvidia.com/gpu: 1}}"),
            ),
        );
        let run = Run::submit(bed, &manifest);
        run.sweep_until_it_says(&["waits for", "0/", " nodes have nvidia.com/gpu"]);
        let explained = run.explain();
        assert!(explained.contains(" nodes have nvidia.com/gpu"), "{explained}");
        assert_eq!(run.executions(), 1, "the step before it needs none");
        // The other pod may not be told of as ended yet.
        let training = run.pod("waiting", |pod| !gpus(pod).is_empty());
        assert_eq!(gpus(&training), ["main"], "only the command's container asks for one");
        bed.cluster.apply(&simulated_node("gpu", ", nvidia.com/gpu: \"1\""));
        bed.cluster.ask(&["patch", "node", "gpu", "--subresource=status", "--type=merge", "-p", READY]);
        run.pod("bound to the node with a GPU", |pod| pod["spec"]["nodeName"] == "gpu");
        run.terminate();
        bed.cluster.ask(&["delete", "node", "gpu"]);
    });
}

/// The containers of a pod that ask for a GPU.
fn gpus(pod: &Value) -> Vec<&str> {
    let containers = |kind: &str| pod["spec"][kind].as_array().into_iter().flatten();
    let all = containers("initContainers").chain(containers("containers"));
    let asking = all.filter(|container| container["resources"].to_string().contains("nvidia.com/gpu"));
    asking.filter_map(|container| container["name"].as_str()).collect()
}

/// What a kubelet would say of a node at first; nobody says more, so it is ready for 40 seconds.
const READY: &str =
    r#"{"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Simulated"}]}}"#;

fn simulated_node(name: &str, capacity: &str) -> String {
    let capacity = format!("{{cpu: \"4\", memory: 8Gi, pods: \"10\"{capacity}}}");
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{simulated: {name}, test: {name}}}}}\n\
         status: {{capacity: {capacity}, allocatable: {capacity}}}\n"
    )
}

#[test]
fn where_only_dispatch_reaches_the_cluster_pods_are_made_by_it() {
    scenario("pods made by dispatch", |bed| {
        if bed.deployment["functions"]["dispatch"].is_null() {
            println!("SKIPPED: pods made by dispatch (the deployment has no such function)");
            return;
        }
        let changed = [
            ("DROPFORGE_DISPATCH_FUNCTION", bed.function("dispatch")),
            ("DROPFORGE_KUBECONFIG", "/nonexistent"),
        ];
        let rewired = Rewired::new(bed, &["advance", "sweep"], &changed);
        let run = Run::submit(bed, &chain("dispatched", "true"));
        let ended = run.end();
        assert_eq!((ended.phase(), run.executions(), run.claims().len()), ("Succeeded", 3, 3));
        // The sweep looks through it as well, and what has ended is gone.
        let run = Run::submit(bed, &workflow("swept", &step("main", "sleep 6", "")));
        let pod = run.running_pod();
        bed.cluster.ask(&["delete", "pod", cluster::name(&pod), "--grace-period=0", "--force"]);
        let ended = run.end_by_sweeps();
        assert_eq!((ended.phase(), run.claims().len(), ended.count("Retry")), ("Succeeded", 2, 0));
        until("no pod to be left", 60, || bed.cluster.pods(Some(&run.uid)).is_empty().then_some(()));
        drop(rewired);
    });
}
