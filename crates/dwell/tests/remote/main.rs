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
mod away;
mod begin;
mod bench;
mod crash;
mod disk;
mod doctor;
mod files;
mod hybrid;
mod ingress;
mod laptop;
mod link;
mod mesh;
mod moves;
mod ports;
mod postgres;
mod reach;
mod refused;
mod shop;
mod skew;
mod spread;
mod unprivileged;
mod users;
mod verbs;
mod whole;
mod work;
mod workspace;
