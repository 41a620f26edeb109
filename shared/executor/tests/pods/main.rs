//! Pods of processes, on a store in a folder: what the executor does in the containers of one.

#![expect(clippy::unwrap_used, reason = "a test says by a panic that something is wrong")]

mod ends;
mod pod;
mod steps;

/// Not a test: a container's process, which is this program with a role.
#[test]
#[ignore = "a container's process"]
fn container_of_a_pod() {
    pod::play();
}
