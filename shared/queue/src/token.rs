//! What shows that a doorbell comes from the attempt that it names: a code over run and attempt that only the
//! deployment's own functions can make.
//!
//! It keeps floods of made-up doorbells from being looked into, and opens nothing: what is true is read from the store.

use dropforge_engine::ids::{AttemptId, RunUid};
use ring::hmac::{HMAC_SHA256, Key, sign, verify};

/// The key of a deployment's tokens.
#[derive(Clone)]
pub struct TokenKey(Key);

impl TokenKey {
    /// From the bytes that the deployment keeps.
    pub fn new(bytes: &[u8]) -> TokenKey {
        TokenKey(Key::new(HMAC_SHA256, bytes))
    }

    /// The token of an attempt, in hexadecimal.
    pub fn token(&self, run: &RunUid, attempt: &AttemptId) -> String {
        let tag = sign(&self.0, &message(run, attempt));
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether the token is that attempt's; how long the answer takes says nothing about it.
    pub fn accepts(&self, run: &RunUid, attempt: &AttemptId, token: &str) -> bool {
        bytes(token).is_some_and(|token| verify(&self.0, &message(run, attempt), &token).is_ok())
    }
}

/// Both names with their lengths, so that no two pairs give the same message.
fn message(run: &RunUid, attempt: &AttemptId) -> Vec<u8> {
    let mut message = Vec::new();
    for part in [run.as_str(), attempt.as_str()] {
        message.extend((part.len() as u64).to_be_bytes());
        message.extend(part.as_bytes());
    }
    message
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    hex.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_for_one_attempt_of_one_run_and_one_key() {
        let key = TokenKey::new(b"key");
        let token = key.token(&"u1".into(), &"wf-a-1".into());
        assert!(key.accepts(&"u1".into(), &"wf-a-1".into(), &token));
        assert!(!key.accepts(&"u2".into(), &"wf-a-1".into(), &token));
        assert!(!key.accepts(&"u1".into(), &"wf-a-2".into(), &token));
        assert!(!key.accepts(&"u1w".into(), &"f-a-1".into(), &token));
        assert!(!TokenKey::new(b"other").accepts(&"u1".into(), &"wf-a-1".into(), &token));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let key = TokenKey::new(b"key");
        for text in ["", "0", "zz", "ü", &"0".repeat(64), &"0".repeat(65)] {
            assert!(!key.accepts(&"u1".into(), &"a".into(), text), "{text}");
        }
    }
}
