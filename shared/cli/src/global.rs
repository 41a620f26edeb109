//! What every verb works on: a store on this machine or a context, and a namespace.

use std::path::PathBuf;

use dropforge_manifest::check::Options;

use crate::args::GlobalArgs;
use crate::contexts::{self, Context};
use crate::error::CliError;

/// What the command line, the environment and the contexts file say together.
#[derive(Clone, Debug)]
pub struct Global {
    /// The folder that keeps runs, artifacts and buckets, where no context is named.
    pub store: PathBuf,
    /// The deployment on AWS that is meant.
    pub context: Option<Context>,
    /// The namespace.
    pub namespace: String,
}

/// Where a verb can do what it does.
#[derive(Clone, Copy, Debug)]
pub enum Reach {
    /// It looks at no run: what context is meant does not matter.
    Nowhere,
    /// On this machine only; what to do in a context instead.
    Here(&'static str),
    /// On this machine and in a context.
    Anywhere,
}

impl Global {
    /// Resolves what was typed.
    ///
    /// # Errors
    /// When the context is not known, or the verb does not reach it.
    pub fn of(args: &GlobalArgs, reach: Reach) -> Result<Global, CliError> {
        let named = args.context.as_deref().filter(|name| !name.is_empty());
        let context = match (named, reach) {
            (None, _) | (_, Reach::Nowhere) => None,
            (Some(name), Reach::Here(instead)) => return Err(only_here(name, instead)),
            (Some(name), Reach::Anywhere) => Some(contexts::named(name)?),
        };
        let own = context.as_ref().and_then(|context| context.namespace.clone());
        let namespace = args.namespace.clone().or(own).unwrap_or_else(|| "default".to_owned());
        Ok(Global { store: args.store.clone(), context, namespace })
    }

    /// Refuses a namespace that the context's deployment does not have: nothing would ever run there. A deployment that
    /// names none says nothing about them.
    ///
    /// # Errors
    /// `Usage` names those there are.
    pub fn known(&self, namespace: &str) -> Result<(), CliError> {
        let Some(context) = &self.context else { return Ok(()) };
        let there = &context.deployment.namespaces;
        if there.is_empty() || there.contains_key(namespace) {
            return Ok(());
        }
        let names: Vec<&str> = there.keys().map(String::as_str).collect();
        Err(CliError::Usage(format!(
            "the deployment of context {0} has no namespace {namespace:?}; there are: {1}: name one by -n, or in the \
             manifest's metadata.namespace; of one that Terraform has made since, the context hears by \
             `terraform output -json dropforge | dropforge context add {0} -`",
            context.name,
            names.join(", ")
        )))
    }

    /// Whether anything can be read: a context always can be asked.
    pub fn has_store(&self) -> bool {
        self.context.is_some() || self.store.is_dir()
    }

    /// What is taken for granted when a manifest is checked: in a context its steps are pods.
    pub fn checks(&self) -> Options {
        Options { pods: self.context.is_some(), ..Options::default() }
    }

    /// The same where templates may be stored already.
    pub fn checks_beside_stored(&self) -> Options {
        Options { stored_elsewhere: true, ..self.checks() }
    }

    /// Where runs are looked for, for people.
    pub fn place(&self) -> String {
        match &self.context {
            Some(context) => format!("namespace {} of context {}", self.namespace, context.name),
            None => format!("the store {}", self.store.display()),
        }
    }
}

fn only_here(context: &str, instead: &str) -> CliError {
    CliError::Usage(format!(
        "this works on this machine, not in context {context}: {instead}; `--context \"\"` means this machine"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contexts::Deployment;

    fn global(namespaces: &str) -> Global {
        let output = format!(
            r#"{{"format": 1, "region": "r", "control_bucket": "c", "artifact_bucket": "a", "events_queue_url": "q",
                "namespaces": {namespaces}}}"#
        );
        let context = Context {
            name: "cloud".to_owned(),
            namespace: None,
            profile: None,
            endpoint: None,
            kubeconfig: None,
            kube_context: None,
            any_cluster: false,
            deployment: Deployment::parse(&output).unwrap(),
        };
        Global { store: PathBuf::new(), context: Some(context), namespace: "default".to_owned() }
    }

    #[test]
    fn a_namespace_that_the_deployment_lacks_is_refused_with_those_there_are() {
        let two = global(r#"{"ml": {}, "data": {}}"#);
        let why = two.known("default").unwrap_err().text();
        assert_eq!(
            why,
            "the deployment of context cloud has no namespace \"default\"; there are: data, ml: name one by -n, or in \
             the manifest's metadata.namespace; of one that Terraform has made since, the context hears by \
             `terraform output -json dropforge | dropforge context add cloud -`"
        );
        two.known("ml").unwrap();
        global("{}").known("any").unwrap();
        Global { context: None, ..two }.known("default").unwrap();
    }
}
