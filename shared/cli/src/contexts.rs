//! The contexts file: deployments on AWS by name, and how this person reaches them.
//!
//! It holds no credentials: those are found as every AWS program finds them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::CliError;

mod deployment;

pub use deployment::Deployment;
#[cfg(all(test, feature = "aws"))]
pub use deployment::Keys;
#[cfg(feature = "aws")]
pub use deployment::{Function, Namespace};

/// The version of the file that this code writes.
const FORMAT: u32 = 1;

/// One deployment, as this person reaches it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Context {
    /// What it is called here.
    #[serde(skip)]
    pub name: String,
    /// The namespace where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The profile of the AWS configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Another endpoint than AWS's own, for all services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The kubeconfig file; by itself what kubectl takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; by itself its current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_context: Option<String>,
    /// Whether the kubeconfig's cluster is the deployment's, whatever address it names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_cluster: bool,
    /// What Terraform made.
    pub deployment: Deployment,
}

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    format: u32,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

impl Default for Contexts {
    fn default() -> Self {
        Contexts { format: FORMAT, contexts: BTreeMap::new() }
    }
}

/// The file: `DROPFORGE_CONFIG`, else below the person's configuration folder.
///
/// # Errors
/// When the person has no home.
pub fn file() -> Result<PathBuf, CliError> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = || set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    set("DROPFORGE_CONFIG").or_else(|| Some(folder()?.join("dropforge/contexts.toml"))).ok_or_else(|| {
        CliError::Usage("HOME is not set: name the contexts file in DROPFORGE_CONFIG".to_owned())
    })
}

/// The context of this name.
///
/// # Errors
/// When the file can't be read, or has none of this name.
pub fn named(name: &str) -> Result<Context, CliError> {
    let file = file()?;
    let contexts = Contexts::load(&file)?;
    contexts.get(name).ok_or_else(|| CliError::Usage(unknown(name, &file, &contexts)))
}

/// What to say of a context that there is not.
pub fn unknown(name: &str, file: &Path, contexts: &Contexts) -> String {
    let there: Vec<&str> = contexts.names().collect();
    let others = match there.is_empty() {
        true => "there is none yet: `dropforge deploy`, or `dropforge context add`, makes one".to_owned(),
        false => format!("there are: {}", there.join(", ")),
    };
    format!("{} has no context {name:?}; {others}", file.display())
}

impl Contexts {
    /// What the file says; nothing where there is none.
    ///
    /// # Errors
    /// When it can't be read, or says what can't be followed.
    pub fn load(file: &Path) -> Result<Contexts, CliError> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Contexts::default()),
            Err(source) => return Err(CliError::File { action: "read", path: file.to_owned(), source }),
        };
        Contexts::parse(&text).map_err(|why| CliError::Usage(format!("{}: {why}", file.display())))
    }

    fn parse(text: &str) -> Result<Contexts, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        // A newer format may have any other key, so that the number is looked at alone first.
        let Format { format } = toml::from_str(text).map_err(|why| why.to_string())?;
        if format != FORMAT {
            return Err(format!("it has format {format}, and this dropforge knows format {FORMAT}"));
        }
        toml::from_str(text).map_err(|why| why.to_string())
    }

    /// Writes the file as a whole, or leaves the old one.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn save(&self, file: &Path) -> Result<(), CliError> {
        let failed = |source| CliError::File { action: "write", path: file.to_owned(), source };
        let text = toml::to_string_pretty(self)
            .map_err(|why| CliError::Below { what: "write the contexts", why: why.to_string() })?;
        let folder = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let part = file.with_extension(format!("part-{}", std::process::id()));
        std::fs::write(&part, text).map_err(failed)?;
        std::fs::rename(&part, file).map_err(failed)
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.contexts.keys().map(String::as_str)
    }

    /// The context of this name.
    pub fn get(&self, name: &str) -> Option<Context> {
        self.contexts.get(name).map(|context| Context { name: name.to_owned(), ..context.clone() })
    }

    /// Puts a context in the place of the one of its name; gives whether there was one.
    pub fn put(&mut self, context: Context) -> bool {
        self.contexts.insert(context.name.clone(), context).is_some()
    }

    /// Takes a context out; gives whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.contexts.remove(name).is_some()
    }
}

/// What to say where this program has no AWS in it.
#[cfg(not(feature = "aws"))]
pub fn without_aws() -> CliError {
    let why =
        "this dropforge was built for this machine alone: build it with `--features aws` to reach a context";
    CliError::Usage(why.to_owned())
}

#[cfg(test)]
mod tests;
