//! The definitions in the folder, checked and stored.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::crons::{self, Times};
use dropforge_driver::definitions::{
    self,
    folder::{self, Contents, Loaded},
};
use dropforge_driver::owner::chain;
use dropforge_driver::store::Documents;
use dropforge_manifest::check::{Options, check};
use dropforge_manifest::diagnostic::Diagnostic;
use dropforge_manifest::parse::{Document, parse};

use super::Dev;
use crate::commands::definitions::begin_trigger;
use crate::error::CliError;
use crate::output::say;
use crate::project::{Sources, manifests, own_text};
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
        let before = folder::loaded(&*self.session.store, &self.global.namespace).await?;
        let findings = self.findings(&sources, &before).await?;
        let bad: BTreeSet<&str> = findings.iter().filter(|f| f.is_error()).map(|f| f.file.as_str()).collect();
        self.tell(findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), bad.is_empty());
        let (mut loaded, mut changed) = (Contents::new(), BTreeSet::new());
        let good = sources.documents.iter().filter(|d| !bad.contains(d.file.as_str()));
        for document in good.filter(|d| definitions::is_definition(&d.object)) {
            let key = self.key_of(document);
            let entry = Loaded { file: document.file.clone(), text: own_text(document)? };
            if self.put(document, &entry.text, before.get(&key)).await? {
                changed.insert(key.clone());
            }
            loaded.insert(key, entry);
        }
        let missing = before.into_iter().filter(|(key, _)| !loaded.contains_key(key)).collect::<Contents>();
        if bad.is_empty() {
            self.remove(missing.keys()).await?;
        } else {
            // What a file with errors defined can't be told from what was taken away.
            loaded.extend(missing);
        }
        folder::note(&*self.session.store, &self.global.namespace, &loaded).await?;
        self.look(&changed).await
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

    /// What is wrong with the folder's objects, which know those that people stored beside it.
    async fn findings(&self, sources: &Sources, before: &Contents) -> Result<Vec<Diagnostic>, CliError> {
        let (store, namespace) = (&*self.session.store, self.global.namespace.as_str());
        let own: BTreeSet<String> = sources.documents.iter().map(|document| self.key_of(document)).collect();
        let mut all = sources.documents.clone();
        for key in definitions::keys(store, namespace).await? {
            let Some(stored) = store.get(&key).await?.filter(|_| !own.contains(&key)) else { continue };
            if !before.contains_key(&key) {
                all.extend(parse(&key, &String::from_utf8_lossy(&stored.body)).documents);
            }
        }
        let files: BTreeSet<&str> = sources.documents.iter().map(|document| document.file.as_str()).collect();
        let mut findings = sources.diagnostics.clone();
        let checked = check(&all, &Options::default());
        findings.extend(checked.into_iter().filter(|finding| files.contains(finding.file.as_str())));
        Ok(findings)
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

    /// Stores what a file defines, unless only the store has changed since it was loaded: whoever changed a definition
    /// last has the say.
    async fn put(&self, document: &Document, text: &str, before: Option<&Loaded>) -> Result<bool, CliError> {
        let (store, namespace) = (&*self.session.store, self.global.namespace.as_str());
        let unchanged = before.is_some_and(|before| before.text == text);
        if unchanged && store.get(&self.key_of(document)).await?.is_some() {
            return Ok(false);
        }
        let changed = definitions::put(store, namespace, document, text).await?;
        if changed {
            let (kind, name) = (document.object.kind().to_lowercase(), document.object.name());
            say(&format!("{kind} {name}: loaded from {}", document.file));
        }
        Ok(changed)
    }

    /// Takes away what the folder defined and defines no more; what people stored one by one stays.
    async fn remove(&self, keys: impl Iterator<Item = &String>) -> Result<(), CliError> {
        let (store, namespace) = (&*self.session.store, self.global.namespace.as_str());
        for key in keys {
            let Some((kind, name)) = definitions::of_key(namespace, key) else { continue };
            definitions::take_away(store, namespace, kind, name).await?;
            say(&format!("{kind} {name}: taken away"));
        }
        Ok(())
    }

    /// Looks at what is stored, and watches it. `changed` names definitions that were saved anew.
    pub(super) async fn look(&mut self, changed: &BTreeSet<String>) -> Result<(), CliError> {
        let (store, namespace) = (self.session.store.clone(), self.global.namespace.clone());
        let (defined, unreadable) = definitions::load(&*store, &namespace).await?;
        for why in unreadable {
            say(&why);
        }
        for (name, trigger) in &defined.triggers {
            let saved = changed.contains(&definitions::key(&namespace, "Trigger", name));
            begin_trigger(&self.session.home, &namespace, trigger, saved).await?;
        }
        self.times.clear();
        for (name, cron) in &defined.crons {
            crons::keep::begin(&*store, &namespace, cron, SystemClock.now()).await?;
            match Times::of(&cron.spec) {
                Ok(times) => drop(self.times.insert(name.clone(), times)),
                Err(why) => say(&format!("cronworkflow {name}: {}", chain(&why))),
            }
        }
        self.definitions = defined;
        Ok(())
    }
}
