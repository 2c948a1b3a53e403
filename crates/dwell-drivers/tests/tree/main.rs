//! Source trees against real git and a real file system.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests may stop at the first surprise"
)]

mod copies;
mod exchange;
mod odd;
mod removal;
mod rendering;
mod support;
mod worktrees;
