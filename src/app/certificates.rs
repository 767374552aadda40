//! The certificate of the HTTP side, read again when its files change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use rustls::ServerConfig;
use tokio::sync::watch;

use crate::api;
use crate::api::CertificateError;
use crate::config::HttpTls;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// The certificate that the configuration names.
pub(super) fn read(tls: &HttpTls) -> Result<Arc<ServerConfig>, CertificateError> {
    api::server_config(&tls.certificate_file, &tls.key_file)
}

/// Shows the certificate of these files whenever they are not as they are `known`, until nobody
/// looks any more. Files that do not fit, as when only one of them was written yet, are looked at
/// again.
pub(super) async fn keep_fresh(
    files: watch::Receiver<HttpTls>,
    shown: watch::Sender<Arc<ServerConfig>>,
    mut known: Stamps,
) {
    let mut complained = false;
    while !shown.is_closed() {
        tokio::time::sleep(LOOK).await;
        let tls = files.borrow().clone();
        let found = stamps(&tls);
        if found == known {
            continue;
        }
        match read(&tls) {
            Ok(config) => {
                shown.send_replace(config);
                tracing::info!("the certificate was read again");
                (known, complained) = (found, false);
            }
            Err(error) if !complained => {
                tracing::warn!(%error, "the certificate of before is shown");
                complained = true;
            }
            Err(_) => {}
        }
    }
}

/// When each file was written last, and how long it is.
pub(super) type Stamps = [Option<(SystemTime, u64)>; 2];

pub(super) fn stamps(tls: &HttpTls) -> Stamps {
    [stamp(&tls.certificate_file), stamp(&tls.key_file)]
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    // Follows links: what secrets are mounted as is often one that is turned to another file.
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
