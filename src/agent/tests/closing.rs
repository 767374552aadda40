//! Connections that end, in every way a connection ends.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::harness::{NEVER, Peer, RunningAgent, Setup, TestServer};
use crate::agent::{Keepalive, Probe};
use crate::clock;
use crate::message::{Outcome, Unknown};
use crate::sip::testing::message_to;

const LOST: Outcome = Outcome::Unknown(Unknown::Disconnected);

/// Registered, with two messages in flight that the server has read.
async fn in_flight(setup: impl FnOnce(&mut Setup)) -> (TestServer, RunningAgent, Peer<TcpStream>) {
    let server = TestServer::open().await;
    let mut given = Setup::at(&server);
    setup(&mut given);
    let mut agent = given.start();
    let mut peer = server.registered().await;
    agent.up().await;
    agent.send_all([1, 2]);
    peer.request_of("MESSAGE").await;
    peer.request_of("MESSAGE").await;
    (server, agent, peer)
}

/// Both messages are told at once, each once, and the agent comes back and works.
async fn heals(server: &TestServer, agent: &mut RunningAgent) {
    assert_eq!(agent.outcome().await, (1, LOST));
    assert_eq!(agent.outcome().await, (2, LOST));
    let mut peer = server.registered().await;
    agent.up().await;
    peer.works_for(agent).await;
}

#[tokio::test]
async fn w9_the_code_and_the_reason_of_a_close_are_told_and_the_close_is_answered() {
    for (code, reason, told) in [
        (1001, "restarting", "the server closed: 1001 restarting"),
        (1008, "", "the server closed: 1008"),
        (
            1013,
            "try again later",
            "the server closed: 1013 try again later",
        ),
        (4000, "[odd]", "the server closed: 4000 [odd]"),
    ] {
        let (server, mut agent, mut peer) = in_flight(|_| {}).await;
        let close = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        peer.say(Message::Close(Some(close))).await;
        assert!(peer.closed().await.is_some(), "{code} is not answered");
        heals(&server, &mut agent).await;
        assert_eq!(agent.error().trim(), told);
    }
}

#[tokio::test]
async fn w9_a_close_without_a_code_and_one_without_a_word_are_told() {
    let (server, mut agent, mut peer) = in_flight(|_| {}).await;
    peer.say(Message::Close(None)).await;
    heals(&server, &mut agent).await;
    assert_eq!(agent.error(), "the server closed");

    let (server, mut agent, mut peer) = in_flight(|_| {}).await;
    peer.socket.get_mut().shutdown().await.unwrap();
    heals(&server, &mut agent).await;
    assert!(
        agent.error().contains("closing handshake"),
        "{}",
        agent.error()
    );
}

/// JsSIP says so at once too; SIP.js waits for Timer F, half a minute.
#[tokio::test]
async fn e8_a_reset_connection_ends_what_is_in_flight_at_once() {
    let (server, mut agent, peer) = in_flight(|setup| setup.settings.timer_f = NEVER).await;
    let stream = peer.socket.into_inner();
    stream.set_zero_linger().unwrap();
    drop(stream);
    heals(&server, &mut agent).await;
}

/// The reset comes while the agent is writing: nothing of what it was handed is forgotten.
#[tokio::test]
async fn e8_a_reset_in_the_middle_of_a_write_ends_every_message_once() {
    let (server, mut agent, peer) = in_flight(|_| {}).await;
    let bodies = (3..63).map(|key| large(key, 60_000));
    agent.tell(crate::agent::AgentCommand::Send(bodies.collect()));
    tokio::task::yield_now().await;
    let stream = peer.socket.into_inner();
    stream.set_zero_linger().unwrap();
    drop(stream);

    for key in 1..63 {
        let (ended, outcome) = agent.outcome().await;
        assert_eq!(ended, key);
        assert!(matches!(outcome, LOST | Outcome::NotWritten), "{outcome:?}");
    }
    server.registered().await;
    agent.up().await;
}

