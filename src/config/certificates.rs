//! Certificates and keys (PEM), loaded as the gateway uses them.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;

use super::file;
use super::section::Section;

/// Certificates that are trusted in addition to those of the system.
pub type Authorities = Arc<[CertificateDer<'static>]>;

/// A file, and the certificates in it.
type Certificates = (PathBuf, Vec<CertificateDer<'static>>);
/// A file, and the key in it.
type PrivateKey = (PathBuf, PrivateKeyDer<'static>);

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

    /// The paths of a file with certificates, ours first, and of one with the private key that
    /// belongs to the first of them, with their contents; both or neither are set.
    pub(super) fn certificate_pair(
        &mut self,
        chain: &str,
        key: &str,
    ) -> Option<(Certificates, PrivateKey)> {
        let has = (self.has(chain), self.has(key));
        let certificates = self.certificates(chain);
        let private = self.private_key(key);
        match has {
            (true, false) => self.miss(key, &format!("the key that belongs to {chain}")),
            (false, true) => self.miss(chain, &format!("the certificate of {key}")),
            (true, true) | (false, false) => {}
        }
        let (certificates, private) = certificates.zip(private)?;
        let provider = rustls::crypto::ring::default_provider();
        let (chain, own) = (certificates.1.clone(), private.1.clone_key());
        if let Err(error) = CertifiedKey::from_der(chain, own, &provider) {
            let problem = format!("does not belong to the certificate: {error}");
            self.wrong(key, &problem, "the private key of the first certificate");
        }
        Some((certificates, private))
    }

    fn certificates(&mut self, key: &str) -> Option<Certificates> {
        self.pem_file(key, "certificate", |text| {
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
            found.map(|found| (!found.is_empty()).then_some(found))
        })
    }

    fn private_key(&mut self, key: &str) -> Option<(PathBuf, PrivateKeyDer<'static>)> {
        self.pem_file(
            key,
            "private key",
            |text| match PrivateKeyDer::from_pem_slice(text) {
                Err(pem::Error::NoItemsFound) => Ok(None),
                found => found.map(Some),
            },
        )
    }

    fn pem_file<T>(
        &mut self,
        key: &str,
        what: &str,
        read: impl FnOnce(&[u8]) -> Result<Option<T>, pem::Error>,
    ) -> Option<(PathBuf, T)> {
        let path = self.text(key, FILE, |text| Some(PathBuf::from(text)))?;
        let problem = match file::read_regular(&path) {
            Err(error) => file::unreadable(&path, error),
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
