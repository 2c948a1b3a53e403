//! The ssh driver against a real OpenSSH server: what goes through, and every way to fail with
//! what OpenSSH says about it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod bridge;
mod deploy;
mod failures;
mod once;
mod support;
