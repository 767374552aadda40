//! Servers that misbehave before there is a WebSocket.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use http::{HeaderName, HeaderValue};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::harness::{NEVER, Peer, Setup, TestServer, read_head};
use crate::clock;
use crate::message::Outcome;

/// What a server says to the first connection, and what the operator is told of it. The second
/// connection is served well: whatever happened, it comes.
async fn comes_back_after(answer: impl Fn(&str) -> String) -> String {
    let server = TestServer::open().await;
    let mut agent = Setup::at(&server).start();
    let mut stream = server.accept().await;
    let head = read_head(&mut stream).await;
    stream.write_all(answer(&head).as_bytes()).await.unwrap();
    // The agent goes on reading: the side that gives up closes.
    let mut peer = server.registered().await;
    let error = agent.error();
    agent.up().await;
    peer.works_for(&mut agent).await;
    drop(stream);
    error
}

/// The key that proves that the server read the request.
fn accept_key(head: &str) -> String {
    let name = "sec-websocket-key:";
    let mut lines = head.lines();
    let line = lines.find(|line| line.to_ascii_lowercase().starts_with(name));
    derive_accept_key(line.unwrap()[name.len()..].trim().as_bytes())
}

fn switching(head: &str, more: &str) -> String {
    let key = accept_key(head);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {key}\r\n{more}\r\n"
    )
}

#[tokio::test]
async fn w1_a_server_that_does_not_take_the_subprotocol_is_not_used() {
    for more in ["", "Sec-WebSocket-Protocol: xmpp\r\n"] {
        let error = comes_back_after(|head| switching(head, more)).await;
        assert!(error.contains("subprotocol"), "{error}");
    }
}

#[tokio::test]
async fn w1_the_upgrade_offers_sip_and_carries_the_headers_of_the_operator() {
    let server = TestServer::open().await;
    let mut setup = Setup::at(&server);
    setup.dialing.headers = [
        ("cookie", "session=1"),
        ("origin", "https://a.example"),
        ("cookie", "b=2"),
    ]
    .map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    })
    .into();
    let _stage = setup.start();
    let mut stream = server.accept().await;
    let head = read_head(&mut stream).await.to_ascii_lowercase();

    assert!(head.starts_with("get /sip http/1.1\r\n"), "{head}");
    for line in [
        "sec-websocket-protocol: sip",
        "sec-websocket-version: 13",
        "cookie: session=1",
        "cookie: b=2",
        "origin: https://a.example",
        &format!("host: 127.0.0.1:{}", server.port()),
    ] {
        let times = head.lines().filter(|other| *other == line).count();
        assert_eq!(times, 1, "{line} in {head}");
    }
}

/// What OpenSIPS answers to an upgrade (`require_origin` of its `proto_ws` is on).
fn opensips(head: &str) -> String {
    let mut lines = head.lines();
    if !lines.any(|line| line.to_ascii_lowercase().starts_with("origin:")) {
        return "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_owned();
    }
    switching(head, "Sec-WebSocket-Protocol: sip\r\n").replace(
        "Connection: Upgrade",
        "Connection: keep-alive\r\nconnection: upgrade",
    )
}

#[tokio::test]
async fn w1_a_server_that_demands_an_origin_is_given_that_of_its_own_page() {
    let server = TestServer::open().await;
    let mut agent = Setup::at(&server).start();
    let mut stream = server.accept().await;
    let head = read_head(&mut stream).await;
    let origin = format!("\r\nOrigin: http://127.0.0.1:{}\r\n", server.port());
    let without = opensips(&head.replace(&origin, "\r\n"));
    assert!(without.starts_with("HTTP/1.1 400"), "{head}");
    let answer = opensips(&head);
    // The first frame comes in the same segment as the answer, and is not lost: a ping.
    let mut bytes = answer.into_bytes();
    bytes.extend_from_slice(&[0x89, 0x01, b'x']);
    stream.write_all(&bytes).await.unwrap();
    let mut peer = Peer {
        socket: WebSocketStream::from_raw_socket(stream, Role::Server, None).await,
    };
    let (mut has_pong, mut register) = (false, None);
    while !has_pong || register.is_none() {
        match peer.socket.next().await.unwrap().unwrap() {
            Message::Pong(bytes) => has_pong = &bytes[..] == b"x",
            Message::Text(text) => register = Some(text.as_str().to_owned()),
            other => panic!("{other:?}"),
        }
    }
    peer.grant(&register.unwrap()).await;
    agent.up().await;
    peer.works_for(&mut agent).await;
}

