//! One module for each verb.

pub mod apply;
pub mod completion;
pub mod control;
pub mod cp;
pub mod cron;
pub mod definitions;
pub mod delete;
pub mod demo;
pub mod dev;
pub mod explain;
pub mod get;
pub mod graph;
pub mod init;
pub mod lint;
pub mod list;
pub mod logs;
pub mod render;
pub mod resubmit;
pub mod retry;
pub mod run;
pub mod schema;
pub mod submit;
pub mod supervisor;
pub mod template;
pub mod trigger;
pub mod wait;
