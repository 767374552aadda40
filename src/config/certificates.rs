//! Certificates and keys (PEM), loaded as the gateway uses them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;

use super::section::Section;

/// Certificates that are trusted beside those of the system.
pub type Authorities = Arc<[CertificateDer<'static>]>;

const FILE: &str = "the path of a file";

impl Section<'_> {
    /// The certificates in the file that this key names; none when it is not set.
    pub(super) fn authorities(&mut self, key: &str) -> Authorities {
        let Some((_, certificates)) = self.certificates(key) else {
            return Authorities::default();
        };
        for certificate in &certificates {
            if let Err(error) = RootCertStore::empty().add(certificate.clone()) {
                let problem = format!("a certificate in it cannot be used: {error}");
                self.wrong(key, &problem, "certificates (PEM)");
            }
        }
        certificates.into()
    }

    /// The path of a file with certificates, ours first, and what is in it.
    pub(super) fn certificates(
        &mut self,
        key: &str,
    ) -> Option<(PathBuf, Vec<CertificateDer<'static>>)> {
        self.pem_file(key, "certificate", |text| {
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
            found.map(|found| (!found.is_empty()).then_some(found))
        })
    }

    /// The path of a file with a private key, and the key.
    pub(super) fn private_key(&mut self, key: &str) -> Option<(PathBuf, PrivateKeyDer<'static>)> {
        self.pem_file(
            key,
            "private key",
            |text| match PrivateKeyDer::from_pem_slice(text) {
                Err(pem::Error::NoItemsFound) => Ok(None),
                found => found.map(Some),
            },
        )
    }

    /// Notes a key that does not belong to the first of these certificates.
    pub(super) fn check_pair(
        &self,
        key: &str,
        certificates: &[CertificateDer<'static>],
        private: &PrivateKeyDer<'static>,
    ) {
        let provider = rustls::crypto::ring::default_provider();
        let pair = CertifiedKey::from_der(certificates.to_vec(), private.clone_key(), &provider);
        if let Err(error) = pair {
            let problem = format!("does not go with the certificate: {error}");
            self.wrong(key, &problem, "the private key of the first certificate");
        }
    }

    fn pem_file<T>(
        &mut self,
        key: &str,
        what: &str,
        read: impl FnOnce(&[u8]) -> Result<Option<T>, pem::Error>,
    ) -> Option<(PathBuf, T)> {
        let path = self.text(key, FILE, |text| Some(PathBuf::from(text)))?;
        let problem = match fs::read(&path) {
            Err(error) => format!("the file {path:?} cannot be read: {error}"),
            Ok(text) => match read(&text) {
                Ok(Some(found)) => return Some((path, found)),
                Ok(None) => format!("the file {path:?} has no {what} in it"),
                // The error would quote the line.
                Err(_) => format!("the file {path:?} is not well-formed PEM"),
            },
        };
        self.wrong(key, &problem, &format!("a file with a {what} (PEM)"));
        None
    }
}
