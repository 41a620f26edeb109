//! The sample pipelines as worlds have them: every command does well, and gives what the next ones need.

use std::collections::BTreeMap;

use dropforge_driver::births::Library;
use dropforge_engine::attempt::Attempt;
use dropforge_manifest::parse::{AnyObject, parse};
use dropforge_manifest::types::{Artifact, Outputs, Parameter, S3Location, Workflow, WorkflowTemplateRef};

use crate::plan::Plan;
use crate::random::Random;

/// A sample, and how often each of its commands runs.
#[derive(Debug)]
pub struct Sample {
    text: &'static str,
    commands: &'static [(&'static str, u32)],
    /// Whether a person has to say yes.
    pub asks: bool,
}

macro_rules! sample {
    ($name:literal, $asks:literal, $commands:expr) => {
        Sample {
            text: include_str!(concat!("../../../samplepipelines/", $name, "/pipeline.yaml")),
            commands: $commands,
            asks: $asks,
        }
    };
}

static SAMPLES: [Sample; 8] = [
    sample!("approval", true, &[("publish", 1), ("train-model", 1)]),
    sample!("data-drop", false, &[("check-data", 1), ("train-model", 1)]),
    sample!("gpu-training", false, &[("evaluate-model", 1), ("prepare-data", 1), ("train-model", 1)]),
    sample!(
        "hyperparameter-search",
        false,
        &[("choose-best", 1), ("list-candidates", 1), ("publish-best", 1), ("try-candidate", 6)]
    ),
    sample!("ml-pipeline", false, &[("evaluate", 1), ("preprocess", 1), ("store", 1), ("train", 1)]),
    sample!("notebook", false, &[("run-notebook", 1)]),
    sample!("scheduled-retraining", false, &[("publish", 1), ("train-challenger", 1)]),
    sample!(
        "train-until-accurate",
        false,
        &[("evaluate-accuracy", 3), ("train-model", 3), ("upload-if-accurate", 1)]
    ),
];

/// The sample of a world, if it has one; the shrinker takes it for a part of the first workflow.
pub fn of(plan: &Plan) -> Option<&'static Sample> {
    let mut random = Random::new(plan.seed, "sample");
    let there = random.chance(1, 8) && plan.wide && !plan.dropped.contains(&0);
    there.then(|| random.pick(&SAMPLES))
}

impl Sample {
    /// The workflow, and the stored template that it may be.
    pub fn workflow(&self) -> (Workflow, Library) {
        let mut library = Library::default();
        let object = parse("pipeline.yaml", self.text).documents.into_iter().next().map(|d| d.object);
        match object {
            Some(AnyObject::Workflow(workflow)) => (*workflow, library),
            Some(AnyObject::WorkflowTemplate(template)) => {
                let name = template.metadata.name.clone().unwrap_or_default();
                library.add(false, &name, &template.metadata, template.spec);
                let mut workflow = Workflow {
                    api_version: "argoproj.io/v1alpha1".to_owned(),
                    kind: "Workflow".to_owned(),
                    ..Workflow::default()
                };
                workflow.metadata.generate_name = Some(format!("{name}-"));
                workflow.spec.workflow_template_ref =
                    Some(WorkflowTemplateRef { name, cluster_scope: false });
                (workflow, library)
            }
            _ => panic!("a sample is neither a workflow nor a template of one"),
        }
    }

    /// How often each command is to run.
    pub fn commands(&self) -> BTreeMap<String, u32> {
        self.commands.iter().map(|(template, times)| ((*template).to_owned(), *times)).collect()
    }
}

/// What the command of a sample gives.
pub fn outputs(attempt: &Attempt) -> Outputs {
    let template = &attempt.work.template;
    let given = |parameter: &Parameter| Parameter {
        name: parameter.name.clone(),
        value: Some(value(attempt, &parameter.name).into()),
        ..Parameter::default()
    };
    let stored = |artifact: &Artifact| {
        let key = format!("{}/{}", attempt.work.artifact_prefix, artifact.name);
        let own = S3Location { key: Some(key), ..S3Location::default() };
        Artifact { s3: Some(artifact.s3.clone().unwrap_or(own)), ..artifact.clone() }
    };
    let result = match template.name.as_str() {
        "list-candidates" => {
            let one = |n: u32| format!(r#"{{"name": "c{n}", "trees": {n}, "depth": 1}}"#);
            Some(format!("[{}]", (0..6).map(one).collect::<Vec<_>>().join(", ")))
        }
        "choose-best" => Some("c0".to_owned()),
        _ => None,
    };
    Outputs {
        parameters: template.outputs.parameters.iter().map(given).collect(),
        artifacts: template.outputs.artifacts.iter().map(stored).collect(),
        result,
        exit_code: Some("0".to_owned()),
    }
}

fn value(attempt: &Attempt, parameter: &str) -> String {
    let input = |name: &str| {
        let given = attempt.work.template.inputs.parameters.iter().find(|given| given.name == name);
        given.and_then(|given| given.value.as_ref()).map(ToString::to_string).unwrap_or_default()
    };
    let iteration = input("iteration").parse::<u32>().unwrap_or(0);
    match (attempt.work.template.name.as_str(), parameter) {
        // The third model is good enough.
        ("train-model", "test-accuracy") => (50 + 15 * iteration).to_string(),
        ("evaluate-accuracy", "test-accuracy") => input("test-accuracy"),
        ("evaluate-accuracy", "iteration") => (iteration + 1).to_string(),
        (_, "score") => r#"{"name": "c0", "validation_accuracy": 1}"#.to_owned(),
        (_, "is-better") => "yes".to_owned(),
        _ => "0.9".to_owned(),
    }
}
