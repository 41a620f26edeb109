//! The containers of a pod: those of a `containerSet` and their order, those before and beside the main one.

use crate::codes::Code;
use crate::types::{Container, ContainerSet, MAIN, Probe, Template, VolumeMount};

use super::order::Order;
use super::template::{DURATION_REMEDY, label};
use super::{SpecCheck, did_you_mean, language, names, volumes};

/// Every container of a template with its path.
pub(super) fn containers<'t>(template: &'t Template, path: &str) -> Vec<(String, &'t Container)> {
    let list = |field: &str, containers: &'t [Container]| -> Vec<(String, &'t Container)> {
        let path = |index| format!("{path}.{field}[{index}]");
        containers.iter().enumerate().map(|(index, container)| (path(index), container)).collect()
    };
    let single = [("container", &template.container), ("script", &template.script)];
    let single = single.into_iter().filter_map(|(field, c)| Some((format!("{path}.{field}"), c.as_ref()?)));
    let set = template.container_set.as_ref().map_or(&[][..], |set| &set.containers);
    list("initContainers", &template.init_containers)
        .into_iter()
        .chain(single)
        .chain(list("containerSet.containers", set))
        .chain(list("sidecars", &template.sidecars))
        .collect()
}

pub(super) fn check(check: &SpecCheck<'_>, template: &Template, path: &str) {
    for (at, container) in containers(template, path) {
        fields(check, template, container, path, &at);
    }
    volumes::declared(check, &template.volumes, &format!("{path}.volumes"));
    if let Some(set) = &template.container_set {
        container_set(check, template, set, &format!("{path}.containerSet"));
    }
    for (index, container) in template.init_containers.iter().enumerate() {
        named(
            check,
            template,
            container,
            "initContainers must all have container name",
            &format!("{path}.initContainers[{index}]"),
            path,
        );
    }
    for (index, sidecar) in template.sidecars.iter().enumerate() {
        let at = format!("{path}.sidecars[{index}]");
        let missing = format!("{}.sidecars[{index}].name is required", label(template));
        named(check, template, sidecar, &missing, &at, path);
        reserved(check, &format!("{}.sidecars", label(template)), sidecar, &at);
    }
    names_twice(check, template, path);
    daemon(check, template, path);
}

/// A container before or beside the main one has a name, of which a folder can be made.
fn named(
    check: &SpecCheck<'_>,
    template: &Template,
    container: &Container,
    missing: &str,
    at: &str,
    path: &str,
) {
    if container.name().is_empty() {
        check.report(Code::E108, at, missing, "add `name`, by which `logs -c` finds it");
    } else if let Some(why) = names::workflow_field(container.name()) {
        let message = format!(
            "{}{}.name: '{}' is invalid: name {why}",
            label(template),
            &at[path.len()..],
            container.name()
        );
        check.report(Code::E101, at, message, "choose a name such as load-data");
    }
}

/// What every container of the pod must keep to, and the fields that only some of them have.
fn fields(check: &SpecCheck<'_>, template: &Template, container: &Container, path: &str, at: &str) {
    let field = &at[path.len()..];
    let in_set = field.starts_with(".containerSet");
    let beside = field.starts_with(".initContainers") || field.starts_with(".sidecars");
    let unknown = |name: &str, set: bool, remedy: &str| {
        if set {
            let message = format!("unknown field \"{name}\"");
            check.report(Code::E005, &format!("{at}.{name}"), message, remedy);
        }
    };
    unknown(
        "source",
        field != ".script" && container.source.is_some(),
        "only a `script` has `source`: rename `container` to `script`, or use `command` and `args`",
    );
    unknown(
        "dependencies",
        !in_set && !container.dependencies.is_empty(),
        "only the containers of a `containerSet` have `dependencies`",
    );
    unknown(
        "mirrorVolumeMounts",
        !beside && container.mirror_volume_mounts.is_some(),
        "only `initContainers` and `sidecars` have `mirrorVolumeMounts`",
    );
    if (in_set || beside) && container.image.as_deref().unwrap_or_default().is_empty() {
        let message = format!("{}{field}.image is empty", label(template));
        check.subject.warn(Code::E108, at, message, "name the image, such as `image: python:3.12`");
    }
    let placed = |at: &str, mounts: &'_ [VolumeMount]| -> Vec<(String, VolumeMount)> {
        let place = |index| format!("{at}.volumeMounts[{index}]");
        mounts.iter().enumerate().map(|(index, mount)| (place(index), mount.clone())).collect()
    };
    let mut mounts = placed(at, &container.volume_mounts);
    if let Some(set) = template.container_set.as_ref().filter(|_| in_set) {
        mounts.extend(placed(&format!("{path}.containerSet"), &set.volume_mounts));
    }
    let holds_inputs = !beside && (!in_set || container.name() == MAIN);
    let inputs = if holds_inputs { template.inputs.artifacts.as_slice() } else { &[] };
    volumes::mounts(check, template, &mounts, inputs, path);
    volumes::resources(check, container, at);
    environment(check, container, at);
    if let Some(probe) = &container.readiness_probe {
        self::probe(check, probe, &format!("{at}.readinessProbe"));
    }
}

