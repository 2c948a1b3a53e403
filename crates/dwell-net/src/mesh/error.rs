//! What goes wrong with identities and listeners.

use std::io;
use std::net::SocketAddr;

/// Why there is no identity, listener or connector.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// Text that is not an identity.
    #[error("this is not an identity of a node: {why}")]
    Identity {
        /// What is wrong with it; never a part of it.
        why: String,
    },
    /// Text that is not a fingerprint.
    #[error("`{text}` is not a fingerprint, which is 64 hexadecimal digits")]
    Fingerprint {
        /// What was given.
        text: String,
    },
    /// A listener would be reachable by more networks than the one that was meant.
    #[error("{address} is every address of this machine; a listener needs the one of the mesh")]
    NotSpecific {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The library refuses what was made of the identity.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}
