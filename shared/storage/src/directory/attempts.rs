//! Claims and verdicts, each created once.

use dropforge_driver::store::{Attempts, Created, StoreError};
use dropforge_engine::attempt::{VERDICT_FORMAT, Verdict};
use dropforge_engine::ids::AttemptId;

use super::DirectoryStore;
use crate::claim::{CLAIM_FORMAT, Claim};
use crate::{files, json, keys};

impl Attempts for DirectoryStore {
    async fn claim(&self, namespace: &str, attempt: &AttemptId, nonce: &str) -> Result<Created, StoreError> {
        let path = self.at(keys::attempt(namespace, attempt)?).join("claim.json");
        let claim = Claim { format: CLAIM_FORMAT, nonce: nonce.to_owned() };
        if files::create_in_place(&path, &json::bytes(&path, &claim)?, self.durable)? == Created::New {
            return Ok(Created::New);
        }
        let stored = files::read(&path)?.unwrap_or_default();
        // Whose claimer died before it wrote its name is claimed all the same: the file alone says so.
        let ours = json::parse::<Claim>(&path, &stored, CLAIM_FORMAT).is_ok_and(|claim| claim.nonce == nonce);
        Ok(if ours { Created::New } else { Created::Exists })
    }

    async fn claimed(&self, namespace: &str, attempt: &AttemptId) -> Result<bool, StoreError> {
        let path = self.at(keys::attempt(namespace, attempt)?).join("claim.json");
        path.try_exists().map_err(files::failed("read", &path))
    }

    async fn put_verdict(&self, namespace: &str, verdict: &Verdict) -> Result<Verdict, StoreError> {
        let path = self.at(keys::attempt(namespace, &verdict.attempt)?).join("result.json");
        match self.create_only(&path, &json::bytes(&path, verdict)?)? {
            Created::New => Ok(verdict.clone()),
            Created::Exists => {
                let first = files::read(&path)?.unwrap_or_default();
                json::parse(&path, &first, VERDICT_FORMAT)
            }
        }
    }

    async fn verdict(&self, namespace: &str, attempt: &AttemptId) -> Result<Option<Verdict>, StoreError> {
        let path = self.at(keys::attempt(namespace, attempt)?).join("result.json");
        files::read(&path)?.map(|bytes| json::parse(&path, &bytes, VERDICT_FORMAT)).transpose()
    }
}
