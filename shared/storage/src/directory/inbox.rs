//! Commands left for a run.

use dropforge_driver::store::{Created, Inbox, StoreError};
use dropforge_engine::event::Command;
use dropforge_engine::ids::{CommandId, RunUid};

use super::DirectoryStore;
use crate::files::{self, Lock};
use crate::letter::{LETTER_FORMAT, Letter};
use crate::tombstone::no_such_run;
use crate::{json, keys};

impl Inbox for DirectoryStore {
    async fn put_command(&self, run: &RunUid, command: &Command) -> Result<Created, StoreError> {
        // The marker can't be removed between the two.
        let _lock = Lock::shared(&self.live_lock())?;
        if self.is_buried(run)? {
            return Err(no_such_run(run));
        }
        self.mark(run)?;
        let path = self.at(keys::command(run, &command.id)?);
        self.create_only(
            &path,
            &json::bytes(&path, &Letter { format: LETTER_FORMAT, command: command.clone() })?,
        )
    }

    async fn commands(&self, run: &RunUid) -> Result<Vec<Command>, StoreError> {
        let folder = self.at(keys::inbox(run)?);
        let mut commands = Vec::new();
        for name in files::names(&folder)? {
            let path = folder.join(name);
            // None: its record was committed since the folder was read.
            if let Some(bytes) = files::read(&path)? {
                commands.push(json::parse::<Letter>(&path, &bytes, LETTER_FORMAT)?.command);
            }
        }
        commands.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        Ok(commands)
    }

    async fn command(&self, run: &RunUid, command: &CommandId) -> Result<Option<Command>, StoreError> {
        let path = self.at(keys::command(run, command)?);
        let letter = files::read(&path)?.map(|bytes| json::parse::<Letter>(&path, &bytes, LETTER_FORMAT));
        Ok(letter.transpose()?.map(|letter| letter.command))
    }

    async fn remove_command(&self, run: &RunUid, command: &CommandId) -> Result<(), StoreError> {
        files::remove(&self.at(keys::command(run, command)?))
    }
}
