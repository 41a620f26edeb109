//! Commands left for a run.

use std::path::Path;

use dropforge_driver::owner::chain;
use dropforge_driver::store::{Created, Inbox, StoreError};
use dropforge_engine::event::Command;
use dropforge_engine::ids::{CommandId, RunUid};

use super::conditional::{Conditional, Put};
use super::requests::{Condition, Requests};
use super::{ObjectStore, key};
use crate::letter::{LETTER_FORMAT, Letter};
use crate::tombstone::no_such_run;
use crate::{json, keys};

impl<R: Requests> Inbox for ObjectStore<R> {
    /// The marker is written before the command, so that one whose writer dies is found, and again after it: whoever
    /// listed the inbox before the command was there then fails to remove the marker.
    async fn put_command(&self, run: &RunUid, command: &Command) -> Result<Created, StoreError> {
        let key = key(keys::command(run, &command.id)?);
        let letter = Letter { format: LETTER_FORMAT, command: command.clone() };
        self.mark(run).await?;
        let put = self.control.put(&key, json::bytes(Path::new(&key), &letter)?, Condition::Absent).await?;
        self.mark(run).await?;
        // Looked at last: a run that is deleted from here on is seen to be live.
        if self.is_buried(run).await? {
            self.remove_command(run, &command.id).await?;
            self.unmark(run, None).await?;
            return Err(no_such_run(run));
        }
        Ok(match put {
            Put::Committed { .. } | Put::Mine { .. } => Created::New,
            Put::Lost(_) => Created::Exists,
        })
    }

    async fn commands(&self, run: &RunUid) -> Result<Vec<Command>, StoreError> {
        let listed = self.control.list(&format!("{}/", key(keys::inbox(run)?))).await?;
        let keys: Vec<String> = listed.into_iter().map(|letter| letter.key).collect();
        let mut commands = Vec::new();
        for (key, found) in keys.iter().zip(self.control.get_all(keys.clone()).await?) {
            // None: its record was committed since the inbox was listed.
            if let Some(found) = found {
                match json::parse::<Letter>(Path::new(key), &found.body, LETTER_FORMAT) {
                    Ok(letter) => commands.push(letter.command),
                    // One that a newer program left waits for a newer program, and holds up no other.
                    Err(why) => tracing::warn!(%run, "a command was passed over: {}", chain(&why)),
                }
            }
        }
        commands.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        Ok(commands)
    }

    async fn command(&self, run: &RunUid, command: &CommandId) -> Result<Option<Command>, StoreError> {
        let key = key(keys::command(run, command)?);
        let Some(found) = self.control.get(&key).await? else { return Ok(None) };
        Ok(Some(json::parse::<Letter>(Path::new(&key), &found.body, LETTER_FORMAT)?.command))
    }

    async fn remove_command(&self, run: &RunUid, command: &CommandId) -> Result<(), StoreError> {
        self.control.remove(&key(keys::command(run, command)?)).await
    }
}
