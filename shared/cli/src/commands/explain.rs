//! `explain`: why a run or a node ran, waits or failed, said from the records; and what a code means.

use std::fmt::Write as _;

use dropforge_engine::attempt::{StoredObject, Verdict};
use dropforge_engine::event::Command;
use dropforge_engine::ids::RunUid;
use dropforge_engine::memo::Memo;
use dropforge_engine::phase::NodePhase;
use dropforge_engine::record::{NodeKind, Record, Role};
use dropforge_engine::spec::Cause;
use dropforge_engine::view::{View, ViewAttempt, ViewNode};
use dropforge_engine::waiting::{waiting, waiting_on};
use dropforge_manifest::codes::Code;
use jiff::Timestamp;
use serde_json::json;

use crate::args::{ExplainArgs, ExplainOutput};
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::home::Home;
use crate::lookup::{self, Sketch};
use crate::output::{self, tree};

/// Explains.
///
/// # Errors
/// When there is no such run, node or code.
#[tokio::main(flavor = "current_thread")]
pub async fn explain(global: &Global, args: &ExplainArgs) -> Result<Exit, CliError> {
    if let Some(code) = Code::parse(&args.run) {
        output::text(&format!("{}\n", code.page().trim_end()))?;
        return Ok(Exit::Succeeded);
    }
    if is_code(&args.run) {
        return Err(CliError::Usage(format!("there is no finding {}; these are:{}", args.run, codes())));
    }
    let store = lookup::reader(global).await?;
    let entry = lookup::entry(&store, global, &args.run).await?;
    let Some(wanted) = &args.node else {
        explain_run(&store, &entry.uid, args.output).await?;
        return Ok(Exit::Succeeded);
    };
    let view = lookup::view(&store, &entry.uid).await?;
    let node = view.find(wanted);
    let node = node.ok_or_else(|| CliError::NoNode { run: entry.name.clone(), node: wanted.clone() })?;
    match args.output {
        ExplainOutput::Text => output::text(&node_text(&view, node))?,
        ExplainOutput::Json => output::json(&node_json(&view, node))?,
    }
    Ok(Exit::Succeeded)
}

/// Names of runs have no capital letters.
fn is_code(text: &str) -> bool {
    matches!(text.as_bytes(), [b'A'..=b'Z', digits @ ..] if digits.len() == 3 && digits.iter().all(u8::is_ascii_digit))
}

fn codes() -> String {
    Code::ALL.iter().map(|code| format!("\n  {}  {}", code.name(), code.title())).collect()
}

async fn explain_run(store: &Home, uid: &RunUid, how: ExplainOutput) -> Result<(), CliError> {
    let mut sketch = Sketch::blank(store, uid).await?;
    let mut heard = Heard::default();
    while let Some(records) = sketch.next(store, uid).await? {
        sketch.fold();
        records.into_iter().for_each(|record| heard.add(record));
    }
    match how {
        ExplainOutput::Text => output::text(&run_text(&sketch.view, &heard)),
        ExplainOutput::Json => {
            let head = serde_json::to_string_pretty(&run_json(&sketch.view, &heard))?;
            with_records(store, uid, &head).await
        }
    }
}

/// Writes an object with all records of the run as its last member, one after the other.
async fn with_records(store: &Home, uid: &RunUid, head: &str) -> Result<(), CliError> {
    let mut text = format!("{},\n  \"records\": [", head.strip_suffix("\n}").unwrap_or(head));
    let mut before = "";
    lookup::records(store, uid, |record| {
        let record = serde_json::to_string_pretty(record)?.replace('\n', "\n    ");
        text += &format!("{}\n    {record}", std::mem::replace(&mut before, ","));
        if text.len() < WRITTEN_BYTES { Ok(()) } else { output::data(&std::mem::take(&mut text)) }
    })
    .await?;
    output::data(&format!("{text}\n  ]\n}}\n"))
}

/// So much is written at once.
const WRITTEN_BYTES: usize = 1 << 16;

/// What of a run's records is told one by one.
#[derive(Default)]
struct Heard {
    records: usize,
    /// Why locks were refused.
    refusals: Vec<String>,
    /// Commands, with why they were refused.
    commands: Vec<(Box<Command>, Option<String>)>,
}

impl Heard {
    fn add(&mut self, record: Record) {
        self.records += 1;
        match record {
            Record::LocksRefused { hint, .. } if !hint.is_empty() => self.refusals.push(hint),
            Record::CommandRead { command, refused } => self.commands.push((command, refused)),
            _ => {}
        }
    }
}

