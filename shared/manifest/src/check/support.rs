//! The one table of what of Argo's language runs here, what is without meaning on one machine, and what is
//! refused until it is supported. A field that stands in no table row is unknown to Argo and reported by `parse`.

use crate::codes::Code;
use crate::source::{Node, Scalar, Value, join};

use super::Subject;

#[cfg(test)]
mod tests;

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It works.
    Runs,
    /// It works; what is in it is decided by the rows of another object.
    Into(&'static str),
    /// It has no meaning on one machine, and nothing is lost.
    Silent,
    /// It has no meaning on one machine, which is said.
    Noted(&'static str),
    /// It does nothing here; the run's result is the same.
    Warned(&'static str),
    /// A pod has it; on one machine it would change what runs, and is refused. The text says what is supported instead.
    Pods(&'static str),
    /// It would change what runs: refused. The text says what is supported instead.
    Refused(&'static str),
}

use Decision::{Into, Noted, Pods, Refused, Runs, Silent, Warned};

/// An object and the decision on each of its fields; `*` stands for every other field.
pub type Row = (&'static str, &'static [(&'static str, Decision)]);

const ONE_MACHINE: &str = "there is one machine; steps run on it";
const POD_USER: &str = "a step runs as the person who started it, or as the user of its image; `runAsUser`, `runAsGroup` and `privileged` of a container hold with a container executor";
const LOCATION: &str =
    "use `s3` (the key of an object), `http` (a URL), `git` (a repository) or `raw` (the text itself)";
const DATABASE_LOCK: &str = "there is no database here: leave `database` out, and the lock is kept in the store, which all its runs share";
const LEAF: &str = "use a `container` or `script` template";

/// The table.
pub const TABLE: &[Row] = &[
    (
        "spec",
        &[
            ("entrypoint", Runs),
            ("arguments", Into("arguments")),
            ("templates", Into("template")),
            ("workflowTemplateRef", Into("workflowTemplateRef")),
            ("onExit", Runs),
            ("hooks", Into("hooks")),
            ("parallelism", Runs),
            ("activeDeadlineSeconds", Runs),
            ("suspend", Runs),
            ("shutdown", Refused("use `dropforge stop` or `dropforge terminate`")),
            ("retryStrategy", Into("retryStrategy")),
            ("volumes", Into("volume")),
            ("volumeClaimTemplates", Runs),
            ("volumeClaimGC", Runs),
            ("archiveLogs", Runs),
            ("priority", Runs),
            ("serviceAccountName", Silent),
            ("templateDefaults", Into("template")),
            ("synchronization", Into("synchronization")),
            ("metrics", Into("metrics")),
            ("workflowMetadata", Runs),
            ("ttlStrategy", Runs),
            (
                "podGC",
                Warned("a pod goes as soon as its end is on record; logs, results and artifacts are kept"),
            ),
            ("artifactGC", Into("artifactGC")),
            ("artifactRepositoryRef", Noted("artifacts go to the store's own repository")),
            ("executorPlugins", Refused(LEAF)),
            ("podMetadata", Silent),
            ("podSpecPatch", Runs),
            ("automountServiceAccountToken", Silent),
            ("executor", Silent),
            ("podPriorityClassName", Silent),
            ("schedulerName", Silent),
            ("nodeSelector", Noted(ONE_MACHINE)),
            ("affinity", Noted(ONE_MACHINE)),
            ("tolerations", Silent),
            ("imagePullSecrets", Silent),
            ("hostNetwork", Silent),
            ("dnsPolicy", Silent),
            ("dnsConfig", Noted("names are resolved as the machine resolves them")),
            ("hostAliases", Pods("use the address itself")),
            ("securityContext", Noted(POD_USER)),
            ("podResources", Pods("set `resources` on the container")),
            ("resourceClaims", Pods("ask for GPUs with `resources.limits[\"nvidia.com/gpu\"]`")),
            ("podDisruptionBudget", Silent),
        ],
    ),
    ("workflowTemplateRef", &[("name", Runs), ("clusterScope", Runs)]),
    ("templateRef", &[("name", Runs), ("template", Runs), ("clusterScope", Runs)]),
    (
        "template",
        &[
            ("name", Runs),
            ("inputs", Into("arguments")),
            ("outputs", Into("outputs")),
            ("container", Into("container")),
            ("script", Into("container")),
            ("steps", Into("call")),
            ("dag", Into("dag")),
            ("suspend", Into("suspend")),
            ("containerSet", Into("containerSet")),
            ("resource", Refused(LEAF)),
            ("data", Refused("use a `script` template that prints the list")),
            ("http", Into("http")),
            ("plugin", Refused(LEAF)),
            ("retryStrategy", Into("retryStrategy")),
            ("parallelism", Runs),
            ("failFast", Runs),
            ("activeDeadlineSeconds", Runs),
            ("timeout", Runs),
            ("pendingTimeout", Runs),
            ("daemon", Runs),
            ("volumes", Into("volume")),
            ("initContainers", Into("container")),
            ("sidecars", Into("container")),
            ("archiveLocation", Into("archiveLocation")),
            ("metadata", Silent),
            ("annotations", Runs),
            ("synchronization", Into("synchronization")),
            ("memoize", Into("memoize")),
            ("metrics", Into("metrics")),
            ("podSpecPatch", Runs),
            ("nodeSelector", Noted(ONE_MACHINE)),
            ("affinity", Noted(ONE_MACHINE)),
            ("tolerations", Silent),
            ("schedulerName", Silent),
            ("priorityClassName", Silent),
            ("serviceAccountName", Silent),
            ("automountServiceAccountToken", Silent),
            ("executor", Silent),
            ("hostAliases", Pods("use the address itself")),
            ("securityContext", Noted(POD_USER)),
            ("podResources", Pods("set `resources` on the container")),
            ("resourceClaims", Pods("ask for GPUs with `resources.limits[\"nvidia.com/gpu\"]`")),
        ],
    ),
    (
        // A pod's spec, as far as `podSpecPatch` sets it.
        "pod",
        &[
            ("containers", Into("container")),
            ("initContainers", Into("container")),
            ("volumes", Into("volume")),
            ("activeDeadlineSeconds", Refused("set `activeDeadlineSeconds` on the template")),
            ("affinity", Silent),
            ("automountServiceAccountToken", Silent),
            ("dnsConfig", Silent),
            ("dnsPolicy", Silent),
            ("enableServiceLinks", Silent),
            ("ephemeralContainers", Refused("use `sidecars` of the template")),
            ("hostAliases", Pods("use the address itself")),
            ("hostIPC", Silent),
            ("hostNetwork", Silent),
            ("hostPID", Silent),
            ("hostUsers", Silent),
            ("hostname", Pods("a step has the machine's name")),
            ("imagePullSecrets", Silent),
            ("nodeName", Silent),
            ("nodeSelector", Silent),
            ("os", Silent),
            ("overhead", Silent),
            ("preemptionPolicy", Silent),
            ("priority", Silent),
            ("priorityClassName", Silent),
            ("readinessGates", Silent),
            ("resourceClaims", Pods("ask for GPUs with `resources.limits[\"nvidia.com/gpu\"]`")),
            ("resources", Pods("set `resources` on the container")),
            ("restartPolicy", Refused("use `retryStrategy` on the template")),
            ("runtimeClassName", Silent),
            ("schedulerName", Silent),
            ("schedulingGates", Silent),
            ("securityContext", Silent),
            ("serviceAccount", Silent),
            ("serviceAccountName", Silent),
            ("setHostnameAsFQDN", Silent),
            ("shareProcessNamespace", Silent),
            ("subdomain", Silent),
            ("terminationGracePeriodSeconds", Silent),
            ("tolerations", Silent),
            ("topologySpreadConstraints", Silent),
        ],
    ),
    ("archiveLocation", &[("archiveLogs", Runs), ("*", Refused("set `s3` on each output artifact"))]),
    (
        "container",
        &[
            ("name", Runs),
            ("image", Runs),
            ("command", Runs),
            ("args", Runs),
            ("source", Runs),
            ("workingDir", Runs),
            ("env", Into("env")),
            ("envFrom", Runs),
            ("resources", Into("resources")),
            ("volumeMounts", Into("volumeMount")),
            ("imagePullPolicy", Silent),
            ("lifecycle", Pods("do it in the step's command")),
            ("livenessProbe", Noted("nothing probes a step; its `timeout` ends it")),
            ("ports", Silent),
            ("readinessProbe", Into("probe")),
            ("resizePolicy", Silent),
            ("restartPolicy", Refused("use `retryStrategy` on the template")),
            ("restartPolicyRules", Refused("use `retryStrategy` on the template")),
            ("securityContext", Noted(POD_USER)),
            ("startupProbe", Noted("nothing probes a step")),
            ("stdin", Silent),
            ("stdinOnce", Silent),
            ("terminationMessagePath", Silent),
            ("terminationMessagePolicy", Silent),
            ("tty", Silent),
            ("volumeDevices", Pods("use `volumeMounts`")),
            ("dependencies", Runs),
            ("mirrorVolumeMounts", Runs),
        ],
    ),
    (
        "containerSet",
        &[
            ("containers", Into("container")),
            ("volumeMounts", Into("volumeMount")),
            ("retryStrategy", Into("containerSetRetry")),
        ],
    ),
    ("containerSetRetry", &[("retries", Runs), ("duration", Runs)]),
    (
        "probe",
        &[
            ("exec", Runs),
            ("httpGet", Runs),
            ("tcpSocket", Runs),
            ("grpc", Pods("use `httpGet`, `tcpSocket` or `exec`")),
            ("initialDelaySeconds", Runs),
            ("periodSeconds", Runs),
            ("timeoutSeconds", Runs),
            ("successThreshold", Runs),
            ("failureThreshold", Silent),
            ("terminationGracePeriodSeconds", Silent),
        ],
    ),
    (
        "resources",
        &[
            ("requests", Runs),
            ("limits", Runs),
            ("claims", Pods("ask for GPUs with `limits[\"nvidia.com/gpu\"]`")),
        ],
    ),
    ("env", &[("name", Runs), ("value", Runs), ("valueFrom", Into("envSource"))]),
    (
        "envSource",
        &[
            ("secretKeyRef", Runs),
            ("configMapKeyRef", Runs),
            ("fieldRef", Runs),
            ("resourceFieldRef", Runs),
            ("fileKeyRef", Refused("use `secretKeyRef` or `configMapKeyRef`")),
        ],
    ),
    (
        "volumeMount",
        &[
            ("name", Runs),
            ("mountPath", Runs),
            ("subPath", Runs),
            ("subPathExpr", Runs),
            ("readOnly", Runs),
            ("recursiveReadOnly", Silent),
            ("mountPropagation", Silent),
        ],
    ),
    (
        "volume",
        &[
            ("name", Runs),
            ("emptyDir", Runs),
            ("persistentVolumeClaim", Runs),
            ("secret", Runs),
            ("configMap", Runs),
            (
                "*",
                Pods(
                    "use `persistentVolumeClaim` (a local folder of that name), `emptyDir`, `secret` or `configMap`",
                ),
            ),
        ],
    ),
    (
        "call",
        &[
            ("name", Runs),
            ("template", Runs),
            ("templateRef", Into("templateRef")),
            ("inline", Into("template")),
            ("arguments", Into("arguments")),
            ("withItems", Runs),
            ("withParam", Runs),
            ("withSequence", Runs),
            ("when", Runs),
            ("continueOn", Runs),
            ("onExit", Runs),
            ("hooks", Into("hooks")),
            ("dependencies", Runs),
            ("depends", Runs),
        ],
    ),
    ("memoize", &[("key", Runs), ("maxAge", Runs), ("cache", Into("cache"))]),
    // The name is a name of ours; no config map is read or made.
    ("cache", &[("configMap", Silent)]),
    ("dag", &[("target", Runs), ("tasks", Into("call")), ("failFast", Runs)]),
    ("suspend", &[("duration", Runs)]),
    ("hooks", &[("*", Into("hook"))]),
    (
        "hook",
        &[
            ("template", Runs),
            ("templateRef", Into("templateRef")),
            ("arguments", Into("arguments")),
            ("expression", Runs),
        ],
    ),
    ("synchronization", &[("semaphores", Into("semaphore")), ("mutexes", Into("mutex"))]),
    ("semaphore", &[("configMapKeyRef", Runs), ("namespace", Runs), ("database", Refused(DATABASE_LOCK))]),
    ("mutex", &[("name", Runs), ("namespace", Runs), ("database", Refused(DATABASE_LOCK))]),
    (
        "retryStrategy",
        &[
            ("limit", Runs),
            ("retryPolicy", Runs),
            ("backoff", Runs),
            ("expression", Runs),
            ("affinity", Noted(ONE_MACHINE)),
        ],
    ),
    ("arguments", &[("parameters", Into("parameter")), ("artifacts", Into("artifact"))]),
    (
        "outputs",
        &[
            ("parameters", Into("parameter")),
            ("artifacts", Into("artifact")),
            ("result", Silent),
            ("exitCode", Silent),
        ],
    ),
    (
        "parameter",
        &[
            ("name", Runs),
            ("value", Runs),
            ("default", Runs),
            ("valueFrom", Into("valueFrom")),
            ("globalName", Runs),
            ("enum", Runs),
            ("description", Runs),
        ],
    ),
    (
        "valueFrom",
        &[
            ("path", Runs),
            ("parameter", Runs),
            ("expression", Runs),
            ("default", Runs),
            ("supplied", Runs),
            ("configMapKeyRef", Runs),
            ("jsonPath", Refused("`resource` templates are not supported; use `path`")),
            ("jqFilter", Refused("`resource` templates are not supported; use `path`")),
            ("event", Refused("use a Trigger and {{trigger.key}}")),
        ],
    ),
    (
        "artifact",
        &[
            ("name", Runs),
            ("path", Runs),
            ("mode", Runs),
            ("recurseMode", Runs),
            ("from", Runs),
            ("fromExpression", Runs),
            ("subPath", Runs),
            ("globalName", Runs),
            ("archive", Into("archive")),
            ("optional", Runs),
            ("archiveLogs", Silent),
            ("artifactGC", Into("artifactGC")),
            ("deleted", Silent),
            ("s3", Into("s3")),
            ("raw", Runs),
            ("http", Into("httpLocation")),
            ("git", Into("git")),
            ("gcs", Refused(LOCATION)),
            ("azure", Refused(LOCATION)),
            ("oss", Refused(LOCATION)),
            ("hdfs", Refused(LOCATION)),
            ("artifactory", Refused(LOCATION)),
            ("plugin", Refused(LOCATION)),
        ],
    ),
    (
        "git",
        &[
            ("repo", Runs),
            ("revision", Runs),
            ("depth", Runs),
            ("fetch", Runs),
            ("usernameSecret", Runs),
            ("passwordSecret", Runs),
            ("sshPrivateKeySecret", Runs),
            ("insecureIgnoreHostKey", Runs),
            ("insecureSkipTLS", Runs),
            ("disableSubmodules", Runs),
            ("singleBranch", Runs),
            ("branch", Runs),
        ],
    ),
    ("archive", &[("none", Runs), ("tar", Runs), ("zip", Runs)]),
    (
        "artifactGC",
        &[
            ("strategy", Runs),
            ("serviceAccountName", Silent),
            ("podMetadata", Silent),
            ("podSpecPatch", Silent),
            ("forceFinalizerRemoval", Silent),
        ],
    ),
    ("metrics", &[("prometheus", Into("metric"))]),
    (
        "metric",
        &[
            ("name", Runs),
            ("labels", Runs),
            ("help", Runs),
            ("when", Runs),
            ("gauge", Runs),
            ("histogram", Runs),
            ("counter", Runs),
        ],
    ),
    (
        "http",
        &[
            ("method", Runs),
            ("url", Runs),
            ("headers", Runs),
            ("timeoutSeconds", Runs),
            ("successCondition", Runs),
            ("body", Runs),
            ("bodyFrom", Runs),
            ("insecureSkipVerify", Runs),
        ],
    ),
    (
        "httpLocation",
        &[("url", Runs), ("headers", Runs), ("auth", Into("httpAuth")), ("saveStreamViaFile", Silent)],
    ),
    (
        "httpAuth",
        &[
            ("basicAuth", Runs),
            ("clientCert", Runs),
            (
                "oauth2",
                Refused(
                    "fetch the token in a step before this one, and hand it over in the `Authorization` header",
                ),
            ),
        ],
    ),
    (
        "s3",
        &[
            ("key", Runs),
            ("bucket", Runs),
            ("endpoint", Silent),
            ("region", Silent),
            ("insecure", Silent),
            ("accessKeySecret", Silent),
            ("secretKeySecret", Silent),
            ("sessionTokenSecret", Silent),
            ("roleARN", Silent),
            ("useSDKCreds", Silent),
            ("createBucketIfNotPresent", Silent),
            ("encryptionOptions", Silent),
            ("caSecret", Silent),
            ("addressingStyle", Silent),
        ],
    ),
    (
        "cron",
        &[
            ("workflowSpec", Into("spec")),
            ("schedules", Runs),
            ("timezone", Runs),
            ("concurrencyPolicy", Runs),
            ("suspend", Runs),
            ("startingDeadlineSeconds", Runs),
            ("successfulJobsHistoryLimit", Runs),
            ("failedJobsHistoryLimit", Runs),
            ("workflowMetadata", Runs),
            ("stopStrategy", Runs),
            ("when", Runs),
        ],
    ),
    (
        "trigger",
        &[
            ("s3", Runs),
            ("workflowTemplateRef", Into("workflowTemplateRef")),
            ("workflow", Into("spec")),
            ("arguments", Into("arguments")),
            ("concurrencyPolicy", Runs),
            ("maxActive", Runs),
            ("suspend", Runs),
        ],
    ),
];

/// Reports every field of the object's spec that is not simply run.
pub(super) fn check(subject: &Subject<'_>) {
    let object = match subject.document.object.kind() {
        "CronWorkflow" => "cron",
        "Trigger" => "trigger",
        _ => "spec",
    };
    if let Some(spec) = subject.document.node.get("spec") {
        walk(subject, object, spec, "spec");
    }
}

fn walk(subject: &Subject<'_>, object: &str, node: &Node, path: &str) {
    let pods = subject.world.options.pods;
    for (index, item) in node.items().iter().enumerate() {
        walk(subject, object, item, &format!("{path}[{index}]"));
    }
    for entry in node.entries() {
        let path = join(path, &entry.key);
        let (key, value) = (entry.key.as_str(), &entry.value);
        match decision(object, key) {
            Some(Into(next)) => walk(subject, next, value, &path),
            Some(Refused(instead)) if !says_nothing(value) => {
                subject.report(Code::E601, &path, format!("`{key}` is not supported yet"), instead);
            }
            Some(Pods(instead)) if !pods && !says_nothing(value) => {
                let message = format!("`{key}` is not supported on one machine");
                subject.report(Code::E601, &path, message, instead);
            }
            Some(Noted(why)) if !pods && !says_nothing(value) => {
                subject.report(Code::N802, &path, format!("`{key}` means nothing on one machine"), why);
            }
            Some(Warned(why)) if !says_nothing(value) => {
                subject.report(Code::W709, &path, format!("`{key}` does nothing here"), why);
            }
            _ => {}
        }
    }
}

/// The table's word on a field.
pub fn decision(object: &str, field: &str) -> Option<Decision> {
    let (_, fields) = TABLE.iter().find(|(name, _)| *name == object)?;
    let exact = fields.iter().find(|(name, _)| *name == field);
    exact.or_else(|| fields.iter().find(|(name, _)| *name == "*")).map(|(_, decision)| *decision)
}

/// Whether a value is what Argo takes for "not set".
fn says_nothing(value: &Node) -> bool {
    match &value.value {
        Value::Scalar(scalar) => matches!(scalar, Scalar::Null | Scalar::Bool(false)),
        Value::Seq(items) => items.is_empty(),
        Value::Map(_) => false,
    }
}
