//! Triggers and schedules that a seed makes up.

use dropforge_driver::crons::MISSED_TICKS;
use dropforge_driver::reminders::Starter;
use dropforge_manifest::parse::{Document, parse};
use serde_json::{Value, json};

use crate::flow::{self, Flow};
use crate::plan::Plan;
use crate::random::Random;

/// The namespace of everything.
pub const NAMESPACE: &str = "default";

/// The bucket that the trigger looks at.
pub const BUCKET: &str = "uploads";

/// What the keys begin with that it takes.
pub const PREFIX: &str = "in/";

const TRIGGER: &str = "arrivals";
const CRON: &str = "ticking";

/// The workflows of trigger and schedule have these numbers; without their first part they are not there.
const OF_TRIGGER: u32 = 3;
const OF_CRON: u32 = 4;

/// A trigger.
#[derive(Clone, Debug)]
pub struct Watching {
    /// What its runs do.
    pub flow: Flow,
    /// Objects of a full batch, and the seconds after which one is closed that is not full.
    pub batch: Option<(Option<u32>, u32)>,
    /// For how many seconds a key must be quiet.
    pub debounce: Option<u32>,
    /// `concurrencyPolicy`.
    pub policy: &'static str,
    /// `maxActive`.
    pub max_active: Option<u32>,
    /// Whether its bucket keeps versions.
    pub versioned: bool,
}

/// A schedule.
#[derive(Clone, Debug)]
pub struct Ticking {
    /// What its runs do.
    pub flow: Flow,
    /// Its schedules.
    pub schedules: &'static [&'static str],
    /// `concurrencyPolicy`.
    pub policy: &'static str,
    /// What becomes of ticks that nobody was there for.
    pub missed: Option<&'static str>,
    /// Whether it is suspended in between.
    pub pauses: bool,
}

/// The trigger of a world, if it has one.
pub fn watching(plan: &Plan) -> Option<Watching> {
    let mut random = Random::new(plan.seed, "trigger");
    let there = random.chance(1, 4) && plan.wide && !plan.dropped.contains(&(OF_TRIGGER * 1000));
    there.then(|| Watching {
        flow: flow::short(plan, OF_TRIGGER),
        batch: random.chance(1, 3).then(|| {
            let count = random.chance(2, 3).then(|| 2 + u32::try_from(random.below(2)).unwrap_or(0));
            (count, 5 + u32::try_from(random.below(60)).unwrap_or(0))
        }),
        debounce: random.chance(1, 4).then(|| 1 + u32::try_from(random.below(40)).unwrap_or(0)),
        policy: random.pick::<&str>(&["Allow", "Allow", "Queue", "Forbid", "Replace"]),
        max_active: random.chance(1, 3).then(|| 1 + u32::try_from(random.below(2)).unwrap_or(0)),
        versioned: random.chance(3, 4),
    })
}

/// The schedule of a world, if it has one.
pub fn ticking(plan: &Plan) -> Option<Ticking> {
    let mut random = Random::new(plan.seed, "schedule");
    let there = random.chance(1, 6) && plan.wide && !plan.dropped.contains(&(OF_CRON * 1000));
    let schedules: [&'static [&'static str]; 4] =
        [&["*/3 * * * *"], &["*/5 * * * *"], &["*/6 * * * *", "*/4 * * * *"], &["@every 150s"]];
    there.then(|| Ticking {
        flow: flow::short(plan, OF_CRON),
        schedules: random.pick::<&[&str]>(&schedules),
        policy: random.pick::<&str>(&["Allow", "Allow", "Forbid", "Replace"]),
        missed: *random.pick(&[Some("all"), Some("all"), Some("latest"), Some("none"), None]),
        pauses: random.chance(1, 4),
    })
}

impl Watching {
    /// Its name to those who remind of it.
    pub fn starter() -> Starter {
        Starter::Trigger { namespace: NAMESPACE.to_owned(), name: TRIGGER.to_owned() }
    }

    /// Its definition.
    pub fn manifest(&self) -> Value {
        let mut s3 = json!({"bucket": BUCKET, "prefix": PREFIX, "suffix": ".csv"});
        if let Some(debounce) = self.debounce {
            s3["debounce"] = json!(format!("{debounce}s"));
        }
        if let Some((count, window)) = self.batch {
            s3["batch"] = json!({"window": format!("{window}s")});
            if let Some(count) = count {
                s3["batch"]["count"] = json!(count);
            }
        }
        let mut spec =
            json!({"s3": s3, "concurrencyPolicy": self.policy, "workflow": flow::spec(&self.flow)});
        if let Some(max) = self.max_active {
            spec["maxActive"] = json!(max);
        }
        json!({
            "apiVersion": "dropforge.dev/v1alpha1",
            "kind": "Trigger",
            "metadata": {"name": TRIGGER},
            "spec": spec,
        })
    }

    /// How many others of its runs may be active when one is created; none: any number.
    pub fn others_max(&self) -> Option<usize> {
        match self.policy {
            "Queue" => Some(self.max_active.unwrap_or(1) as usize - 1),
            "Forbid" => Some(0),
            "Replace" => None,
            _ => Some(self.max_active.unwrap_or(10) as usize - 1),
        }
    }

    /// Whether objects may come to nothing.
    pub fn drops(&self) -> bool {
        matches!(self.policy, "Forbid" | "Replace")
    }

    /// How many objects a run of its has at most.
    pub fn members_max(&self) -> usize {
        match self.batch {
            None => 1,
            Some((count, _)) => count.map_or(usize::MAX, |count| count as usize),
        }
    }
}

impl Ticking {
    /// Its name to those who remind of it.
    pub fn starter() -> Starter {
        Starter::CronWorkflow { namespace: NAMESPACE.to_owned(), name: CRON.to_owned() }
    }

    /// Its definition.
    pub fn manifest(&self, suspended: bool) -> Value {
        let annotations = self.missed.map_or(json!({}), |missed| json!({MISSED_TICKS: missed}));
        json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "CronWorkflow",
            "metadata": {"name": CRON, "annotations": annotations},
            "spec": {
                "schedules": self.schedules,
                "concurrencyPolicy": self.policy,
                "suspend": suspended,
                "workflowSpec": flow::spec(&self.flow),
            },
        })
    }
}

/// A manifest as the product reads it, with its text.
pub fn document(manifest: &Value) -> (Document, String) {
    let text = manifest.to_string();
    let mut parsed = parse("made-up.yaml", &text);
    match parsed.documents.pop() {
        Some(document) => (document, text),
        None => panic!("a made-up definition can't be read: {text}: {:?}", parsed.diagnostics),
    }
}
