//! Straight to another node over TLS 1.3. Both sides have an identity of their own making and know
//! the other's by its fingerprint; nobody else gets an answer, and no authority is asked.

mod buffered;
mod connect;
mod error;
mod identity;
mod listen;
mod pin;

pub use connect::MeshConnector;
pub use error::MeshError;
pub use identity::{Fingerprint, Identity};
pub use listen::{Accepted, Limits, Listener};
pub use pin::Pins;
pub(crate) use pin::is_refusal;
