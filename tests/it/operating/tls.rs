//! TLS for those who call.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::PATIENCE;
use super::Running;
use crate::certificates::fixture;

const FILES: &str = "[http.tls]\ncertificate_file = \"http.pem\"\nkey_file = \"http.key\"\n";

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(fixture(name)).unwrap()
}

/// Puts this certificate and its key where the gateway looks.
fn put(folder: &Path, name: &str) {
    for (kind, to) in [("pem", "http.pem"), ("key", "http.key")] {
        fs::copy(fixture(&format!("{name}.{kind}")), folder.join(to)).unwrap();
    }
}

/// A gateway that shows the first certificate.
async fn with_tls(more: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "first");
    Running::start_in(folder, &format!("[http]\n{more}\n{FILES}")).await
}

fn address(gateway: &Running) -> SocketAddr {
    let (_, address) = gateway.url.split_once("https://").unwrap();
    address.parse().unwrap()
}

async fn connect(gateway: &Running) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate("authority.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address(gateway)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    connecting.await.unwrap()
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let (_, connection) = stream.get_ref();
    connection.peer_certificates().unwrap()[0].clone()
}

/// What a request on this connection is answered; the connection stays open.
async fn live(stream: &mut TlsStream<TcpStream>) -> String {
    let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8(answer[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn clients_are_answered_over_tls_in_http_1_1() {
    let gateway = with_tls("").await;
    let mut stream = connect(&gateway).await;
    assert_eq!(shown(&stream), certificate("first.pem"));
    let protocol = stream.get_ref().1.alpn_protocol().unwrap();
    assert_eq!(protocol, b"http/1.1");
    let answer = live(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_certificate_is_read_again_at_sighup_and_open_connections_stay() {
    let mut gateway = with_tls("").await;
    let mut open = connect(&gateway).await;

    put(gateway.folder.path(), "second");
    gateway.signal(Signal::HUP);
    gateway.line("configuration reloaded").await;

    assert_eq!(shown(&connect(&gateway).await), certificate("second.pem"));
    assert!(live(&mut open).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_its_key_changes_nothing() {
    let mut gateway = with_tls("").await;
    let other = fixture("second.pem");
    fs::copy(other, gateway.path("http.pem")).unwrap();
    gateway.signal(Signal::HUP);
    let line = gateway.line("mistake in the configuration").await;
    assert!(
        line.contains("http.tls.key_file: does not belong to"),
        "{line}"
    );
    gateway.line("failed to reload the configuration").await;
    assert_eq!(shown(&connect(&gateway).await), certificate("first.pem"));
}

#[tokio::test]
async fn who_does_not_shake_hands_in_time_is_cut_off() {
    let gateway = with_tls("header_timeout = \"1s\"").await;
    let mut silent = TcpStream::connect(address(&gateway)).await.unwrap();
    let mut rest = Vec::new();
    let cut = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut rest)).await;
    // Closed or reset, and nothing was said.
    assert!(cut.is_ok() && rest.is_empty());
}

#[tokio::test]
async fn a_certificate_that_is_not_one_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("http.pem"), "nonsense").unwrap();
    fs::copy(fixture("first.key"), folder.path().join("http.key")).unwrap();
    fs::write(folder.path().join("sipost.toml"), FILES).unwrap();
    let ended = tokio::process::Command::new(env!("CARGO_BIN_EXE_sipost"))
        .args(["serve", "--config", "sipost.toml"])
        .env_clear()
        .env("SIPOST__HTTP__LISTEN", "127.0.0.1:0")
        .current_dir(folder.path())
        .output();
    let ended = tokio::time::timeout(PATIENCE, ended)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ended.status.code(), Some(78));
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.contains("http.pem"), "{told}");
}

#[tokio::test]
async fn health_is_asked_over_tls_and_only_of_the_certificate_that_is_configured() {
    let gateway = with_tls("").await;
    let health = async |folder: &Path| {
        let address = address(&gateway).to_string();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sipost"));
        command
            .args(["health", "--config", "sipost.toml"])
            .env_clear()
            .env("SIPOST__HTTP__LISTEN", address)
            .current_dir(folder);
        command.output().await.unwrap()
    };
    let ended = health(gateway.folder.path()).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let found = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(found.starts_with("ready: https://127.0.0.1:"), "{found}");
    assert!(found.ends_with("/readyz answers 200 OK\n"), "{found}");

    // As if another program listened there.
    let other = tempfile::tempdir().unwrap();
    put(other.path(), "second");
    fs::write(other.path().join("sipost.toml"), FILES).unwrap();
    let ended = health(other.path()).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
}

#[tokio::test]
async fn the_commands_trust_a_certificate_that_is_named_to_them() {
    let gateway = with_tls("").await;
    let authority = fixture("authority.pem");
    let run = async |more: &[&str]| {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_sipost"))
            .args(["list", "--url", &gateway.url])
            .args(more)
            .output()
            .await
            .unwrap()
    };
    let ended = run(&["--cacert", &authority]).await;
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{told}");
    for nothing in [&[][..], &["--cacert", ""]] {
        let ended = run(nothing).await;
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(2), "{told}");
        assert!(told.contains("nothing answers at"), "{told}");
    }
    let ended = run(&["--cacert", "/nowhere.pem"]).await;
    assert_eq!(ended.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("/nowhere.pem"));
}