/// Back-pressure: what a server does not read is not gathered for ever, and the connection counts
/// as dead when it stands still for as long as a sign of life may take.
#[tokio::test]
async fn a_server_that_reads_nothing_is_left_and_every_message_ends_once() {
    let patience = |setup: &mut Setup| setup.keepalive.timeout = Duration::from_millis(300);
    let (server, mut agent, peer) = in_flight(patience).await;
    let mut key = 3;
    // However much the buffers of this machine take, at some point they are full.
    while !agent.error().contains("reads nothing") {
        agent.tell(crate::agent::AgentCommand::Send(vec![large(key, 250_000)]));
        key += 1;
        tokio::task::yield_now().await;
    }
    for expected in 1..key {
        assert_eq!(agent.outcome().await.0, expected);
    }
    server.registered().await;
    agent.up().await;
    drop(peer);
}

fn large(key: u64, size: usize) -> crate::agent::Job {
    let mut request = message_to("sip:bob@example.com", &format!("call-{key}"));
    request.body = vec![b'a'; size].into();
    crate::agent::Job {
        key,
        alone: false,
        message: super::harness::message_id(key),
        request,
    }
}

#[tokio::test]
async fn w4_a_server_that_gives_no_sign_of_life_is_left() {
    for probe in [Probe::Ping, Probe::Crlf] {
        let (server, mut agent, peer) = in_flight(|setup| {
            setup.keepalive = Keepalive {
                probe,
                interval: Duration::from_millis(50),
                timeout: Duration::from_millis(200),
            };
        })
        .await;
        // The kernel of the server accepts bytes while its program hangs and reads none.
        agent.told("does not answer keep-alives").await;
        assert_eq!(agent.outcome().await, (1, LOST));
        assert_eq!(agent.outcome().await, (2, LOST));
        server.accept().await;
        drop(peer);
    }
}

/// Half a frame is no sign of life.
#[tokio::test]
async fn w4_half_a_frame_and_then_nothing_is_a_dead_connection() {
    let (server, agent, mut peer) = in_flight(|setup| {
        setup.keepalive.interval = Duration::from_millis(50);
        setup.keepalive.timeout = Duration::from_millis(200);
    })
    .await;
    let half = b"\x81\x7e\x01\x00SIP/2.0 200 OK\r\nVia: ";
    peer.socket.get_mut().write_all(half).await.unwrap();
    agent.told("does not answer keep-alives").await;
    server.accept().await;
    drop(peer);
}

/// Any frame will do: here the answer to a double line end is a request.
#[tokio::test]
async fn w4_whatever_a_server_says_is_a_sign_of_life() {
    let (_server, agent, mut peer) = in_flight(|setup| {
        setup.keepalive = Keepalive {
            probe: Probe::Crlf,
            interval: Duration::from_millis(20),
            timeout: NEVER,
        };
    })
    .await;
    for answer in ["\r\n", "BYE", "\r\n", "\u{1F389}"] {
        assert_eq!(peer.request().await, "\r\n\r\n");
        peer.say(answer).await;
    }
    assert_eq!(agent.error(), "");
    agent.send(3);
    while !peer.request().await.starts_with("MESSAGE") {}
}

#[tokio::test(start_paused = true)]
async fn w4_an_answer_counts_until_the_last_moment_and_not_after_it() {
    let keepalive = Keepalive {
        probe: Probe::Ping,
        interval: Duration::from_secs(25),
        timeout: Duration::from_secs(10),
    };
    let heard = clock::now();
    assert_eq!(
        keepalive.probe_at(heard, false),
        Some(heard + keepalive.interval)
    );
    tokio::time::advance(Duration::from_millis(34_999)).await;
    assert!(!keepalive.is_over(heard, true));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(keepalive.is_over(heard, true) && !keepalive.is_over(heard, false));
    let quiet = Keepalive {
        probe: Probe::None,
        ..keepalive
    };
    assert_eq!(quiet.probe_at(heard, false), None);
    assert!(!quiet.is_over(heard, true));
}

/// A server that takes every registration and closes: each round waits longer than the one before.
/// What is asserted holds on a slow machine too, on which a connection may seem to have held.
#[tokio::test]
async fn connections_that_do_not_hold_come_slower_and_slower() {
    let server = TestServer::open().await;
    let mut setup = Setup::at(&server);
    setup.recovery.min = Duration::from_millis(200);
    setup.recovery.max = NEVER;
    let _stage = setup.start();
    let began = clock::now();
    for _ in 0..3 {
        let mut peer = server.registered().await;
        peer.say(Message::Close(None)).await;
        peer.closed().await;
    }
    server.accept().await;
    assert!(clock::now() - began >= Duration::from_millis(600));
}
