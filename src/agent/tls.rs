//! What TLS connections of this process trust, and show.

use std::collections::HashSet;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate that is to be trusted cannot be used.
    #[error("a certificate that is to be trusted cannot be used: {0}")]
    Authority(Error),
    /// The certificate and the key do not go together.
    #[error("the client certificate cannot be used: {0}")]
    ClientCertificate(Error),
    /// The provider has none of the versions TLS needs.
    #[error(transparent)]
    Provider(Error),
}

/// A certificate and those up to its root, with its key.
pub type Identification = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Trusts the system's roots and `authorities`; shows a certificate when it has one. One
/// configuration serves all connections.
pub fn client_config(
    authorities: &[CertificateDer<'static>],
    own: Option<Identification>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    // A system without roots can still talk to servers of `authorities`, or without TLS.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in authorities {
        let added = roots.add(certificate.clone());
        added.map_err(TlsError::Authority)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?;
    let builder = if authorities.is_empty() {
        builder.with_root_certificates(roots)
    } else {
        let by_authority = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| TlsError::Provider(Error::General(error.to_string())))?;
        let listed = authorities.iter().cloned().collect();
        let verifier = Arc::new(OrListed {
            by_authority,
            listed,
        });
        builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
    };
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(TlsError::ClientCertificate)?,
    };
    Ok(Arc::new(config))
}

/// Takes a certificate that an authority signed, or one that is itself listed.
///
/// `openssl req -x509` makes a certificate that is both the server's and its own authority
/// (`CA:TRUE`), which WebPKI refuses as the certificate of a server. A listed certificate needs no
/// authority: its dates and its names still count, as with curl.
#[derive(Debug)]
struct OrListed {
    by_authority: Arc<WebPkiServerVerifier>,
    listed: HashSet<CertificateDer<'static>>,
}

impl ServerCertVerifier for OrListed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.by_authority.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            Err(error) if is_about_authority(&error) && self.listed.contains(end_entity) => {
                // WebPKI looks at the dates before it looks for an authority, and at names after.
                let certificate = ParsedCertificate::try_from(end_entity)?;
                verify_server_name(&certificate, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}

/// Whether a certificate fails only for its issuer.
fn is_about_authority(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        Error::InvalidCertificate(CertificateError::Other(other)) => matches!(
            other.0.downcast_ref::<webpki::Error>(),
            Some(webpki::Error::CaUsedAsEndEntity)
        ),
        _ => false,
    }
}
