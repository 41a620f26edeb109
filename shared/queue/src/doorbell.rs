//! The envelope of a doorbell.

pub use dropforge_driver::doorbells::Why;
use dropforge_engine::ids::RunUid;
use serde::{Deserialize, Serialize};

/// The version of the envelope that this code writes.
pub const DOORBELL_FORMAT: u32 = 1;

/// The largest envelope: a doorbell holds names only.
pub const DOORBELL_BYTES_MAX: usize = 4096;

/// A message that says "look at this run".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Doorbell {
    /// Version of the envelope.
    pub format: u32,
    /// The run to look at.
    pub run: RunUid,
    /// Why, as a hint.
    pub why: Why,
    /// How often this doorbell has rung the next one without progress from outside.
    #[serde(default)]
    pub hops: u32,
    /// Shows that the attempt that it names sent it, where the deployment asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Why a message is no doorbell.
#[derive(Debug, thiserror::Error)]
pub enum DoorbellError {
    /// It is too large to be one.
    #[error("decode a doorbell of {bytes} bytes: the most is {DOORBELL_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is not the JSON it should be.
    #[error("decode a doorbell")]
    Json(#[source] serde_json::Error),
    /// A newer version sent it.
    #[error(
        "decode a doorbell of format {found}: this program knows formats up to {DOORBELL_FORMAT}; use a newer dropforge"
    )]
    Newer {
        /// Its format.
        found: u32,
    },
}

/// What every version's doorbell has.
#[derive(Deserialize)]
struct Envelope {
    format: u32,
}

impl Doorbell {
    /// A doorbell that somebody outside the run's own chain rings.
    pub fn new(run: RunUid, why: Why) -> Doorbell {
        Doorbell { format: DOORBELL_FORMAT, run, why, hops: 0, token: None }
    }

    /// The envelope as text.
    ///
    /// # Errors
    /// When a name in it is too long.
    pub fn encode(&self) -> Result<String, DoorbellError> {
        let text = serde_json::to_string(self).map_err(DoorbellError::Json)?;
        if text.len() > DOORBELL_BYTES_MAX {
            return Err(DoorbellError::TooLarge { bytes: text.len() });
        }
        Ok(text)
    }

    /// Reads an envelope; anybody may have sent it.
    ///
    /// # Errors
    /// See [`DoorbellError`].
    pub fn decode(text: &str) -> Result<Doorbell, DoorbellError> {
        if text.len() > DOORBELL_BYTES_MAX {
            return Err(DoorbellError::TooLarge { bytes: text.len() });
        }
        // The format first: what a newer version says else may have no meaning here.
        let Envelope { format } = serde_json::from_str(text).map_err(DoorbellError::Json)?;
        if format > DOORBELL_FORMAT {
            return Err(DoorbellError::Newer { found: format });
        }
        serde_json::from_str(text).map_err(DoorbellError::Json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doorbell_is_read_back() {
        let bell = Doorbell::new("u1".into(), Why::Attempt("wf-a-1".into()));
        assert_eq!(Doorbell::decode(&bell.encode().unwrap()).unwrap(), bell);
    }

    /// As the first version wrote them, for good: messages of it may be under way when a later one begins.
    #[test]
    fn doorbells_of_the_first_format_are_read_and_still_written() {
        let timer = serde_json::from_str(r#"{"kind":"Backoff","node":3,"generation":1}"#).unwrap();
        let golden = [
            (r#"{"format":1,"run":"u1","why":"submitted","hops":0}"#, Why::Submitted),
            (r#"{"format":1,"run":"u1","why":{"attempt":"wf-a-1"},"hops":0}"#, Why::Attempt("wf-a-1".into())),
            (r#"{"format":1,"run":"u1","why":{"command":"c-1"},"hops":0}"#, Why::Command("c-1".into())),
            (
                r#"{"format":1,"run":"u1","why":{"timer":{"kind":"Backoff","node":3,"generation":1}},"hops":0}"#,
                Why::Timer(timer),
            ),
            (r#"{"format":1,"run":"u1","why":"sweep","hops":0}"#, Why::Sweep),
            (r#"{"format":1,"run":"u1","why":"definitions","hops":0}"#, Why::Definitions),
        ];
        for (text, why) in golden {
            let bell = Doorbell::new("u1".into(), why);
            assert_eq!(Doorbell::decode(text).unwrap(), bell);
            assert_eq!(bell.encode().unwrap(), text);
        }
        let rung = r#"{"format":1,"run":"u1","why":{"attempt":"wf-a-1"},"token":"t"}"#;
        assert_eq!(Doorbell::decode(rung).unwrap().token.as_deref(), Some("t"));
    }

    #[test]
    fn what_is_too_large_or_newer_or_no_json_is_refused() {
        let long = Doorbell::new("u".repeat(5000).as_str().into(), Why::Sweep);
        assert!(matches!(long.encode(), Err(DoorbellError::TooLarge { .. })));
        for newer in
            [r#"{"format":99,"run":"u","why":"sweep"}"#, r#"{"format":99,"why":{"spot":{"node":7}}}"#]
        {
            assert!(matches!(Doorbell::decode(newer), Err(DoorbellError::Newer { found: 99 })), "{newer}");
        }
        assert!(matches!(Doorbell::decode("{"), Err(DoorbellError::Json(_))));
    }
}
