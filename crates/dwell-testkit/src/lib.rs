//! Development only: what tests need to meet real parts. A home of its own for a daemon, small
//! compose projects and git repositories, a private Docker engine that may be killed, and hosts to
//! ssh to that may be cut off, filled up and rebooted.
//!
//! A helper that cannot do its work ends the test with a message: nothing here returns errors.
#![allow(clippy::panic, clippy::expect_used, reason = "a failed helper is a failed test")]

mod bare;
mod desktop;
mod dice;
mod dns;
mod docker;
mod dockerd;
mod engine;
mod forward;
mod home;
mod host;
mod hosts;
mod http;
mod machine;
mod model;
mod process;
mod project;
mod remote;
mod slot;
mod ssh;
mod terminal;
mod wait;
mod wireguard;
mod workspace;

pub use bare::BareHost;
pub use desktop::DesktopPage;
pub use dice::{Dice, every_case};
pub use dns::{Answer, ask, lookup, resolve};
pub use docker::{docker, has_image, labelled, remove_labelled};
pub use engine::Engine;
pub use forward::{Foreground, reach, serve};
pub use home::TestHome;
pub use host::{Cut, Host, HostPlan};
pub use hosts::Hosts;
pub use http::http;
pub use model::ModelServer;
pub use process::{Ran, run};
pub use project::{IDLE, Project, git};
pub use remote::{RemoteBench, SHOP_IMAGES, shop};
pub use slot::free_port;
pub use ssh::{SshTargets, Target};
pub use terminal::Terminal;
pub use wait::wait_until;
pub use wireguard::WireGuard;
pub use workspace::{sh, show};
