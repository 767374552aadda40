//! TLS for those who call: the certificate that is shown, and the handshake.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read, or is no PEM.
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    /// The certificate and the key do not go together.
    #[error("the certificate in {} cannot be used: {reason}", path.display())]
    Certificate {
        path: PathBuf,
        reason: rustls::Error,
    },
}

/// Shows the certificates in one file (PEM, ours first), with the key in another.
pub fn server_config(
    certificate: &Path,
    key: &Path,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .map_err(|error| in_file(certificate, error))?
        .collect();
    let chain = chain.map_err(|error| in_file(certificate, error))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| in_file(key, error))?;
    let unusable = |reason| CertificateError::Certificate {
        path: certificate.to_owned(),
        reason,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn in_file(path: &Path, reason: impl std::fmt::Display) -> CertificateError {
    CertificateError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// Answers a client's handshake, within this time.
pub(super) async fn handshake(
    config: Arc<ServerConfig>,
    stream: TcpStream,
    time: Duration,
) -> io::Result<Box<TlsStream<TcpStream>>> {
    let handshake = TlsAcceptor::from(config).accept(stream);
    let done = tokio::time::timeout(time, handshake).await;
    done.map_err(|_| io::ErrorKind::TimedOut)?.map(Box::new)
}
