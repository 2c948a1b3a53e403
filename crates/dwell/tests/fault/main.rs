//! Faults through the real binary: every step of every operation failing, dying and repeated; the
//! daemon, the engine, the disk and the state going away in the middle.
//!
//! The sweeps are sampled unless `DWELL_FULL_FAULTS=1`. A sample's seed is printed and can be set
//! with `DWELL_SEED`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a failed step is the test's failure"
)]

mod clients;
mod disk;
mod engine;
mod input;
mod kill;
mod port;
mod race;
mod saga;
mod sessions;
mod state;
mod support;
mod upgrade;
mod workspaces;
