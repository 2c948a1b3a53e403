//! Bytes in motion: links between nodes with many streams on each, the table of names, the DNS
//! server and the HTTP proxy that answer from it, relays inside environments, and the integration
//! with the system's resolver.

pub mod carrier;
pub mod dns;
pub mod doctor;
pub mod forward;
pub mod inside;
pub mod mesh;
pub mod mux;
pub mod names;
pub mod port;
pub mod proxy;
pub mod relay;
pub mod setup;
