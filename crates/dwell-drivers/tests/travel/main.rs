//! Sources that travel between two nodes, against real git.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests may stop at the first surprise"
)]

mod arrive;
mod extra;
mod leave;
mod node;
mod odd;
mod plain;
mod refuse;
mod resume;
mod sync;
mod work;

#[path = "../tree/support.rs"]
#[allow(dead_code, reason = "it serves two test programs")]
mod support;
