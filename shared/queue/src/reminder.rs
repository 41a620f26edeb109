//! The envelope of a reminder: a message that says "something of this trigger or schedule is due".

use dropforge_driver::reminders::Starter;
use serde::{Deserialize, Serialize};

/// The version of the envelope that this code writes.
pub const REMINDER_FORMAT: u32 = 1;

/// A message that says "look at this trigger or schedule". S3's own messages in the same queue have other fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reminder {
    /// Version of the envelope.
    pub format: u32,
    /// What to look at.
    pub remind: Starter,
}

impl Reminder {
    /// A reminder of this trigger or schedule.
    pub fn of(starter: Starter) -> Reminder {
        Reminder { format: REMINDER_FORMAT, remind: starter }
    }

    /// The envelope as text.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("names become JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reminder_is_read_back() {
        let starter = Starter::Trigger { namespace: "ml".to_owned(), name: "churn".to_owned() };
        let text = Reminder::of(starter.clone()).encode();
        assert_eq!(text, r#"{"format":1,"remind":{"trigger":{"namespace":"ml","name":"churn"}}}"#);
        assert_eq!(serde_json::from_str::<Reminder>(&text).unwrap().remind, starter);
    }
}
