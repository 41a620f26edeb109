//! Stored templates that a workflow reaches: they read the arguments of the workflow that runs them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::codes::Code;
use crate::types::{Holder, Template, TemplateRef, WorkflowSpec};

use super::{SpecCheck, World, calls, language};

/// Every stored template that these templates lead to, with the object that holds it. Each holder's local names
/// are its own.
pub(super) fn reached<'d>(world: &World<'d>, from: &[Template]) -> Vec<(Holder<'d>, &'d Template)> {
    let references = from.iter().flat_map(|template| calls::deep(template, ""));
    let mut open: Vec<TemplateRef> = references.filter_map(|(call, _)| call.template_ref.clone()).collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    while let Some(reference) = open.pop() {
        let Some(document) = world.templates.get(&reference.holder()) else { continue };
        let holder = Holder { cluster: reference.cluster_scope, name: document.object.name() };
        let spec = document.object.workflow_spec().map(|(spec, _)| spec);
        let template = spec.and_then(|spec| spec.templates.iter().find(|t| t.name == reference.template));
        let Some(template) = template.filter(|_| seen.insert((holder, reference.template.clone()))) else {
            continue;
        };
        found.push((holder, template));
        open.extend(calls::deep(template, "").into_iter().map(|(call, _)| {
            let local = TemplateRef {
                name: holder.name.to_owned(),
                template: call.template.clone(),
                cluster_scope: holder.cluster,
            };
            call.template_ref.clone().unwrap_or(local)
        }));
    }
    found
}

/// Arguments that reached templates read and the workflow does not have.
pub(super) fn check(check: &SpecCheck<'_>) {
    if check.at_rest {
        return;
    }
    let world = check.subject.world;
    let stored: Option<(Holder<'_>, &WorkflowSpec)> = check
        .spec
        .workflow_template_ref
        .as_ref()
        .and_then(|r| world.stored(r.holder()).map(|spec| (r.holder(), spec)));
    if let Some((holder, spec)) = stored {
        let path = format!("{}.workflowTemplateRef", check.path);
        spec.templates.iter().for_each(|template| arguments(check, holder, template, &path));
        reached(world, &spec.templates)
            .iter()
            .for_each(|(holder, template)| arguments(check, *holder, template, &path));
    }
    for (index, template) in check.spec.templates.iter().enumerate() {
        let path = format!("{}.templates[{index}]", check.path);
        for (call, path) in
            calls::deep(template, &path).iter().filter(|(call, _)| call.template_ref.is_some())
        {
            let caller = Template { steps: Some(vec![vec![(*call).clone()]]), ..Template::default() };
            let path = format!("{path}.templateRef");
            reached(world, &[caller])
                .iter()
                .for_each(|(holder, template)| arguments(check, *holder, template, &path));
        }
    }
}

fn arguments(check: &SpecCheck<'_>, holder: Holder<'_>, template: &Template, path: &str) {
    let mut names = BTreeSet::new();
    if let Ok(value) = serde_json::to_value(template) {
        read(&value, &mut names);
    }
    let given = &check.subject.world.options.given;
    let known =
        |name: &str| check.merged.arguments.parameters.iter().any(|p| p.name == name) || given.contains(name);
    for name in names.iter().filter(|name| !known(name)) {
        let message = format!(
            "failed to resolve {{{{workflow.parameters.{name}}}}}, which template '{}' of '{}' reads",
            template.name, holder.name
        );
        check.report(
            Code::E201,
            path,
            message,
            format!("add '{name}' to this workflow's `arguments.parameters`"),
        );
    }
}

fn read(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let needs = language::tags(text).unwrap_or_default().into_iter().flat_map(|tag| tag.needs);
            let arguments =
                needs.filter_map(|name| name.strip_prefix("workflow.parameters.").map(str::to_owned));
            names.extend(arguments.filter(|name| name != "json"));
        }
        Value::Array(items) => items.iter().for_each(|item| read(item, names)),
        Value::Object(fields) => fields.values().for_each(|field| read(field, names)),
        _ => {}
    }
}
