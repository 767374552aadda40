//! Servers that misbehave in frames.

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::harness::{Peer, RunningAgent, Setup, TestServer, soon};
use crate::sip::testing::{reply, status};

async fn registered() -> (TestServer, RunningAgent, Peer<TcpStream>) {
    let server = TestServer::open().await;
    let mut agent = Setup::at(&server).start();
    let peer = server.registered().await;
    agent.up().await;
    (server, agent, peer)
}

/// The bytes of a frame as a server writes it: the first byte, and what is in it.
fn raw(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(short) if short < 126 => bytes.push(short.to_be_bytes()[1]),
        Ok(middle) => {
            bytes.push(126);
            bytes.extend(middle.to_be_bytes());
        }
        Err(_) => {
            bytes.push(127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

async fn write_raw(peer: &mut Peer<TcpStream>, bytes: &[u8]) {
    soon(peer.socket.get_mut().write_all(bytes)).await.unwrap();
}

fn options(number: usize) -> String {
    format!(
        "OPTIONS sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/WS p;branch=z9hG4bK{number}\r\n\
         From: <sip:bob@example.com>;tag=b\r\nTo: <sip:alice@example.com>\r\n\
         Call-ID: in-{number}\r\nCSeq: 1 OPTIONS\r\n\r\n"
    )
}

#[tokio::test]
async fn w2_answers_in_text_and_in_binary_frames_are_taken() {
    let (_server, mut agent, mut peer) = registered().await;
    for (key, is_binary) in [(1, false), (2, true)] {
        agent.send(key);
        let request = peer.request_of("MESSAGE").await;
        let answer = reply(&request, "200 OK", "");
        if is_binary {
            peer.say(Message::binary(answer.into_bytes())).await;
        } else {
            peer.say(answer).await;
        }
        assert_eq!(agent.code().await, (key, 200));
    }
}

#[tokio::test]
async fn w8_an_answer_in_many_fragments_with_a_ping_between_them_is_one_answer() {
    let (_server, mut agent, mut peer) = registered().await;
    agent.send(1);
    let request = peer.request_of("MESSAGE").await;
    let answer = reply(&request, "202 Accepted", "");
    let pieces: Vec<_> = answer.as_bytes().chunks(7).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let kind = match number {
            0 => Data::Text,
            _ => Data::Continue,
        };
        let is_last = number + 1 == pieces.len();
        let frame = Frame::message(piece.to_vec(), OpCode::Data(kind), is_last);
        peer.say(Message::Frame(frame)).await;
        peer.say(Message::Ping(Vec::new().into())).await;
    }
    assert_eq!(agent.code().await, (1, 202));
}

#[tokio::test]
async fn w10_of_several_messages_in_one_frame_the_first_is_taken_and_nothing_is_lost() {
    let (_server, mut agent, mut peer) = registered().await;
    agent.send_all([1, 2]);
    let first = peer.request_of("MESSAGE").await;
    let second = peer.request_of("MESSAGE").await;
    let both = reply(&first, "200 OK", "") + &reply(&second, "404 Not Found", "");
    peer.say(both).await;
    assert_eq!(agent.code().await, (1, 200));
    peer.answer(&second, "202 Accepted", "").await;
    assert_eq!(agent.code().await, (2, 202));
}

#[tokio::test]
async fn garbage_between_the_answers_changes_nothing() {
    let (_server, mut agent, mut peer) = registered().await;
    for garbage in [
        &b""[..],
        b"\0",
        b"\r\n",
        b"\r\n\r\n\r\n",
        b"SIP/2.0",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"MESSAGE sip:alice@example.com SIP/2.0\r\n\r\n",
        b"INVITE \xff\xfe SIP/2.0\r\nVia: \r\n\r\n",
        &[b'a'; 60_000],
        &[0xff; 60_000],
        &b"Via: a\r\n".repeat(5_000),
    ] {
        peer.say(Message::binary(garbage.to_vec())).await;
    }
    peer.works_for(&mut agent).await;
}

/// RFC 6455 §5.5, §5.6, §7.4.1 and §10.4: what must end the connection ends it, and the agent
/// comes back; what is in flight is told at once.
#[tokio::test]
async fn w8_what_breaks_the_rules_of_websocket_ends_the_connection_and_no_more() {
    let mut limitless = raw(0x82, &[]);
    limitless.truncate(1);
    limitless.push(127);
    limitless.extend((u64::MAX >> 1).to_be_bytes());
    let mut masked = raw(0x81, b"\0\0\0\0hello");
    masked[1] = 0x80 | 5;
    for (bytes, error) in [
        (raw(0x82, &[b'a'; 70_000]), "too long"),
        (limitless, "too long"),
        (raw(0xc1, b"hello"), "eserved"),
        (raw(0x83, b"hello"), "pcode"),
        (raw(0x80, b"continues nothing"), "ontinue"),
        (raw(0x09, b"half a ping"), "ragment"),
        (raw(0x89, &[0; 126]), "ontrol frame"),
        (masked, "mask"),
    ] {
        let (server, mut agent, mut peer) = registered().await;
        agent.send(1);
        peer.request_of("MESSAGE").await;
        write_raw(&mut peer, &bytes).await;

        agent.outcome().await;
        let mut peer = server.registered().await;
        assert!(agent.error().contains(error), "{error}: {}", agent.error());
        agent.up().await;
        peer.works_for(&mut agent).await;
    }
}

/// Some servers write every message in a text frame. A sender must not take the agent off its
/// server with one.
#[tokio::test]
async fn w8_text_that_is_no_utf_8_is_taken_as_bytes() {
    let (_server, mut agent, mut peer) = registered().await;
    let frame = [options(1).as_bytes(), b"\xff\xfe\xc3\x28"].concat();
    write_raw(&mut peer, &raw(0x81, &frame)).await;
    assert_eq!(status(&peer.request().await), 200);
    // In fragments too.
    let frame = [options(2).as_bytes(), b"\xff"].concat();
    write_raw(&mut peer, &raw(0x01, &frame[..10])).await;
    write_raw(&mut peer, &raw(0x80, &frame[10..])).await;
    assert_eq!(status(&peer.request().await), 200);
    peer.works_for(&mut agent).await;
}

/// Fragments that never end are not gathered beyond the limit.
#[tokio::test]
async fn w8_a_message_that_never_ends_is_given_up_at_the_limit() {
    let (server, agent, mut peer) = registered().await;
    write_raw(&mut peer, &raw(0x01, &[b'a'; 100])).await;
    let more = raw(0x00, &[b'a'; 1_000]);
    while peer.socket.get_mut().write_all(&more).await.is_ok() {}
    server.registered().await;
    assert!(agent.error().contains("too long"), "{}", agent.error());
}

/// A server that never pauses must not keep the agent from its own work.
#[tokio::test]
async fn a_flood_of_requests_or_pings_keeps_nobody_from_sending() {
    for flood in ["OPTIONS", "ping"] {
        let (_server, mut agent, mut peer) = registered().await;
        agent.send(1);
        let mut number = 0;
        let message = soon(async {
            loop {
                for _ in 0..100 {
                    number += 1;
                    let frame = match flood {
                        "ping" => Message::Ping(b"flood"[..].into()),
                        _ => Message::text(options(number)),
                    };
                    peer.say(frame).await;
                }
                while let Some(frame) = peer.socket.next().now_or_never() {
                    match frame.unwrap().unwrap() {
                        Message::Text(text) if text.starts_with("MESSAGE") => return text,
                        Message::Text(text) => assert_eq!(status(&text), 200),
                        _ => {}
                    }
                }
                tokio::task::yield_now().await;
            }
        });
        let message = message.await;
        peer.answer(&message, "200 OK", "").await;
        assert_eq!(agent.code().await, (1, 200), "{flood}");
    }
}
