//! The certificate of the HTTP side, reloaded when its files change.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use tokio::sync::watch;

use crate::api;
use crate::api::CertificateError;
use crate::config::HttpTls;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(10);

/// The certificate that the configuration names.
pub(super) fn read(tls: &HttpTls) -> Result<Arc<ServerConfig>, CertificateError> {
    api::server_config(&tls.certificate_file, &tls.key_file)
}

/// Reloads the certificate when its files differ from `known`, until `shown` is closed. Files that
/// do not go together, as when only one of them was written yet, are tried again.
pub(super) async fn keep_fresh(
    files: watch::Receiver<HttpTls>,
    shown: watch::Sender<Arc<ServerConfig>>,
    mut known: Stamps,
) {
    let mut has_warned = false;
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
                tracing::info!("certificate reloaded");
                (known, has_warned) = (found, false);
            }
            Err(error) if !has_warned => {
                tracing::warn!(%error, "failed to reload the certificate; keeping the previous one");
                has_warned = true;
            }
            Err(_) => {}
        }
    }
}

/// When each file was written last, and its length.
pub(super) type Stamps = [Option<(SystemTime, u64)>; 2];

pub(super) fn stamps(tls: &HttpTls) -> Stamps {
    [stamp(&tls.certificate_file), stamp(&tls.key_file)]
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    // Follows links: a mounted secret is often a link that is turned to another file.
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
    use tempfile::TempDir;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::*;

    /// The gateway's files, and what it shows while they are watched.
    struct Side {
        folder: TempDir,
        shown: watch::Receiver<Arc<ServerConfig>>,
        looking: JoinHandle<()>,
        _files: watch::Sender<HttpTls>,
        /// When the last file was written, in seconds: no two at once, whatever the clock says.
        written: u64,
    }

    impl Side {
        /// Shows the first certificate.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let tls = HttpTls {
                certificate_file: folder.path().join("http.pem"),
                key_file: folder.path().join("http.key"),
            };
            let mut written = 0;
            for kind in ["pem", "key"] {
                put(folder.path(), "first", kind, &mut written);
            }
            let known = stamps(&tls);
            let (sender, shown) = watch::channel(read(&tls).unwrap());
            let (files_sender, files) = watch::channel(tls);
            Self {
                folder,
                shown,
                looking: tokio::spawn(keep_fresh(files, sender, known)),
                _files: files_sender,
                written,
            }
        }

        fn put(&mut self, name: &str, kind: &str) {
            put(self.folder.path(), name, kind, &mut self.written);
        }

        /// How long until another certificate is shown.
        async fn changes(&mut self) -> Duration {
            let start = Instant::now();
            self.shown.changed().await.unwrap();
            start.elapsed()
        }

        /// The certificate that a client is shown now.
        fn shows(&self) -> CertificateDer<'static> {
            shown_by(self.shown.borrow().clone())
        }
    }

    fn fixture(name: &str, kind: &str) -> String {
        format!("tests/fixtures/tls/{name}.{kind}")
    }

    fn certificate(name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(fixture(name, "pem")).unwrap()
    }

    /// Writes a fixture where the gateway looks, a second after the last.
    fn put(folder: &Path, name: &str, kind: &str, written: &mut u64) {
        let file = folder.join(format!("http.{kind}"));
        fs::copy(fixture(name, kind), &file).unwrap();
        *written += 1;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(*written);
        let file = File::options().write(true).open(file).unwrap();
        file.set_modified(time).unwrap();
    }

    /// Shakes hands without a socket.
    fn shown_by(server: Arc<ServerConfig>) -> CertificateDer<'static> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate("authority")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(server).unwrap();
        while client.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        client.peer_certificates().unwrap()[0].clone().into_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_whose_files_have_changed_is_shown_at_the_next_look() {
        let mut side = Side::new();
        assert_eq!(side.shows(), certificate("first"));
        tokio::time::sleep(10 * LOOK).await;
        assert!(!side.shown.has_changed().unwrap(), "nothing was written");

        side.put("second", "pem");
        side.put("second", "key");
        assert!(side.changes().await <= LOOK);
        assert_eq!(side.shows(), certificate("second"));
        tokio::time::sleep(10 * LOOK).await;
        assert!(!side.shown.has_changed().unwrap(), "it is read once");
    }

    /// A renewal writes two files, one after the other.
    #[tokio::test(start_paused = true)]
    async fn files_that_do_not_fit_yet_are_looked_at_until_they_do() {
        let mut side = Side::new();
        side.put("second", "pem");
        tokio::time::sleep(10 * LOOK).await;
        assert!(!side.shown.has_changed().unwrap());
        assert_eq!(side.shows(), certificate("first"));
        fs::remove_file(side.folder.path().join("http.key")).unwrap();
        tokio::time::sleep(10 * LOOK).await;
        assert!(!side.shown.has_changed().unwrap());

        side.put("second", "key");
        assert!(side.changes().await <= LOOK);
        assert_eq!(side.shows(), certificate("second"));
    }

    /// A mounted secret is a link that is turned to another folder.
    #[tokio::test(start_paused = true)]
    async fn a_link_that_is_turned_to_other_files_is_followed() {
        let mut side = Side::new();
        let root = fs::canonicalize(".").unwrap();
        for kind in ["pem", "key"] {
            let link = side.folder.path().join(format!("http.{kind}"));
            fs::remove_file(&link).unwrap();
            symlink(root.join(fixture("second", kind)), link).unwrap();
        }
        assert!(side.changes().await <= LOOK);
        assert_eq!(side.shows(), certificate("second"));
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_watched_no_longer_than_their_certificate_is_shown() {
        let side = Side::new();
        drop(side.shown);
        tokio::time::timeout(2 * LOOK, side.looking)
            .await
            .unwrap()
            .unwrap();
    }
}