#[tokio::test]
async fn an_upgrade_that_is_refused_is_told_with_its_status_and_tried_again() {
    for status in [
        "302 Found\r\nLocation: ws://elsewhere.invalid/",
        "401 Unauthorized",
        "404 Not Found",
        "429 Too Many Requests",
        "500 Oops",
        "200 OK",
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let error = comes_back_after(|_| answer.clone()).await;
        assert!(error.contains(&status[..3]), "{status}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_answer_to_an_upgrade_is_told_and_tried_again() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
        "\0\u{1}\u{2}\r\n\r\n".to_owned(),
        format!("HTTP/1.1 101 OK\r\n{}\r\n", "X-A: a\r\n".repeat(500)),
    ] {
        let error = comes_back_after(|_| answer.clone()).await;
        assert!(!error.is_empty(), "{answer}");
    }
    let wrong_key = |head: &str| switching(head, "").replace(&accept_key(head), "AAAA");
    let error = comes_back_after(wrong_key).await;
    assert!(error.contains("Sec-WebSocket-Accept"), "{error}");
}

/// A header that never ends is not gathered for ever.
#[tokio::test]
async fn an_answer_to_the_upgrade_without_end_is_given_up() {
    let server = TestServer::open().await;
    let mut agent = Setup::at(&server).start();
    let mut stream = server.accept().await;
    read_head(&mut stream).await;
    stream
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nX-A: ")
        .await
        .unwrap();
    while stream.write_all(&[b'a'; 4096]).await.is_ok() {}

    server.registered().await;
    assert!(!agent.error().is_empty());
    agent.up().await;
}

#[tokio::test]
async fn w5_a_server_that_accepts_and_is_silent_costs_the_connect_timeout_and_no_more() {
    for said in ["", "HTTP/1.1 101 Switching Pro"] {
        let server = TestServer::open().await;
        let mut setup = Setup::at(&server);
        setup.dialing.connect_timeout = Duration::from_millis(300);
        let agent = setup.start();
        let mut silent = Vec::new();
        for _ in 0..3 {
            let mut stream = server.accept().await;
            stream.write_all(said.as_bytes()).await.unwrap();
            silent.push(stream);
        }
        assert_eq!(agent.error(), "the server did not answer within 300ms");
    }
}

#[tokio::test]
async fn a_port_at_which_nobody_listens_is_told_and_tried_until_somebody_does() {
    let server = TestServer::open().await;
    let (url, port) = (server.url(), server.port());
    drop(server);
    let mut agent = Setup::new([(url, 1)]).start();
    agent.told("refused").await;

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    TestServer::of(listener).registered().await;
    agent.up().await;
}

/// RFC 9110 §10.2.3. With jitter, but never before.
#[tokio::test]
async fn a_server_that_refuses_the_upgrade_for_a_while_is_left_alone_for_that_long() {
    let server = TestServer::open().await;
    let agent = Setup::at(&server).start();
    let mut stream = server.accept().await;
    read_head(&mut stream).await;
    let refused: Instant = clock::now();
    stream
        .write_all(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();

    server.accept().await;
    assert!(refused.elapsed() >= Duration::from_secs(1));
    assert!(agent.error().contains("503"), "{}", agent.error());
}

/// What cannot be sent now is given back now, whatever the agent is busy with.
#[tokio::test]
async fn a_message_for_an_agent_that_is_connecting_or_away_is_given_back_at_once() {
    let server = TestServer::open().await;
    let mut agent = Setup::at(&server).start();
    let connecting = server.accept().await;
    agent.send(1);
    assert_eq!(agent.outcome().await, (1, Outcome::NotWritten));

    let mut away = Setup::at(&server);
    away.recovery.min = NEVER;
    away.recovery.max = NEVER;
    let mut away = away.start();
    drop(server.accept().await);
    drop(server);
    away.told(" ").await;
    away.send(2);
    assert_eq!(away.outcome().await, (2, Outcome::NotWritten));
    drop(connecting);
}
