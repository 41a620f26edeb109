//! Which runs of the list are meant: Argo's selectors.

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::selectors::{Fields, Labels, labels_of};
use dropforge_driver::store::IndexEntry;
use dropforge_engine::phase::RunPhase;
use jiff::Timestamp;

use crate::args::FilterArgs;
use crate::error::CliError;
use crate::since::moment;

/// The label of a run that another one was resubmitted as.
const RESUBMITTED: &str = "workflows.argoproj.io/resubmitted-from-workflow";

const PHASES: [RunPhase; 5] =
    [RunPhase::Pending, RunPhase::Running, RunPhase::Succeeded, RunPhase::Failed, RunPhase::Error];

/// What a run must be to be meant.
pub struct Filter {
    labels: Labels,
    fields: Fields,
    phases: Vec<RunPhase>,
    completed: bool,
    resubmitted: bool,
    prefix: String,
    finished_before: Option<Timestamp>,
}

impl Filter {
    /// Reads the flags.
    ///
    /// # Errors
    /// `Usage` names the flag that is wrong.
    pub fn of(args: &FilterArgs) -> Result<Filter, CliError> {
        let wrong = |flag: &str, why: &dyn std::fmt::Display| CliError::Usage(format!("{flag}: {why}"));
        let text = |option: &Option<String>| option.clone().unwrap_or_default();
        let older = args.older.as_deref().map(|ago| moment("--older", ago, SystemClock.now()));
        Ok(Filter {
            labels: labels(&args.selector)?,
            fields: Fields::parse(&text(&args.field_selector))
                .map_err(|why| wrong("--field-selector", &why))?,
            phases: args.status.iter().map(|name| phase(name)).collect::<Result<_, _>>()?,
            completed: args.completed,
            resubmitted: args.resubmitted,
            prefix: text(&args.prefix),
            finished_before: older.transpose()?,
        })
    }

    /// Whether a run is meant.
    pub fn selects(&self, entry: &IndexEntry) -> bool {
        let labels = labels_of(entry);
        let in_time = |before: Timestamp| entry.finished_at.is_some_and(|at| at < before);
        self.labels.matches(&labels)
            && self.fields.matches(entry)
            && (self.phases.is_empty() || self.phases.contains(&entry.phase))
            && (!self.completed || entry.phase.completed())
            && (!self.resubmitted || labels.contains_key(RESUBMITTED))
            && entry.name.starts_with(&self.prefix)
            && self.finished_before.is_none_or(in_time)
    }
}

/// The namespace whose runs are meant; none: all of them.
pub fn namespace<'a>(args: &FilterArgs, namespace: &'a str) -> Option<&'a str> {
    (!args.all_namespaces).then_some(namespace)
}

/// Reads `-l`.
///
/// # Errors
/// `Usage` names the part that is wrong.
pub fn labels(selector: &Option<String>) -> Result<Labels, CliError> {
    let text = selector.as_deref().unwrap_or_default();
    Labels::parse(text).map_err(|why| CliError::Usage(format!("--selector: {why}")))
}

fn phase(name: &str) -> Result<RunPhase, CliError> {
    let found = PHASES.into_iter().find(|phase| phase.to_string().eq_ignore_ascii_case(name.trim()));
    found.ok_or_else(|| {
        let names: Vec<String> = PHASES.iter().map(ToString::to_string).collect();
        CliError::Usage(format!("--status: {name:?} is no phase of a run: there are {}", names.join(", ")))
    })
}
