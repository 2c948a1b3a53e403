//! Sessions against a real tmux: every test has a server of its own in a directory of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod record;
mod support;
mod survive;
mod terminal;
