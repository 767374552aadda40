//! `wss`: whom an agent trusts, and what it shows of itself.

use std::sync::Arc;

use rcgen::date_time_ymd;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData as _,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::harness::{Peer, RunningAgent, Setup, TestServer, soon};
use crate::agent::{Identification, TlsError, client_config};
use crate::sip::testing::value;

/// Who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, both PEM.
struct Signed {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        // Two authorities of one name would be taken for one that signs badly.
        let name = format!("{:x?}", key.der_bytes());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    fn signs(&self, name: &str) -> Signed {
        self.signs_until(name, 4000)
    }

    fn signs_until(&self, name: &str, year: i32) -> Signed {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        Signed {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.pem)).unwrap();
        roots
    }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// A server with this certificate; it asks for one in return when it knows who signs them.
fn acceptor(own: &Signed, clients: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let roots = Arc::new(authority.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let config = builder
        .with_single_cert(vec![der(&own.certificate)], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// An agent that trusts this authority, and shows this certificate.
fn agent_at(
    server: &TestServer,
    host: &str,
    trusts: &Authority,
    shows: Option<&Signed>,
) -> RunningAgent {
    let own = shows.map(|own| {
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
        (vec![der(&own.certificate)], key)
    });
    agent_trusting(server, host, &[der(&trusts.pem)], own)
}

fn agent_trusting(
    server: &TestServer,
    host: &str,
    trusts: &[CertificateDer<'static>],
    shows: Option<Identification>,
) -> RunningAgent {
    let mut setup = Setup::new([(format!("wss://{host}:{}/sip", server.port()), 1)]);
    setup.dialing.tls = watch::channel(client_config(trusts, shows).unwrap()).1;
    setup.start()
}

async fn secured(server: &TestServer, acceptor: &TlsAcceptor) -> TlsStream<TcpStream> {
    soon(acceptor.accept(server.accept().await)).await.unwrap()
}

#[tokio::test]
async fn an_authority_of_the_operator_is_trusted_and_the_server_is_told_its_name() {
    let (authority, server) = (Authority::new(), TestServer::open().await);
    let acceptor = acceptor(&authority.signs("localhost"), None);
    let mut agent = agent_at(&server, "localhost", &authority, None);

    let stream = secured(&server, &acceptor).await;
    assert_eq!(stream.get_ref().1.server_name(), Some("localhost"));
    let mut peer = Peer::upgrade(stream).await;
    let register = peer.register().await;
    agent.up().await;
    assert!(
        value(&register, "Via").starts_with("SIP/2.0/WSS "),
        "{register}"
    );
    peer.works_for(&mut agent).await;
}

#[tokio::test]
async fn a_server_may_be_an_address() {
    let (authority, server) = (Authority::new(), TestServer::open().await);
    let acceptor = acceptor(&authority.signs("127.0.0.1"), None);
    let mut agent = agent_at(&server, "127.0.0.1", &authority, None);
    let mut peer = Peer::upgrade(secured(&server, &acceptor).await).await;
    peer.register().await;
    agent.up().await;
}

/// A server whose certificate does not hold gets no SIP. The status says why, and the agent tries
/// again.
#[tokio::test]
async fn a_server_that_cannot_be_trusted_is_refused_and_the_reason_is_told() {
    let (known, unknown) = (Authority::new(), Authority::new());
    for (certificate, reason) in [
        (unknown.signs("localhost"), "UnknownIssuer"),
        (known.signs("elsewhere.example"), "not valid for name"),
        (known.signs_until("localhost", 2001), "expired"),
    ] {
        let server = TestServer::open().await;
        let agent = agent_at(&server, "localhost", &known, None);
        let refusing = acceptor(&certificate, None);
        let refused = soon(refusing.accept(server.accept().await)).await;
        assert!(refused.is_err(), "{reason}");
        agent.told("TLS: ").await;
        assert!(
            agent.error().contains(reason),
            "{reason}: {}",
            agent.error()
        );

        let honest = acceptor(&known.signs("localhost"), None);
        Peer::upgrade(secured(&server, &honest).await)
            .await
            .register()
            .await;
    }
}

#[tokio::test]
async fn what_is_no_tls_is_told_and_tried_again() {
    let (authority, server) = (Authority::new(), TestServer::open().await);
    let agent = agent_at(&server, "localhost", &authority, None);
    let mut stream = server.accept().await;
    let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
        .await
        .unwrap();
    server.accept().await;
    assert!(agent.error().starts_with("TLS: "), "{}", agent.error());
}

#[tokio::test]
async fn a_server_that_asks_for_a_client_certificate_is_shown_it() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let server = TestServer::open().await;
    let asking = acceptor(&authority.signs("localhost"), Some(&clients));

    let own = clients.signs("alice.example");
    let mut agent = agent_at(&server, "localhost", &authority, Some(&own));
    let stream = secured(&server, &asking).await;
    let shown = stream.get_ref().1.peer_certificates().unwrap();
    assert_eq!(shown, [der(&own.certificate)]);
    Peer::upgrade(stream).await.register().await;
    agent.up().await;
    drop(agent);

    let without = agent_at(&server, "localhost", &authority, None);
    while soon(asking.accept(server.accept().await)).await.is_ok() {}
    without.told(" ").await;
    server.accept().await;
}

/// What `openssl req -x509` makes is the certificate of a server and its own authority.
fn self_signed(name: &str, is_ca: IsCa, year: i32) -> Signed {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.is_ca = is_ca;
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    Signed {
        certificate: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

#[tokio::test]
async fn a_certificate_that_is_itself_listed_is_trusted_whoever_signed_it() {
    let ca = || IsCa::Ca(BasicConstraints::Unconstrained);
    for own in [
        self_signed("localhost", ca(), 4000),
        self_signed("localhost", IsCa::NoCa, 4000),
        Authority::new().signs("localhost"),
    ] {
        let server = TestServer::open().await;
        let listed = [der(&Authority::new().pem), der(&own.certificate)];
        let mut agent = agent_trusting(&server, "localhost", &listed, None);
        let stream = secured(&server, &acceptor(&own, None)).await;
        Peer::upgrade(stream).await.register().await;
        agent.up().await;
    }
}

/// To be listed replaces the authority, and nothing else.
#[tokio::test]
async fn a_listed_certificate_counts_for_its_names_and_its_time_and_its_key_only() {
    let ca = || IsCa::Ca(BasicConstraints::Unconstrained);
    let listed = self_signed("localhost", ca(), 4000);
    let elsewhere = self_signed("elsewhere.example", ca(), 4000);
    let expired = self_signed("localhost", ca(), 2001);
    let expired_leaf = self_signed("localhost", IsCa::NoCa, 2001);
    let twin = self_signed("localhost", ca(), 4000);
    for (shown, listed, reason) in [
        (&elsewhere, &elsewhere, "not valid for name"),
        (&expired, &expired, "expired"),
        (&expired_leaf, &expired_leaf, "expired"),
        (&twin, &listed, "CaUsedAsEndEntity"),
    ] {
        let server = TestServer::open().await;
        let agent = agent_trusting(&server, "localhost", &[der(&listed.certificate)], None);
        let refusing = acceptor(shown, None);
        let refused = soon(refusing.accept(server.accept().await)).await;
        assert!(refused.is_err(), "{reason}");
        agent.told("TLS: ").await;
        assert!(agent.error().contains(reason), "{}", agent.error());
    }
}

#[test]
fn a_key_that_does_not_go_with_its_certificate_is_refused() {
    let (own, other) = (
        self_signed("a", IsCa::NoCa, 4000),
        self_signed("a", IsCa::NoCa, 4000),
    );
    let key = PrivateKeyDer::from_pem_slice(other.key.as_bytes()).unwrap();
    let error = client_config(&[], Some((vec![der(&own.certificate)], key))).unwrap_err();
    assert!(matches!(error, TlsError::ClientCertificate(_)), "{error}");
}
