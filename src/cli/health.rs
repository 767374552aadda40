//! `sipost health`: whether the gateway of this configuration is ready, for health checks.
//!
//! It asks on this machine, where the configuration says that the gateway listens, and accepts only
//! the certificate that is configured; so it needs no token, no `curl` and no root certificates.
//! With `--url` it asks a gateway anywhere, as the other commands do, and reads no configuration.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use url::Url;

use super::client::ProblemBody;
use super::output::Printer;
use super::{CommandError, ConfigFile, client, output};
use crate::app;
use crate::config;
use crate::config::HttpSettings;

/// Checks that the gateway on this machine is ready to take messages.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sipost health                                 where the configuration says that it listens
  sipost health --url https://sipost.example.com

SIPOST_URL is not read: a health check in a container asks the gateway of that container.
Exit codes: 0 ready, 1 not ready or not reached, 78 the configuration is wrong.")]
pub(super) struct Health {
    #[command(flatten)]
    pub(super) config: ConfigFile,
    /// Asks only whether it is alive: also while it stops, or while its store takes nothing.
    #[arg(long)]
    live: bool,
    /// Asks the gateway at this URL. Without it, the one of the configuration.
    #[arg(long, value_name = "URL", value_parser = client::parse_url)]
    url: Option<Url>,
    /// Certificates (PEM) to trust for https in addition to those of the system, with --url.
    #[arg(long, env = "SIPOST_CACERT", value_name = "FILE", value_parser = super::path_or_none())]
    cacert: Option<PathBuf>,
}

const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn run(health: &Health) -> Result<ExitCode, CommandError> {
    let path = if health.live { "/livez" } else { "/readyz" };
    let asked = match &health.url {
        Some(url) => ask_at(url, health.cacert.as_deref(), path).await,
        None => {
            let loaded = config::load(&health.config.sources())?;
            ask_here(&loaded.config.http, path).await
        }
    };
    match asked {
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

/// Asks the gateway at a URL.
async fn ask_at(url: &Url, cacert: Option<&Path>, path: &str) -> Result<String, String> {
    let builder = super::http::client(url, cacert).map_err(|trouble| trouble.to_string())?;
    let mut url = url.clone();
    let below = format!("{}{path}", url.path().trim_end_matches('/'));
    url.set_path(&below);
    let hint = "; does a gateway run there?";
    ask(builder, url, hint).await
}

/// Asks the gateway of a configuration, on this machine.
async fn ask_here(http: &HttpSettings, path: &str) -> Result<String, String> {
    let scheme = http.tls.as_ref().map_or("http", |_| "https");
    let address = app::reached_at(http.listen);
    let url = Url::parse(&format!("{scheme}://{address}{path}"));
    let url = url.map_err(|error| error.to_string())?;
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls(http)?);
    let hint = "; is `sipost serve` running? (the address is `http.listen` of the configuration; \
                --url asks elsewhere)";
    ask(builder, url, hint).await
}

/// What is found. `hint` is for one who finds nothing.
async fn ask(builder: reqwest::ClientBuilder, url: Url, hint: &str) -> Result<String, String> {
    let client = builder
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| error.to_string())?;
    let is_live = url.path().ends_with("/livez");
    let response = client.get(url.clone()).send().await;
    let url = client::shown(&url);
    let response = response
        .map_err(|error| format!("nothing answers at {url}: {}{hint}", client::reason(&error)))?;
    let status = response.status();
    if status.is_success() {
        let word = if is_live { "alive" } else { "ready" };
        return Ok(format!("{word}: {url} answers {status}"));
    }
    let body = client::read(response).await.unwrap_or_default();
    let problem: ProblemBody = serde_json::from_slice(&body).unwrap_or_default();
    let reason = client::sentence(&problem, status);
    Err(format!("{url} answers {status}: {reason}"))
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
