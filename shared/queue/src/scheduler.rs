//! Schedules of EventBridge Scheduler that send a message to a queue.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::config::Config;
use aws_sdk_scheduler::error::SdkError;
use aws_sdk_scheduler::operation::create_schedule::CreateScheduleError;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, Target as SdkTarget,
};
use dropforge_driver::crons::recurring::Recurring;
use dropforge_driver::store::StoreError;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::sqs::refused;

/// Where schedules are made and what they send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The group that holds them.
    pub group: String,
    /// The role they send with.
    pub role_arn: String,
    /// The queue they send to.
    pub queue_arn: String,
}

/// Makes schedules in one group for one queue.
#[derive(Clone, Debug)]
pub struct Scheduler {
    client: Client,
    target: Target,
}

impl Scheduler {
    /// For this target.
    pub fn new(config: impl Into<Config>, target: Target) -> Scheduler {
        Scheduler { client: Client::from_conf(config.into()), target }
    }

    /// Makes a schedule that sends `body` once at `at`, and is gone then. One of this name that is there already stays.
    ///
    /// # Errors
    /// When it is unknown whether it is made; asking again is right.
    pub async fn create_once(&self, name: &str, at: Timestamp, body: &str) -> Result<(), StoreError> {
        let request = self.client.create_schedule().name(name).group_name(&self.target.group);
        let request = request.schedule_expression(once(at)).schedule_expression_timezone("UTC");
        let request = request.action_after_completion(ActionAfterCompletion::Delete);
        made(name, request.target(self.sends(body)).flexible_time_window(exactly()).send().await)
    }

    /// Sees to it that of the schedules whose names begin with `owner` exactly these are there, each of which sends
    /// `body`: the missing are made, the others deleted. A schedule's name says what it is, so that none is changed.
    ///
    /// # Errors
    /// When it is unknown whether they are; asking again is right.
    pub async fn keep(&self, owner: &str, wanted: &[Recurring], body: &str) -> Result<(), StoreError> {
        let name = |recurring: &Recurring| {
            let hash = hash(&[&recurring.expression, &recurring.timezone]);
            format!("{owner}-{}", &hash[..16])
        };
        let wanted: BTreeMap<String, &Recurring> = wanted.iter().map(|one| (name(one), one)).collect();
        let there = self.named(&format!("{owner}-")).await?;
        for name in there.iter().filter(|name| !wanted.contains_key(*name)) {
            self.delete(name).await?;
        }
        for (name, recurring) in wanted.iter().filter(|(name, _)| !there.contains(*name)) {
            self.create_recurring(name, recurring, body).await?;
        }
        Ok(())
    }

    async fn create_recurring(
        &self,
        name: &str,
        recurring: &Recurring,
        body: &str,
    ) -> Result<(), StoreError> {
        let request = self.client.create_schedule().name(name).group_name(&self.target.group);
        let request = request.schedule_expression(&recurring.expression);
        let request = request.schedule_expression_timezone(&recurring.timezone);
        made(name, request.target(self.sends(body)).flexible_time_window(exactly()).send().await)
    }

    /// The names that begin with `prefix`.
    async fn named(&self, prefix: &str) -> Result<BTreeSet<String>, StoreError> {
        let request = self.client.list_schedules().group_name(&self.target.group).name_prefix(prefix);
        let mut pages = request.into_paginator().send();
        let mut names = BTreeSet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|why| refused("list schedules", prefix, why))?;
            names.extend(page.schedules().iter().filter_map(|schedule| schedule.name().map(str::to_owned)));
        }
        Ok(names)
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let request = self.client.delete_schedule().name(name).group_name(&self.target.group);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(why) if why.as_service_error().is_some_and(|why| why.is_resource_not_found_exception()) => {
                Ok(())
            }
            Err(why) => Err(refused("delete schedule", name, why)),
        }
    }

    fn sends(&self, body: &str) -> SdkTarget {
        let Target { role_arn, queue_arn, .. } = &self.target;
        let target = SdkTarget::builder().arn(queue_arn).role_arn(role_arn).input(body);
        target.build().expect("it has an ARN and a role")
    }
}

/// One of this name that is there already says the same.
fn made<T>(name: &str, sent: Result<T, SdkError<CreateScheduleError>>) -> Result<(), StoreError> {
    match sent {
        Ok(_) => Ok(()),
        Err(why) if why.as_service_error().is_some_and(CreateScheduleError::is_conflict_exception) => Ok(()),
        Err(why) => Err(refused("make schedule", name, why)),
    }
}

fn exactly() -> FlexibleTimeWindow {
    FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().expect("it has a mode")
}

/// `at(2026-11-28T04:30:00)`; the time is in UTC.
fn once(at: Timestamp) -> String {
    format!("at({})", at.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// The name of a schedule: at most 64 characters, the same for the same words and no other. One of many that belong
/// together has 17 more.
pub fn name_of(kind: &str, words: &[&str]) -> String {
    format!("{kind}-{}", hash(words))
}

fn hash(words: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for word in words {
        hasher.update((word.len() as u64).to_be_bytes());
        hasher.update(word.as_bytes());
    }
    hasher.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_the_scheduler_reads_it() {
        assert_eq!(once("2026-11-28T04:30:05.9Z".parse().unwrap()), "at(2026-11-28T04:30:05)");
    }

    #[test]
    fn a_name_tells_its_words_apart() {
        assert_eq!(name_of("timer", &["a", "b"]), name_of("timer", &["a", "b"]));
        assert_ne!(name_of("timer", &["a", "b"]), name_of("timer", &["ab", ""]));
        assert!(name_of("timer", &["u".repeat(500).as_str(), "b"]).len() <= 64);
    }
}
