//! Other nodes, through the binary: real hosts with their own sshd, engine and files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends at the first surprise"
)]

mod admission;
mod bench;
mod hybrid;
mod link;
mod whole;
mod work;
