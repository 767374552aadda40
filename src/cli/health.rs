//! `sipost health`: whether the gateway of this configuration is ready, for health checks.
//!
//! It asks on this machine, where the configuration says that the gateway listens, and accepts only
//! the certificate that is configured; so it needs no token, no `curl` and no root certificates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::client::ProblemBody;
use super::output::Printer;
use super::{CommandError, ConfigFile, client, output};
use crate::config;
use crate::config::HttpSettings;

/// Checks that the gateway on this machine is ready to take messages.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 ready, 1 not ready or not reached, 78 the configuration is wrong."
)]
pub(super) struct Health {
    #[command(flatten)]
    pub(super) config: ConfigFile,
    /// Asks only whether it is alive: also while it stops, or while its store takes nothing.
    #[arg(long)]
    live: bool,
}

const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn run(health: &Health) -> Result<ExitCode, CommandError> {
    let loaded = config::load(&health.config.sources())?;
    let path = if health.live { "/livez" } else { "/readyz" };
    match ask(&loaded.config.http, path).await {
        Ok(found) => {
            Printer::new().line(&found)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(reason) => {
            output::print_error(&reason);
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn ask(http: &HttpSettings, path: &str) -> Result<String, String> {
    let port = http.listen.port();
    let scheme = http.tls.as_ref().map_or("http", |_| "https");
    let url = match reached_at(http.listen.ip()) {
        IpAddr::V4(address) => format!("{scheme}://{address}:{port}{path}"),
        IpAddr::V6(address) => format!("{scheme}://[{address}]:{port}{path}"),
    };
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls(http)?)
        .build()
        .map_err(|error| error.to_string())?;
    let response = client.get(&url).send().await;
    let response = response
        .map_err(|error| format!("nothing answers at {url}: {}", client::reason(&error)))?;
    let status = response.status();
    if status.is_success() {
        let word = if path == "/livez" { "alive" } else { "ready" };
        return Ok(format!("{word}: {url} answers {status}"));
    }
    let body = client::read(response).await.unwrap_or_default();
    let problem: ProblemBody = serde_json::from_slice(&body).unwrap_or_default();
    let reason = client::sentence(&problem, status);
    Err(format!("{url} answers {status}: {reason}"))
}

/// The address by which this machine reaches a listener.
fn reached_at(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

/// Accepts the certificate that is configured and no other.
fn tls(http: &HttpSettings) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let expected = match &http.tls {
        None => None,
        Some(files) => {
            let read = CertificateDer::from_pem_file(&files.certificate_file);
            Some(read.map_err(|error| format!("{}: {error}", files.certificate_file.display()))?)
        }
    };
    let only = OnlyThis {
        expected,
        provider: provider.clone(),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(only))
        .with_no_client_auth();
    Ok(config)
}

/// Accepts one certificate, byte for byte, whatever its name and its signature.
#[derive(Debug)]
struct OnlyThis {
    expected: Option<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OnlyThis {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.expected {
            Some(expected) if expected == end_entity => Ok(ServerCertVerified::assertion()),
            Some(_) | None => Err(rustls::Error::General(
                "another certificate than the one that is configured".to_owned(),
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_asked_on_loopback() {
        let at = |text: &str| reached_at(text.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0"), "127.0.0.1");
        assert_eq!(at("::"), "::1");
        assert_eq!(at("192.0.2.1"), "192.0.2.1");
    }
}
