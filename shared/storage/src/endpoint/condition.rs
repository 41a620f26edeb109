//! Conditional requests: what must hold of an object before it is read or replaced.

use jiff::Timestamp;
use s3s::dto::{ETag, ETagCondition};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use crate::objects::Condition;

/// The conditional headers of a read.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

impl ReadCondition {
    /// Fails when the object must not be read: `NotModified` where the reader has it already.
    pub(super) fn check(&self, etag: &str, modified: Timestamp) -> S3Result<()> {
        // HTTP dates have whole seconds.
        let modified = modified.as_second();
        let refused = match (&self.if_match, self.if_unmodified_since) {
            (Some(wanted), _) => !matches(wanted, etag),
            (None, Some(since)) => modified > since.as_second(),
            (None, None) => false,
        };
        if refused {
            return Err(precondition_failed());
        }
        let unchanged = match (&self.if_none_match, self.if_modified_since) {
            (Some(known), _) => matches(known, etag),
            (None, Some(since)) => modified <= since.as_second(),
            (None, None) => false,
        };
        if unchanged {
            return Err(S3ErrorCode::NotModified.into());
        }
        Ok(())
    }

    /// The same for the source of a copy, which has no `304`.
    pub(super) fn check_source(&self, etag: &str, modified: Timestamp) -> S3Result<()> {
        self.check(etag, modified).map_err(|_| precondition_failed())
    }
}

/// The condition of a put, as far as S3 has them.
pub(super) fn of_put(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<Condition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Condition::Always),
        (None, Some(ETagCondition::Any)) => Ok(Condition::Absent),
        (Some(ETagCondition::ETag(etag)), None) => Ok(Condition::Etag(etag.value().to_owned())),
        _ => Err(s3_error!(NotImplemented, "A put takes If-None-Match: * or If-Match with an entity tag.")),
    }
}

pub(super) fn precondition_failed() -> S3Error {
    let text = "At least one of the preconditions you specified did not hold.";
    S3Error::with_message(S3ErrorCode::PreconditionFailed, text)
}

/// An entity tag as `s3s` writes it.
pub(super) fn strong(etag: &str) -> ETag {
    ETag::Strong(etag.to_owned())
}

fn matches(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(wanted) => wanted.value() == etag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFIED: Timestamp = Timestamp::constant(1_000, 500_000_000);

    fn tag(etag: &str) -> Option<ETagCondition> {
        Some(ETagCondition::ETag(strong(etag)))
    }

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    fn code(condition: ReadCondition) -> Option<String> {
        condition.check("a", MODIFIED).err().map(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn reads_are_refused_or_not_modified_as_http_says() {
        let none = ReadCondition::default;
        let cases = [
            (none(), None),
            (ReadCondition { if_match: tag("a"), ..none() }, None),
            (ReadCondition { if_match: tag("b"), ..none() }, Some("PreconditionFailed")),
            (ReadCondition { if_match: Some(ETagCondition::Any), ..none() }, None),
            (ReadCondition { if_none_match: tag("a"), ..none() }, Some("NotModified")),
            (ReadCondition { if_none_match: tag("b"), ..none() }, None),
            (ReadCondition { if_modified_since: at(1_000), ..none() }, Some("NotModified")),
            (ReadCondition { if_modified_since: at(999), ..none() }, None),
            (ReadCondition { if_unmodified_since: at(999), ..none() }, Some("PreconditionFailed")),
            (ReadCondition { if_unmodified_since: at(1_000), ..none() }, None),
            // The entity tag goes before the time.
            (ReadCondition { if_match: tag("a"), if_unmodified_since: at(1), ..none() }, None),
            (ReadCondition { if_none_match: tag("b"), if_modified_since: at(2_000), ..none() }, None),
        ];
        for (condition, expected) in cases {
            assert_eq!(code(condition.clone()).as_deref(), expected, "{condition:?}");
        }
    }

    #[test]
    fn a_put_takes_the_two_conditions_that_s3_has() {
        assert_eq!(of_put(None, None).unwrap(), Condition::Always);
        assert_eq!(of_put(None, Some(&ETagCondition::Any)).unwrap(), Condition::Absent);
        assert_eq!(of_put(tag("a").as_ref(), None).unwrap(), Condition::Etag("a".to_owned()));
        assert!(of_put(Some(&ETagCondition::Any), None).is_err());
        assert!(of_put(None, tag("a").as_ref()).is_err());
        assert!(of_put(tag("a").as_ref(), Some(&ETagCondition::Any)).is_err());
    }
}