fn run_text(view: &View, heard: &Heard) -> String {
    let state = &view.state;
    let spec = &state.program.spec;
    let mut out = String::new();
    let _ = writeln!(out, "{} (uid {})", spec.name(), spec.uid);
    let _ = writeln!(out, "why it ran: {}", cause(&spec.cause));
    let _ = writeln!(out, "submitted {}", spec.created_at);
    for parameter in &spec.spec.arguments.parameters {
        let value = match state.argument(parameter) {
            Some(Ok(value)) => value,
            Some(Err(why)) => why,
            None => String::new(),
        };
        let _ = writeln!(out, "  parameter {} = {value}", parameter.name);
    }
    let _ = writeln!(out, "{}", tree::verdict(state.phase, spec.name(), &state.message));
    for node in view.nodes.values().filter(|n| n.phase.failed() && is_leaf(n)) {
        let _ = writeln!(out, "failed: {} {}: {}", view.display_name(node), node.phase, node.message);
    }
    for node in view.nodes.values().filter(|node| node.folded > 0) {
        let (name, more) = (view.display_name(node), node.folded);
        let _ = writeln!(out, "{name}: {more} more of its items are over; `get -o json` shows them all");
    }
    if !state.phase.completed() {
        for held in waiting(state) {
            let _ = writeln!(out, "waits: {held}");
        }
    }
    for hint in &heard.refusals {
        let _ = writeln!(out, "lock refused: {hint}");
    }
    for (command, refused) in &heard.commands {
        let what = refused.as_ref().map_or("applied".to_owned(), |why| format!("refused: {why}"));
        let _ = writeln!(out, "{} at {}: {:?}: {what}", command.by, command.at, command.verb);
    }
    let _ = writeln!(
        out,
        "{} records; `dropforge explain {} NODE` says more of a node",
        heard.records,
        spec.name()
    );
    out
}

fn is_leaf(node: &ViewNode) -> bool {
    matches!(node.kind, NodeKind::Pod | NodeKind::Suspend | NodeKind::Skipped)
}

fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Person { by } => format!("{by} submitted it"),
        Cause::Schedule { cron, scheduled_time } => format!("schedule {cron}, tick {scheduled_time}"),
        Cause::Drop { trigger, objects } => {
            let names: Vec<String> = objects
                .iter()
                .map(|o| {
                    format!(
                        "s3://{}/{} ({} bytes, etag {}, version {})",
                        o.bucket, o.key, o.size, o.etag, o.version_id
                    )
                })
                .collect();
            format!("trigger {trigger}: {}", names.join(", "))
        }
    }
}

fn node_text(view: &View, node: &ViewNode) -> String {
    let mut out = String::new();
    let template = node.template.as_ref().map(|t| format!(", template {}", t.name)).unwrap_or_default();
    let _ = writeln!(out, "{}{template}: {}", node.name, node.phase);
    let _ = writeln!(out, "why: {}", reason(view, node));
    for parameter in &node.inputs.parameters {
        let value = parameter.value.as_ref().map_or("", |v| v.as_str());
        let _ = writeln!(out, "  input {} = {}", parameter.name, short(value));
    }
    if let Some(memo) = &node.memo {
        let _ = writeln!(out, "memoized: {}", memo_text(memo, node.memo_from.as_ref()));
    }
    for attempt in &node.attempts {
        attempt_text(attempt, &mut out);
    }
    for parameter in &node.outputs.parameters {
        let value = parameter.value.as_ref().map_or("", |v| v.as_str());
        let _ = writeln!(out, "  output {} = {}", parameter.name, short(value));
    }
    if let Some(held) = waiting_on(&view.state, node.id) {
        let _ = writeln!(out, "waits: {held}");
    }
    out
}

/// A value on one line; `get -o json` has all of it.
fn short(value: &str) -> String {
    let line: String = value.chars().take(200).collect::<String>().replace('\n', "\\n");
    if value.chars().count() > 200 { format!("{line}…") } else { line }
}

fn reason(view: &View, node: &ViewNode) -> String {
    let place = match &node.role {
        Role::Root => "it is the entrypoint".to_owned(),
        Role::WorkflowExit => "it is the workflow's exit handler".to_owned(),
        Role::Group(index) => format!("step group {index} came next"),
        Role::Call(name) => format!("{} calls it as {name}", parent_name(view, node)),
        Role::Item(index) => format!("it is item {index} of {}", parent_name(view, node)),
        Role::Attempt(number) => format!("it is attempt {number} of {}", parent_name(view, node)),
        Role::Exit => format!("{} ended, and this is its exit handler", owner_name(view, node)),
        Role::Hook(name) => format!("hook {name} of {} fired", owner_name(view, node)),
        Role::Container(name) => format!("it is container {name} of {}", parent_name(view, node)),
    };
    match node.phase {
        NodePhase::Skipped | NodePhase::Omitted | NodePhase::Failed | NodePhase::Error
            if !node.message.is_empty() =>
        {
            format!("{place}; {}", node.message)
        }
        _ => place,
    }
}

fn parent_name(view: &View, node: &ViewNode) -> String {
    let parent = node.boundary.or(node.parent).and_then(|p| view.nodes.get(&p));
    parent.map_or_else(String::new, |p| view.display_name(p))
}

