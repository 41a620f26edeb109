use super::*;

fn lines(text: &str) -> Vec<String> {
    parse("f.yaml", text).diagnostics.iter().map(ToString::to_string).collect()
}

const HEAD: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n";

#[test]
fn every_kind_is_read() {
    let object = |kind: &str, spec: &str| {
        format!("apiVersion: argoproj.io/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n---\n")
    };
    let text = object("Workflow", "{entrypoint: a}")
        + &object("WorkflowTemplate", "{templates: []}")
        + &object("ClusterWorkflowTemplate", "{templates: []}")
        + &object("CronWorkflow", "{schedules: ['0 6 * * *'], workflowSpec: {entrypoint: a}}")
        + "apiVersion: dropforge.dev/v1alpha1\nkind: Trigger\nmetadata: {name: t}\nspec: {s3: {bucket: uploads}}\n";
    let parsed = parse("f.yaml", &text);
    assert_eq!(parsed.diagnostics, []);
    let kinds: Vec<_> = parsed.documents.iter().map(|d| d.object.kind()).collect();
    assert_eq!(kinds, ["Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow", "Trigger"]);
    assert!(parsed.documents[3].object.workflow_spec().is_some_and(|(_, path)| path == "spec.workflowSpec"));
}

#[test]
fn the_items_of_a_list_are_documents() {
    let text = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}\n",
        "{apiVersion: argoproj.io/v1alpha1, kind: Workflow, spec: {entrypoint: a}}"
    );
    assert_eq!(parse("f.yaml", &text).documents.len(), 1);
}

#[test]
fn other_kubernetes_objects_are_skipped_with_a_note() {
    let found = lines("apiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n");
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("f.yaml:2:1: note[N801]: ConfigMap is a Kubernetes object and is skipped here"),
        "{found:?}"
    );
}

#[test]
fn kind_and_version_must_be_right() {
    let first = |text: &str| lines(text)[0].lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(first("a: 1\n")[0], "f.yaml:1:1: error[E007]: kind is required");
    assert_eq!(
        first("kind: Workflow\nspec: {}\n"),
        ["f.yaml:1:1: error[E007]: apiVersion is required", "  help: add `apiVersion: argoproj.io/v1alpha1`",]
    );
    assert_eq!(
        first("apiVersion: argoproj.io/v1alpha1\nkind: Trigger\nspec: {}\n"),
        [
            "f.yaml:1:1: error[E007]: apiVersion of a Trigger is dropforge.dev/v1alpha1, found argoproj.io/v1alpha1",
            "  help: write `apiVersion: dropforge.dev/v1alpha1`",
        ]
    );
    assert_eq!(
        first("apiVersion: argoproj.io/v1alpha1\nkind: Worklfow\nspec: {}\n")[1],
        "  help: did you mean Workflow?"
    );
    assert!(
        first("apiVersion: argoproj.io/v1alpha1\nkind: WorkflowEventBinding\nspec: {}\n")[0].contains("E601")
    );
    assert_eq!(first(HEAD)[0], "f.yaml:1:1: error[E108]: spec is required");
    assert_eq!(
        first("- a\n")[0],
        "f.yaml:1:1: error[E007]: expected an object with `apiVersion` and `kind`, found a list"
    );
}

#[test]
fn unknown_fields_are_told_where_they_belong() {
    let text =
        format!("{HEAD}spec:\n  templates:\n    - name: a\n      when: x\n      image: y\n  schedule: z\n");
    assert_eq!(
        lines(&text),
        [
            "f.yaml:6:7: error[E005]: unknown field \"when\"\n  help: a template has no `when`: move it to the step or task that calls the template",
            "f.yaml:7:7: error[E005]: unknown field \"image\"\n  help: move `image` into the template's `container` or `script`",
            "f.yaml:8:3: error[E005]: unknown field \"schedule\"\n  help: `schedule` belongs to a CronWorkflow, whose `workflowSpec` this would be",
        ]
    );
}

#[test]
fn a_document_with_wrong_types_is_kept_and_marked() {
    let parsed = parse("f.yaml", &format!("{HEAD}spec: {{entrypoint: a, parallelism: x}}\n"));
    assert!(parsed.documents[0].damaged && parsed.has_errors());
    let parsed = parse("f.yaml", &format!("{HEAD}spec: {{entrypoint: a, unknown: x}}\n"));
    assert!(!parsed.documents[0].damaged && parsed.has_errors());
}

#[test]
fn an_unquoted_tag_says_how_to_quote_it() {
    let found = lines(&format!("{HEAD}spec: {{entrypoint: {{{{workflow.parameters.x}}}}}}\n"));
    assert!(found[0].contains("quote text that begins with"), "{found:?}");
}

#[test]
fn bytes_that_are_no_text_are_a_finding() {
    let parsed = parse_bytes("model.bin", b"\x80\x02ccollections\n");
    assert_eq!(
        parsed.diagnostics[0].to_string().lines().next(),
        Some("model.bin:1:1: error[E001]: the file is not UTF-8 text: byte 0x80")
    );
}
