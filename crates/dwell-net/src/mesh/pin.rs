//! Who is let in: those whose certificate has a fingerprint that is known, and who prove that they
//! have its key.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

use super::{Fingerprint, Identity, MeshError};

/// What both sides call what they speak; others are turned away early.
const PROTOCOL: &[u8] = b"dwell-link";

/// The nodes that may connect. It can change at any time; links that exist are not touched by it.
#[derive(Debug, Default)]
pub struct Pins(ArcSwap<HashSet<Fingerprint>>);

impl Pins {
    /// Lets in exactly these from now on.
    pub fn set(&self, known: impl IntoIterator<Item = Fingerprint>) {
        self.0.store(Arc::new(known.into_iter().collect()));
    }

    fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.0.load().contains(fingerprint)
    }
}

/// Checks certificates by their fingerprints only: names, dates and issuers say nothing here.
#[derive(Debug)]
struct Pinned {
    pins: Arc<Pins>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        if self.pins.contains(&Fingerprint::of(certificate)) {
            return Ok(());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn only_tls13() -> Error {
    Error::General("only TLS 1.3 is spoken here".to_owned())
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(certificate).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(certificate).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

/// AES where the processor has it is several times as fast as the other.
fn provider() -> Arc<CryptoProvider> {
    let cipher_suites = vec![
        aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() })
}

/// For the side that connects, to exactly one node.
pub(crate) fn client(identity: &Identity, pin: Fingerprint) -> Result<ClientConfig, MeshError> {
    let (pins, provider) = (Arc::new(Pins::default()), provider());
    pins.set([pin]);
    let verifier = Arc::new(Pinned { pins, provider: Arc::clone(&provider) });
    let Identity { certificate, key } = identity.clone();
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(vec![certificate], key)?;
    // A resumed session would not show its certificate again.
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

/// For the side that is connected to.
pub(crate) fn server(identity: &Identity, pins: Arc<Pins>) -> Result<ServerConfig, MeshError> {
    let provider = provider();
    let verifier = Arc::new(Pinned { pins, provider: Arc::clone(&provider) });
    let Identity { certificate, key } = identity.clone();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

fn tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Whether the other side did not let us in. It says so after its own part of the handshake, so
/// this comes up in the first read.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    matches!(tls(error), Some(Error::AlertReceived(_)))
}

/// Whether the other side is not the one that was meant.
pub(crate) fn is_stranger(error: &io::Error) -> bool {
    matches!(tls(error), Some(Error::InvalidCertificate(_)))
}
