//! The HTTP client of the commands: its TLS, its limits of time, and no redirects.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::Url;

use super::client::Trouble;
use crate::agent;
use crate::config::is_this_machine;
use crate::message::without_os_error;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for the gateway at this URL.
pub(super) fn client(url: &Url, cacert: Option<&Path>) -> Result<reqwest::ClientBuilder, Trouble> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("sipost/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls(url, cacert)?);
    Ok(if is_this_machine(url) {
        builder.no_proxy()
    } else {
        builder
    })
}

/// TLS that trusts the system's roots and those of a file; neither is read for plain HTTP.
pub(super) fn tls(base: &Url, cacert: Option<&Path>) -> Result<rustls::ClientConfig, Trouble> {
    if base.scheme() != "https" {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Trouble::lasting)?;
        let none = rustls::RootCertStore::empty();
        return Ok(config.with_root_certificates(none).with_no_client_auth());
    }
    // An empty variable counts as not set, as everywhere.
    let named = cacert.filter(|file| !file.as_os_str().is_empty());
    let authorities = named.map(certificates).transpose()?.unwrap_or_default();
    let config = agent::client_config(&authorities, None).map_err(Trouble::lasting)?;
    Ok(config.as_ref().clone())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let unusable = |error: String| Trouble::lasting(format!("{}: {error}", file.display()));
    let read = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(without_os_error(error)))?;
    if read.is_empty() {
        return Err(unusable("there is no certificate in it".to_owned()));
    }
    Ok(read)
}
