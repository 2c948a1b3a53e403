//! Who a node is: a key, and a certificate that says nothing but which key it is.

use std::fmt;
use std::str::FromStr;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use super::MeshError;

/// The name in every certificate. It means nothing: who it is, the fingerprint says.
pub(crate) const NAME: &str = "dwell";

/// The SHA-256 of a certificate's DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Fingerprint {
    type Err = MeshError;
    fn from_str(text: &str) -> Result<Self, MeshError> {
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| u8::try_from(c.to_digit(16)?).ok()).collect();
        let pairs = digits.as_deref().map(<[u8]>::as_chunks).filter(|(_, rest)| rest.is_empty());
        let bytes: Option<Vec<u8>> =
            pairs.map(|(pairs, _)| pairs.iter().map(|[high, low]| high << 4 | low).collect());
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| MeshError::Fingerprint { text: text.to_owned() })
    }
}

/// A node's key and certificate.
pub struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Makes a new one.
    pub fn generate() -> Result<Self, MeshError> {
        let failed = |error: rcgen::Error| MeshError::Identity { why: error.to_string() };
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(failed)?;
        let parameters = CertificateParams::new([NAME.to_owned()]).map_err(failed)?;
        let certificate = parameters.self_signed(&key).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(Self { certificate: certificate.into(), key })
    }

    /// Reads what [`Self::to_pem`] wrote.
    pub fn from_pem(pem: &str) -> Result<Self, MeshError> {
        let failed = |what: &str| MeshError::Identity { why: format!("there is no {what} in it") };
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes());
        let certificate = certificate.map_err(|_| failed("certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| failed("key"))?;
        Ok(Self { certificate, key })
    }

    /// As text, to be stored where only the user can read it.
    pub fn to_pem(&self) -> String {
        let part = |label: &str, der: &[u8]| pem::encode(&pem::Pem::new(label, der));
        part("CERTIFICATE", &self.certificate) + &part("PRIVATE KEY", self.key.secret_der())
    }

    /// What others know it by.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { certificate: self.certificate.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_being_stored_and_shows_nothing() {
        let identity = Identity::generate().unwrap();
        let pem = identity.to_pem();
        let again = Identity::from_pem(&pem).unwrap();
        assert_eq!(again.fingerprint(), identity.fingerprint());
        assert_eq!(again.key, identity.key);
        assert_ne!(Identity::generate().unwrap().fingerprint(), identity.fingerprint());
        let shown = format!("{identity:?}");
        assert_eq!(shown, format!("Identity({})", identity.fingerprint()));
        for bad in ["", "nonsense", pem.split("-----BEGIN PRIVATE").next().unwrap()] {
            assert!(matches!(Identity::from_pem(bad), Err(MeshError::Identity { .. })), "{bad}");
        }
    }

    #[test]
    fn fingerprints_are_read_and_written() {
        let text = "00ff1a".to_owned() + &"b".repeat(58);
        assert_eq!(text.parse::<Fingerprint>().unwrap().to_string(), text);
        for bad in ["", "00", &text[1..], &text.replace('f', "g"), &(text.clone() + "00")] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
