use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::{Decision, TABLE, decision};
use crate::types::*;

struct Fields<'f>(&'f mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("only structs"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.extend(fields);
        Err(de::Error::custom("enough"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Every field of the type has a row of its own, and every row is a field of the type.
fn agree<'de, T: Deserialize<'de>>(object: &str) {
    let mut fields = Vec::new();
    let _ = T::deserialize(Fields(&mut fields));
    let (_, rows) = TABLE.iter().find(|(name, _)| *name == object).unwrap();
    let mut named: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    fields.sort_unstable();
    named.sort_unstable();
    assert_eq!(named, fields, "{object}");
}

#[test]
fn every_field_of_every_type_has_a_decision() {
    agree::<WorkflowSpec>("spec");
    agree::<WorkflowTemplateRef>("workflowTemplateRef");
    agree::<TemplateRef>("templateRef");
    agree::<Template>("template");
    agree::<Container>("container");
    agree::<ContainerSet>("containerSet");
    agree::<ContainerSetRetry>("containerSetRetry");
    agree::<Probe>("probe");
    agree::<Resources>("resources");
    agree::<EnvVar>("env");
    agree::<EnvVarSource>("envSource");
    agree::<VolumeMount>("volumeMount");
    agree::<Step>("call");
    agree::<DagTemplate>("dag");
    agree::<SuspendTemplate>("suspend");
    agree::<LifecycleHook>("hook");
    agree::<Memoize>("memoize");
    agree::<Cache>("cache");
    agree::<RetryStrategy>("retryStrategy");
    agree::<Arguments>("arguments");
    agree::<Outputs>("outputs");
    agree::<Parameter>("parameter");
    agree::<ValueFrom>("valueFrom");
    agree::<Artifact>("artifact");
    agree::<Archive>("archive");
    agree::<S3Location>("s3");
    agree::<ArtifactGc>("artifactGC");
    agree::<Metrics>("metrics");
    agree::<Prometheus>("metric");
    agree::<HttpTemplate>("http");
    agree::<HttpLocation>("httpLocation");
    agree::<HttpAuth>("httpAuth");
    agree::<GitLocation>("git");
    agree::<CronWorkflowSpec>("cron");
    agree::<TriggerSpec>("trigger");
}

#[test]
fn every_object_that_the_table_leads_to_is_in_it() {
    for (object, fields) in TABLE {
        for (field, decision) in *fields {
            if let Decision::Into(next) = decision {
                assert!(TABLE.iter().any(|(name, _)| name == next), "{object}.{field} leads to {next}");
            }
        }
    }
}

#[test]
fn a_wildcard_decides_on_what_has_no_row() {
    assert_eq!(decision("volume", "emptyDir"), Some(Decision::Runs));
    assert!(matches!(decision("volume", "hostPath"), Some(Decision::Pods(_))));
    assert_eq!(decision("spec", "noSuchField"), None);
}
