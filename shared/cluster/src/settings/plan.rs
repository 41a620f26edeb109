//! What a step with an image runs with on this machine.

use super::{Requirements, Settings, image};
use crate::gpus::Gpus;
use crate::python::Wanted;

/// What stands for an image on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePlan {
    /// What its lock entry is called: the image's entry in the settings, and whether it is the stand-in's.
    pub name: String,
    /// What the step's programs are.
    pub runs: Runs,
    /// The person's files that the step gets.
    pub code: CodeFiles,
    /// Whether a stand-in for machines without a GPU replaces the image.
    pub is_stand_in: bool,
    /// What a person should be told of it, one sentence.
    pub said: Option<String>,
}

/// Where a step's programs come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runs {
    /// An environment with these packages.
    Environment {
        /// The packages.
        requirements: Requirements,
        /// The wanted Python; nothing where any does.
        python: Option<Wanted>,
    },
    /// A plain Python without packages.
    Python {
        /// The wanted Python; nothing where any does.
        python: Option<Wanted>,
    },
    /// Whatever PATH has.
    Path,
}

/// Which of the person's files a step gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CodeFiles {
    /// Globs of the files, relative to the settings' root.
    pub include: Vec<String>,
    /// Globs of files that are left out.
    pub exclude: Vec<String>,
    /// Globs of files that replace those of the same name, their first folder left off.
    pub replace: Vec<String>,
}

/// What a step with `image` runs with on a machine with these GPUs.
pub fn plan(image: &str, settings: &Settings, gpus: &Gpus) -> ImagePlan {
    let entry = settings.image(image);
    let stand_in = entry.and_then(|entry| entry.without_gpu.as_ref()).filter(|_| gpus.is_empty());
    let requirements = stand_in
        .and_then(|stand_in| stand_in.requirements.clone())
        .or_else(|| entry.and_then(|entry| entry.requirements.clone()))
        .filter(|requirements| !requirements.is_empty());
    let tag = image::python(image);
    let said = stand_in.and_then(|stand_in| stand_in.python).or_else(|| entry.and_then(|entry| entry.python));
    let python = said.or_else(|| tag.flatten());
    let runs = match requirements {
        Some(requirements) => Runs::Environment { requirements, python },
        None if said.is_some() || tag.is_some() => Runs::Python { python },
        None => Runs::Path,
    };
    let code = CodeFiles {
        include: settings.code.include.clone(),
        exclude: settings.code.exclude.clone(),
        replace: stand_in.map(|stand_in| stand_in.code.clone()).unwrap_or_default(),
    };
    let pattern = entry.map_or(image, |entry| entry.pattern.as_str());
    ImagePlan {
        name: if stand_in.is_some() { format!("{pattern} without a GPU") } else { pattern.to_owned() },
        said: stand_in.map(|_| sentence(image, &runs, &code)),
        is_stand_in: stand_in.is_some(),
        runs,
        code,
    }
}

fn sentence(image: &str, runs: &Runs, code: &CodeFiles) -> String {
    let packages = match runs {
        Runs::Environment { requirements, .. } => format!(" with {}", requirements.packages.join(", ")),
        Runs::Python { .. } | Runs::Path => String::new(),
    };
    let files = match code.replace.as_slice() {
        [] => String::new(),
        globs => format!(", and the code {}", globs.join(", ")),
    };
    format!("no GPU on this machine: the stand-in for {image} runs instead{packages}{files}")
}
