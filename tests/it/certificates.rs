//! The certificates of the tests, and what shows one.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio_rustls::TlsAcceptor;

/// The path of a file.
pub(crate) fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What shows the certificate of `localhost`, which `authority.pem` has signed.
pub(crate) fn acceptor() -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(fixture("first.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("first.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
