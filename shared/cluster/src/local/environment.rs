//! What a step's process finds around it, made from the settings: once for each run and image, however many
//! steps use it.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use dropforge_driver::supervision::{ContainerEngine, StepEnvironment};
use dropforge_engine::ids::RunUid;
use tokio::sync::OnceCell;

use crate::code;
use crate::environments::{self, Environments, LOCK_FILE_NAME};
use crate::gpus::Gpus;
use crate::python::{self, Chosen, Pythons};
use crate::settings::{Code, CodeFiles, ImagePlan, Runs, Settings, plan};

/// Why a step has no environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// No interpreter stands for the image.
    #[error("find a Python for image {image}")]
    Python {
        /// The image.
        image: String,
        /// Why.
        #[source]
        source: python::Error,
    },
    /// Its packages can't be had.
    #[error("make the environment of image {image}")]
    Packages {
        /// The image.
        image: String,
        /// Why.
        #[source]
        source: environments::Error,
    },
    /// The person's files can't be had.
    #[error("pack the code")]
    Code(#[source] code::Error),
}

/// An environment with what people should be told of it.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// For the supervisor.
    pub environment: StepEnvironment,
    /// The engine that brings the image itself; none: the step is a process.
    pub engine: Option<ContainerEngine>,
    /// Whether a stand-in for machines without a GPU replaces the image, so that no GPU is needed.
    pub is_stand_in: bool,
    /// Sentences.
    pub said: Vec<String>,
}

/// With what environments are made.
#[derive(Clone, Debug)]
pub struct Workshop {
    /// `dropforge.toml`.
    pub settings: Settings,
    /// Holds environments, code and what interpreters said of themselves.
    pub cache: PathBuf,
    /// How packages are fetched.
    pub packages: environments::Options,
    /// Where interpreters are looked for.
    pub pythons: python::Places,
    /// The machine's GPUs.
    pub gpus: Gpus,
    /// The person's PATH, for images that nothing is said of.
    pub path: Vec<PathBuf>,
    /// The engine that runs steps as containers; none: they are processes.
    pub engine: Option<ContainerEngine>,
}

impl Workshop {
    /// Makes what a step with `image` finds; may install packages, which takes long.
    ///
    /// # Errors
    /// When Python, packages or code can't be had.
    pub fn make(&self, image: &str, progress: &dyn Fn(String)) -> Result<Made, EnvironmentError> {
        if let Some(engine) = &self.engine {
            return self.contained(engine);
        }
        let plan = plan(image, &self.settings, &self.gpus);
        let mut made = Made {
            engine: None,
            environment: StepEnvironment {
                claims: self.settings.claims.clone(),
                stand_in: plan.said.clone(),
                ..self.objects()
            },
            is_stand_in: plan.is_stand_in,
            said: plan.said.clone().into_iter().collect(),
        };
        self.add_programs(image, &plan, &mut made, progress)?;
        self.add_code(&plan.code, &mut made.environment)?;
        Ok(made)
    }

    /// What a container finds beside its image, which brings the programs: nothing stands in for it.
    fn contained(&self, engine: &ContainerEngine) -> Result<Made, EnvironmentError> {
        let environment = StepEnvironment { claims: self.settings.claims.clone(), ..self.objects() };
        let mut made = Made { environment, engine: Some(engine.clone()), ..Made::default() };
        let Code { include, exclude } = self.settings.code.clone();
        let code = CodeFiles { include, exclude, replace: Vec::new() };
        self.add_code(&code, &mut made.environment)?;
        Ok(made)
    }

    /// What a request finds: secrets and config maps, and no programs.
    pub fn objects(&self) -> StepEnvironment {
        StepEnvironment {
            secrets: Some(self.settings.secrets.clone()),
            config_maps: Some(self.settings.config_maps.clone()),
            ..StepEnvironment::default()
        }
    }

    fn add_programs(
        &self,
        image: &str,
        plan: &ImagePlan,
        made: &mut Made,
        progress: &dyn Fn(String),
    ) -> Result<(), EnvironmentError> {
        let no_python = |source| EnvironmentError::Python { image: image.to_owned(), source };
        let no_packages = |source| EnvironmentError::Packages { image: image.to_owned(), source };
        let pythons = Pythons::new(self.cache.clone(), self.pythons.clone());
        let (requirements, python) = match &plan.runs {
            Runs::Path => {
                made.environment.path.clone_from(&self.path);
                return Ok(());
            }
            Runs::Python { python } => (None, *python),
            Runs::Environment { requirements, python } => (Some(requirements), *python),
        };
        let chosen = pythons.choose(python).map_err(no_python)?;
        made.said.extend(chosen.said());
        made.environment.python = Some(version(&chosen));
        let Some(requirements) = requirements else {
            made.environment.path = vec![pythons.bin(&chosen.interpreter).map_err(no_python)?];
            return Ok(());
        };
        let environments = Environments::new(self.cache.clone(), self.packages.clone());
        let report = |news: environments::Progress| progress(news.to_string());
        let lock_file = self.settings.root.join(LOCK_FILE_NAME);
        let lock =
            environments.lock(&plan.name, requirements, &chosen, &lock_file, &report).map_err(no_packages)?;
        let ready = environments.ensure(&lock, &report).map_err(no_packages)?;
        if let Some(home) = ready.bin.parent() {
            let home = home.to_string_lossy().into_owned();
            made.environment.variables.insert("VIRTUAL_ENV".to_owned(), home);
        }
        made.environment.path = vec![ready.bin];
        made.environment.lock_hash = Some(ready.lock_hash);
        Ok(())
    }

    fn add_code(&self, files: &CodeFiles, environment: &mut StepEnvironment) -> Result<(), EnvironmentError> {
        if files.include.is_empty() && files.replace.is_empty() {
            return Ok(());
        }
        let packed = code::pack(&self.cache, &self.settings.root, files).map_err(EnvironmentError::Code)?;
        let files =
            packed.files.iter().map(|file| (PathBuf::from(&file.path), packed.folder.join(&file.path)));
        environment.files = files.collect();
        environment.git = packed.git.map(|git| git.to_string());
        environment.code_hash = Some(packed.hash);
        Ok(())
    }
}

fn version(chosen: &Chosen) -> String {
    let version = chosen.interpreter.version;
    match chosen.wanted.filter(|_| !chosen.is_exact()) {
        Some(wanted) => format!("{version} (wanted {wanted})"),
        None => version.to_string(),
    }
}

/// How many runs' environments are remembered. An older run's are made again when it goes on, which costs it
/// a look at the cache.
const RUNS_MAX: usize = 64;

/// One environment in the making, awaited by all who want it.
type Cell = Arc<OnceCell<Arc<Made>>>;

/// The environments of recent runs. A run keeps the code it began with.
#[derive(Default)]
pub struct Remembered {
    runs: Mutex<RecentRuns>,
}

/// The images of each run, and the runs by age.
#[derive(Default)]
struct RecentRuns {
    images: BTreeMap<RunUid, BTreeMap<String, Cell>>,
    by_age: VecDeque<RunUid>,
}

impl Remembered {
    /// The place of an image's environment within a run.
    pub fn cell(&self, run: &RunUid, image: &str) -> Cell {
        let mut recent = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if !recent.images.contains_key(run) {
            recent.by_age.push_back(run.clone());
            if recent.by_age.len() > RUNS_MAX
                && let Some(oldest) = recent.by_age.pop_front()
            {
                recent.images.remove(&oldest);
            }
        }
        recent.images.entry(run.clone()).or_default().entry(image.to_owned()).or_default().clone()
    }
}
