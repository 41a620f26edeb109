//! One module for each verb.

pub mod control;
pub mod cp;
pub mod cron;
pub mod demo;
pub mod dev;
pub mod explain;
pub mod get;
pub mod lint;
pub mod list;
pub mod logs;
pub mod run;
pub mod submit;
pub mod supervisor;
pub mod trigger;
