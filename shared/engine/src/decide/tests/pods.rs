//! What a started attempt says of its pod.

use serde_json::json;

use super::*;
use crate::attempt::PodFields;

fn pod(world: &World, node: &str) -> PodFields {
    world.attempt(node).work.pod.clone()
}

#[test]
fn a_manifest_that_says_nothing_of_the_pod_leaves_nothing_on_record() {
    let w = world(
        "  entrypoint: main\n  templates:\n  - name: main\n    container: {image: busybox, command: [true]}",
    );
    assert!(pod(&w, "wf").is_empty());
    assert!(!serde_json::to_string(&w.attempt("wf").work).unwrap().contains("\"pod\""));
}

#[test]
fn of_a_pods_own_fields_the_template_wins_over_the_caller_and_the_caller_over_the_workflow() {
    let w = world(
        "  entrypoint: main
  arguments: {parameters: [{name: zone, value: z1}]}
  nodeSelector: {of: workflow}
  tolerations: [{key: 'of-{{workflow.parameters.zone}}'}]
  affinity: {nodeAffinity: {}}
  serviceAccountName: sa-{{workflow.parameters.zone}}
  podPriorityClassName: high
  imagePullSecrets: [{name: pull}]
  podMetadata: {labels: {team: ml, stage: workflow}, annotations: {zone: '{{workflow.parameters.zone}}'}}
  securityContext: {runAsUser: 1}
  templates:
  - name: main
    nodeSelector: {of: caller}
    tolerations: [{key: 'caller-{{inputs.parameters.p}}'}]
    inputs: {parameters: [{name: p, value: v}]}
    steps: [[{name: a, template: own}, {name: b, template: plain}]]
  - name: own
    nodeSelector: {of: template}
    securityContext: {runAsUser: 2}
    metadata: {labels: {stage: template}}
    container: {image: busybox, command: [true]}
  - name: plain
    container: {image: busybox, command: [true]}",
    );
    let texts = |json| serde_json::from_value(json).unwrap();
    let own = PodFields {
        labels: texts(json!({"team": "ml", "stage": "template"})),
        annotations: texts(json!({"zone": "z1"})),
        spec: serde_json::from_value(json!({
            "affinity": {"nodeAffinity": {}},
            "nodeSelector": {"of": "template"},
            "tolerations": [{"key": "caller-v"}],
            "priorityClassName": "high",
            "securityContext": {"runAsUser": 2},
            "imagePullSecrets": [{"name": "pull"}],
            "serviceAccountName": "sa-z1",
        }))
        .unwrap(),
        patches: Vec::new(),
        claims: Vec::new(),
    };
    assert_eq!(pod(&w, "wf[0].a"), own);
    let plain = pod(&w, "wf[0].b");
    assert_eq!(plain.spec["nodeSelector"], json!({"of": "caller"}));
    assert_eq!(plain.spec["securityContext"], json!({"runAsUser": 1}));
    assert_eq!(plain.labels["stage"], "workflow");
}

#[test]
fn patches_are_kept_for_the_pod_with_their_tags_replaced() {
    let w = world(
        "  entrypoint: main
  podSpecPatch: 'nodeSelector: {a: workflow}'
  templates:
  - name: main
    inputs: {parameters: [{name: zone, value: z}]}
    podSpecPatch: '{\"nodeSelector\":{\"zone\":\"{{inputs.parameters.zone}}\"}}'
    container: {image: busybox, command: [true]}",
    );
    let patches = [json!({"nodeSelector": {"a": "workflow"}}), json!({"nodeSelector": {"zone": "z"}})];
    assert_eq!(pod(&w, "wf").patches, patches);
}

#[test]
fn claims_whose_size_is_a_parameter_are_kept_with_it() {
    let w = world(
        "  entrypoint: main
  arguments: {parameters: [{name: size, value: 5Gi}]}
  volumeClaimTemplates: [{metadata: {name: w}, spec: {resources: {requests: {storage: '{{workflow.parameters.size}}'}}}}]
  templates:
  - name: main
    container: {image: busybox, command: [true]}",
    );
    let claim = json!({"metadata": {"name": "w"}, "spec": {"resources": {"requests": {"storage": "5Gi"}}}});
    assert_eq!(pod(&w, "wf").claims, [claim]);
}