fn environment(check: &SpecCheck<'_>, container: &Container, path: &str) {
    for (index, variable) in container.env.iter().enumerate() {
        let path = format!("{path}.env[{index}]");
        if variable.name.is_empty() {
            check.report(Code::E108, &path, "env name is required", "name the variable");
        }
        if variable.value.as_deref().is_some_and(|value| !value.is_empty()) && variable.value_from.is_some() {
            let message = format!("env {} has both value and valueFrom", variable.name);
            check.report(Code::E108, &path, message, "keep one of the two");
        }
    }
}

fn probe(check: &SpecCheck<'_>, probe: &Probe, path: &str) {
    let ways = [probe.exec.is_some(), probe.http_get.is_some(), probe.tcp_socket.is_some()];
    // `grpc` is refused by itself.
    if probe.grpc.is_none() && ways.iter().filter(|set| **set).count() != 1 {
        let message = "a probe asks in exactly one way: exec, httpGet or tcpSocket";
        check.report(Code::E108, path, message, "write for instance `tcpSocket: {port: 8080}`");
    }
}

/// Argo's rules for a set of containers, in its words.
fn container_set(check: &SpecCheck<'_>, template: &Template, set: &ContainerSet, path: &str) {
    let said = format!("{}.containerSet", label(template));
    if set.containers.is_empty() {
        let message = format!("{said}.containers must have at least one container");
        check.report(Code::E108, path, message, "add a container under `containers`");
    }
    for (index, container) in set.containers.iter().enumerate() {
        let at = format!("{path}.containers[{index}]");
        if let Some(why) = names::workflow_field(container.name()) {
            let message = match container.name() {
                "" => format!("{said}.containers[{index}].name {why}"),
                name => format!("{said}.containers[{index}].name: '{name}' is invalid: name {why}"),
            };
            check.report(Code::E101, &at, message, "choose a name such as load-data");
        }
        reserved(check, &format!("{said}.containers"), container, &at);
    }
    let uses_files = !template.inputs.artifacts.is_empty()
        || !template.outputs.parameters.is_empty()
        || !template.outputs.artifacts.is_empty();
    if uses_files && template.main().is_none() {
        let message = format!("{said}.containers must have a container named \"main\" for input or output");
        check.report(Code::E108, path, message, "call the container that reads or leaves the files `main`");
    }
    dependencies(check, set, &said, path);
    if let Some(retry) = &set.retry_strategy {
        let at = format!("{path}.retryStrategy");
        let retries = retry.retries.as_ref().map(|r| r.as_str()).unwrap_or_default();
        if !language::has_tag(retries) && retries.parse::<u32>().is_err() {
            let message = format!("{said}.retryStrategy.retries {retries:?} is no whole number");
            check.report(
                Code::E406,
                &at,
                message,
                "write how often a container runs at most, such as `retries: 3`",
            );
        }
        let duration = retry.duration.as_deref().filter(|d| !d.is_empty() && !language::has_tag(d));
        if let Some(Err(why)) = duration.map(language::duration) {
            let message = format!("{said}.retryStrategy has invalid duration format: {why}");
            check.report(Code::E407, &format!("{at}.duration"), message, DURATION_REMEDY);
        }
    }
}

fn dependencies(check: &SpecCheck<'_>, set: &ContainerSet, said: &str, path: &str) {
    let known = || set.containers.iter().map(Container::name);
    for (index, container) in set.containers.iter().enumerate() {
        for wanted in container.dependencies.iter().filter(|wanted| !known().any(|name| name == *wanted)) {
            let message = format!("{said}.containers.{} dependency '{wanted}' not defined", container.name());
            let remedy = did_you_mean(wanted, known(), "name a container of this set");
            check.report(Code::E403, &format!("{path}.containers[{index}].dependencies"), message, remedy);
        }
    }
    let named =
        set.containers.iter().map(|c| (c.name().to_owned(), c.dependencies.iter().cloned().collect()));
    let order = Order::of(named.collect());
    if let Some(chain) = order.circle() {
        let message = format!("{said}.containers dependency cycle detected: {}", chain.join("->"));
        check.report(Code::E402, &format!("{path}.containers"), message, "remove one of these dependencies");
    }
}

/// The names that Argo gives the containers of its own.
fn reserved(check: &SpecCheck<'_>, said: &str, container: &Container, at: &str) {
    let name = container.name();
    if matches!(name, "wait" | "supervisor") || name.starts_with("artifact-plugin-") {
        let message = format!("{said}: \"{name}\" is a reserved Argo container name");
        check.report(Code::E101, at, message, "choose another name");
    }
}

/// A pod's containers have names of their own: logs and ends are known by them.
fn names_twice(check: &SpecCheck<'_>, template: &Template, path: &str) {
    let mut seen: Vec<&str> = Vec::new();
    for (at, container) in containers(template, path) {
        let single =
            template.container_set.is_none() && (at.ends_with(".container") || at.ends_with(".script"));
        let name = if single { MAIN } else { container.name() };
        if !name.is_empty() && seen.contains(&name) {
            let field = at[path.len()..].trim_start_matches('.');
            let message = format!("{}.{field}.name '{name}' is not unique", label(template));
            check.report(Code::E102, &at, message, "rename one of the two");
        }
        seen.push(name);
    }
}

fn daemon(check: &SpecCheck<'_>, template: &Template, path: &str) {
    if template.is_daemon() && !template.is_pod() && !template.bodies().is_empty() {
        let message = format!("{}.daemon has no meaning in a template without a container", label(template));
        let remedy = "set it on the template whose container keeps running";
        check.subject.warn(Code::E107, &format!("{path}.daemon"), message, remedy);
    }
}
