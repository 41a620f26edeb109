//! The definitions in the folder, checked and stored.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::crons::{self, Times};
use dropforge_driver::owner::chain;
use dropforge_driver::{definitions, triggers};
use dropforge_manifest::check::Options;
use dropforge_manifest::parse::{AnyObject, Document, parse};
use dropforge_storage::endpoint::create_bucket;
use serde_json::Value;

use super::Dev;
use crate::error::CliError;
use crate::output::{say, yaml};
use crate::project::{Sources, manifests};
use crate::session::settings;

impl Dev<'_> {
    /// Brings the store's definitions in line with the folder. A file with errors changes nothing: they are said, and
    /// what it defined before stays.
    pub(super) async fn reload(&mut self) -> Result<(), CliError> {
        let sources = match self.read() {
            Ok(sources) => sources,
            Err(why) => {
                say(&format!("{}: the definitions stay as they are", why.text()));
                return Ok(());
            }
        };
        let findings = sources.findings(&Options::default());
        let bad: BTreeSet<&str> = findings.iter().filter(|f| f.is_error()).map(|f| f.file.as_str()).collect();
        self.tell(findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), bad.is_empty());
        let mut changed = BTreeSet::new();
        let mut there = BTreeSet::new();
        let good = sources.documents.iter().filter(|d| !bad.contains(d.file.as_str()));
        for document in good.filter(|d| definitions::is_definition(&d.object)) {
            let key = self.key_of(document);
            if self.put(document).await? {
                changed.insert(key.clone());
            }
            there.insert(key);
        }
        // What a file with errors defined can't be told from what was taken away.
        if bad.is_empty() {
            self.remove_others(&there).await?;
            self.shared = there.into_iter().filter(|key| definitions::is_shared(key)).collect();
        }
        self.begin(&changed).await
    }

    /// Takes the settings anew where they have changed; wrong ones are said, and the old ones stay.
    pub(super) fn reload_settings(&mut self) -> Result<(), CliError> {
        match settings(self.args.steps.config.as_deref(), &self.args.dir) {
            Err(why) => say(&format!("{}: the settings stay as they are", why.text())),
            Ok(new) if new != self.settings => {
                self.session.set_settings(&self.args.steps, new.clone())?;
                self.settings = new;
                say("the settings have changed: runs that begin from now on use them");
            }
            Ok(_) => {}
        }
        Ok(())
    }

    fn read(&self) -> Result<Sources, CliError> {
        let files: Vec<PathBuf> = manifests(&self.args.dir)?;
        let store = self.session.store.root().canonicalize().unwrap_or_default();
        let outside = |file: &PathBuf| !file.canonicalize().is_ok_and(|file| file.starts_with(&store));
        Sources::read(&files.into_iter().filter(outside).collect::<Vec<_>>())
    }

    fn tell(&mut self, findings: String, good: bool) {
        if findings != self.findings && !findings.is_empty() {
            say(&findings);
        }
        if good && !self.good {
            say("the definitions have no errors any more");
        }
        (self.findings, self.good) = (findings, good);
    }

    fn key_of(&self, document: &Document) -> String {
        definitions::key(&self.global.namespace, document.object.kind(), document.object.name())
    }

    async fn put(&self, document: &Document) -> Result<bool, CliError> {
        let text = own_text(document)?;
        let changed = definitions::put(&*self.session.store, &self.global.namespace, document, &text).await?;
        if changed {
            let (kind, name) = (document.object.kind().to_lowercase(), document.object.name());
            say(&format!("{kind} {name}: loaded from {}", document.file));
        }
        Ok(changed)
    }

    /// Removes the stored definitions that the folder does not have; of those that all namespaces share only what it
    /// had: others may be another folder's.
    async fn remove_others(&self, there: &BTreeSet<String>) -> Result<(), CliError> {
        let (store, namespace) = (&*self.session.store, self.global.namespace.as_str());
        let keys = definitions::keys(store, namespace).await?;
        let own = |key: &String| !definitions::is_shared(key) || self.shared.contains(key);
        for key in keys.into_iter().filter(|key| !there.contains(key) && own(key)) {
            let Some((kind, name)) = definitions::of_key(namespace, &key) else { continue };
            definitions::remove(store, namespace, kind, name).await?;
            match kind {
                "trigger" => triggers::keep::forget(store, namespace, name).await?,
                "cronworkflow" => crons::keep::forget(store, namespace, name).await?,
                _ => {}
            }
            say(&format!("{kind} {name}: taken away"));
        }
        Ok(())
    }

    /// Watches what is defined.
    async fn begin(&mut self, changed: &BTreeSet<String>) -> Result<(), CliError> {
        let (store, namespace) = (self.session.store.clone(), self.global.namespace.clone());
        let (defined, unreadable) = definitions::load(&*store, &namespace).await?;
        for why in unreadable {
            say(&why);
        }
        let now = SystemClock.now();
        for (name, trigger) in &defined.triggers {
            let saved = changed.contains(&definitions::key(&namespace, "Trigger", name));
            triggers::keep::begin(&*store, &namespace, name, saved, now).await?;
            let bucket = &trigger.spec.s3.bucket;
            if create_bucket(store.buckets(), bucket)? {
                say(&format!("bucket {bucket}: made for trigger {name}"));
            }
        }
        self.times.clear();
        for (name, cron) in &defined.crons {
            crons::keep::begin(&*store, &namespace, cron, now).await?;
            match Times::of(&cron.spec) {
                Ok(times) => drop(self.times.insert(name.clone(), times)),
                Err(why) => say(&format!("cronworkflow {name}: {}", chain(&why))),
            }
        }
        self.definitions = defined;
        Ok(())
    }
}

/// The text of one document: as a person wrote it where it can be told from the others of its file.
fn own_text(document: &Document) -> Result<String, CliError> {
    let path = Path::new(&document.file);
    let text = std::fs::read_to_string(path).map_err(|source| CliError::File {
        action: "read",
        path: path.to_path_buf(),
        source,
    })?;
    let is_it = |part: &&str| {
        let parsed = parse(&document.file, part);
        matches!(parsed.documents.as_slice(), [one] if one.object == document.object)
    };
    let parts = std::iter::once(text.as_str()).chain(text.split("\n---"));
    let written = parts.filter(is_it).map(str::to_owned).next();
    match written {
        Some(text) => Ok(text),
        None => Ok(yaml(&object(&document.object)?)),
    }
}

fn object(object: &AnyObject) -> Result<Value, CliError> {
    Ok(match object {
        AnyObject::Workflow(o) => serde_json::to_value(o)?,
        AnyObject::WorkflowTemplate(o) | AnyObject::ClusterWorkflowTemplate(o) => serde_json::to_value(o)?,
        AnyObject::CronWorkflow(o) => serde_json::to_value(o)?,
        AnyObject::Trigger(o) => serde_json::to_value(o)?,
    })
}