fn memo_text(memo: &Memo, from: Option<&(String, Timestamp)>) -> String {
    let entry = format!("entry {} of cache {}", memo.entry.key, memo.entry.cache);
    match (memo.hit, from) {
        (None, _) => format!("{entry} is being looked up"),
        (Some(true), Some((node, written))) => format!("{entry}, which {node} gave at {written}"),
        (Some(true), None) => entry,
        (Some(false), Some((_, written))) => format!("{entry} of {written} is older than maxAge: it ran"),
        (Some(false), None) => format!("{entry} was not there: it ran"),
    }
}

/// The node that a hook hangs on.
fn owner_name(view: &View, node: &ViewNode) -> String {
    let owner = node.parent.and_then(|p| view.nodes.get(&p));
    owner.map_or_else(String::new, |o| view.display_name(o))
}

fn attempt_text(attempt: &ViewAttempt, out: &mut String) {
    let _ = writeln!(
        out,
        "attempt {} ({}), asked for at {}",
        attempt.attempt.number, attempt.attempt.id, attempt.asked_at
    );
    match &attempt.verdict {
        Some(verdict) => verdict_text(verdict, out),
        None => {
            let since =
                attempt.running_at.map_or("has not begun".to_owned(), |at| format!("runs since {at}"));
            let _ = writeln!(out, "  {since}");
        }
    }
}

fn verdict_text(verdict: &Verdict, out: &mut String) {
    let code = verdict.exit_code.map(|c| format!(", exit code {c}")).unwrap_or_default();
    let _ = writeln!(out, "  {:?} ({:?}{code}) {}", verdict.outcome, verdict.reason, verdict.message);
    for container in &verdict.containers {
        let code = container.exit_code.map_or(String::new(), |code| format!("exit code {code}"));
        let why = if container.message.is_empty() { code } else { container.message.clone() };
        let _ = writeln!(out, "  container {} {:?}: {why}", container.name, container.outcome);
    }
    let p = &verdict.provenance;
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(out, "  {name}: {value}");
        }
    };
    fact("image", &p.image);
    fact("python", p.python.as_deref().unwrap_or_default());
    fact("environment", p.lock_hash.as_deref().unwrap_or_default());
    fact(
        "code",
        &[p.code_hash.clone(), p.git.clone()].into_iter().flatten().collect::<Vec<_>>().join(" git "),
    );
    fact("stand-in", p.stand_in.as_deref().unwrap_or_default());
    fact("isolation", &p.isolation);
    fact("command", &short(&p.command.join(" ")));
    for object in &p.inputs {
        fact("read", &object_text(object));
    }
    for object in &p.outputs {
        fact("wrote", &object_text(object));
    }
    let usage = &verdict.usage;
    let gpus = if usage.gpus.is_empty() { String::new() } else { format!(", gpus {}", usage.gpus.join(",")) };
    let used = format!(
        "cpu {:.2} s, peak memory {} MiB, wall {:.2} s{gpus}",
        usage.cpu_seconds,
        usage.memory_bytes_max >> 20,
        usage.wall_seconds
    );
    fact("used", &used);
}

fn object_text(object: &StoredObject) -> String {
    let place = if object.bucket.is_empty() {
        object.key.clone()
    } else {
        format!("s3://{}/{}", object.bucket, object.key)
    };
    let version = object.version_id.as_ref().map(|v| format!(", version {v}")).unwrap_or_default();
    // A repository has none: its commit stands for its content.
    let digest = if object.sha256.is_empty() { String::new() } else { format!(", sha256 {}", object.sha256) };
    format!("{} from {place} ({} bytes{digest}{version})", object.name, object.size)
}

/// But for the records.
fn run_json(view: &View, heard: &Heard) -> serde_json::Value {
    let spec = &view.state.program.spec;
    let commands = heard.commands.iter();
    let commands: Vec<_> =
        commands.map(|(command, refused)| json!({ "command": command, "refused": refused })).collect();
    json!({
        "uid": spec.uid, "name": spec.name(), "cause": spec.cause, "createdAt": spec.created_at,
        "phase": view.state.phase, "message": view.state.message, "waiting": waiting(&view.state), "commands": commands,
    })
}

fn node_json(view: &View, node: &ViewNode) -> serde_json::Value {
    let attempts: Vec<_> = node
        .attempts
        .iter()
        .map(|a| json!({ "id": a.attempt.id, "number": a.attempt.number, "askedAt": a.asked_at, "runningAt": a.running_at, "verdict": a.verdict }))
        .collect();
    json!({
        "name": node.name, "displayName": view.display_name(node), "phase": node.phase, "message": node.message,
        "why": reason(view, node), "inputs": node.inputs, "outputs": node.outputs, "attempts": attempts, "waiting": waiting_on(&view.state, node.id),
    })
}
