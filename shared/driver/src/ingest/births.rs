//! Runs brought into the world for somebody else to advance.

use dropforge_engine::event::{Command, Verb};
use dropforge_engine::ids::{CommandId, RunUid};
use dropforge_engine::spec::RunSpec;

use crate::births::{Library, Site};
use crate::definitions;
use crate::doorbells::{Doorbells, Ring, Why};
use crate::ingest::NewRuns;
use crate::starts::{Births, Here, News};
use crate::store::{Documents, StoreError};

/// Marker, spec, doorbell; a creator that finds the spec already there rings all the same.
pub(super) struct RungBirths<'a, S, D> {
    store: &'a S,
    doorbells: &'a D,
    site: &'a Site,
    here: Here<'a>,
    /// Loaded when the first run needs it.
    library: Option<Library>,
}

impl<'a, S, D> RungBirths<'a, S, D> {
    pub(super) fn new(store: &'a S, doorbells: &'a D, site: &'a Site, here: Here<'a>) -> Self {
        RungBirths { store, doorbells, site, here, library: None }
    }
}

impl<S: Documents + NewRuns, D: Doorbells> Births for RungBirths<'_, S, D> {
    type Error = StoreError;

    async fn made_of(&mut self) -> Result<(&Library, &Site), StoreError> {
        if self.library.is_none() {
            let (defined, unreadable) = definitions::load(self.store, self.here.namespace).await?;
            unreadable.iter().for_each(|why| tracing::warn!("a definition can't be read: {why}"));
            self.library = Some(defined.templates);
        }
        Ok((self.library.get_or_insert_default(), self.site))
    }

    async fn submit(&mut self, spec: &RunSpec) -> Result<(), StoreError> {
        self.store.create(spec).await?;
        self.doorbells.ring(&[Ring::new(spec.uid.clone(), Why::Submitted)]).await
    }

    fn is_there(&self, _: &RunUid) -> bool {
        // Whoever died after the spec may not have rung.
        false
    }

    async fn terminate(&mut self, run: &RunUid, by: String) -> Result<(), StoreError> {
        let id = CommandId::from(format!("replaced-{run}"));
        let command = Command { id: id.clone(), by, at: self.here.now, verb: Verb::Terminate };
        self.store.command(run, &command).await?;
        self.doorbells.ring(&[Ring::new(run.clone(), Why::Command(id))]).await
    }

    fn tell(&mut self, news: News) {
        tracing::info!(namespace = self.here.namespace, "{news}");
    }
}
