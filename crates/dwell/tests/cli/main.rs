//! The real binary against a node that answers what each test tells it to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a failed step is the test's failure"
)]

mod connect;
mod exec;
mod node;
mod operation;
mod session;
mod show;
