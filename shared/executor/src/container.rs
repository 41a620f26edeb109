//! What a container engine is asked for, from what a step needs.

pub mod creation;
pub mod pull;
