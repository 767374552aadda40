//! The frames that an agent hands over, shows and sends.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::harness::{Setup, TestServer, message_id, soon};
use crate::agent::{Arrival, Inbound, InboundAnswer, TracedFrames};
use crate::message::{Direction, Frame, MessageId};
use crate::sip::ReceiveSettings;
use crate::trace::{HeldFrames, Keep, Passed, Recorder, Settings};

fn recorder(keep: Keep) -> Arc<Recorder> {
    let settings = Settings {
        keep,
        retention: Duration::ZERO,
        bodies: false,
    };
    Arc::new(Recorder::new(settings, None, Arc::new(())))
}

fn keeping(server: &TestServer, keep: Keep) -> Setup {
    let mut setup = Setup::at(server);
    setup.recorder = recorder(keep);
    setup.settings.receive = Some(ReceiveSettings::default());
    setup
}

/// The message of what was handed over, and of each frame its direction and first line.
fn shown(message: MessageId, held: &HeldFrames) -> (MessageId, Vec<(Direction, String)>) {
    let frames = held.frames().iter().map(|frame| frame.masked(true));
    let lines = frames.map(|frame| (frame.direction, frame.first_line()));
    (message, lines.collect())
}

fn of_attempt(traced: TracedFrames) -> (MessageId, Vec<(Direction, String)>) {
    match traced {
        TracedFrames::OfAttempt(message, held) => shown(message, &held),
        TracedFrames::OfReceived(..) => panic!("{traced:?}"),
    }
}

fn of_received(traced: TracedFrames) -> (MessageId, Vec<(Direction, String)>) {
    match traced {
        TracedFrames::OfReceived(message, held) => shown(message, &held),
        TracedFrames::OfAttempt(..) => panic!("{traced:?}"),
    }
}

fn sent(line: &str) -> (Direction, String) {
    (Direction::Sent, line.to_owned())
}

fn received(line: &str) -> (Direction, String) {
    (Direction::Received, line.to_owned())
}

const REQUEST: &str = "MESSAGE sip:bob@example.com SIP/2.0";
const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"server\", nonce=\"n\"\r\n";

#[tokio::test]
async fn the_frames_of_an_attempt_come_with_its_end_and_name_both_ends() {
    let server = TestServer::open().await;
    let mut agent = keeping(&server, Keep::Failed).start();
    let mut peer = server.registered().await;
    agent.up().await;
    let remote = peer.socket.get_ref().local_addr().unwrap();
    let local = peer.socket.get_ref().peer_addr().unwrap();

    agent.send_all([1, 2]);
    let first = peer.request_of("MESSAGE").await;
    let second = peer.request_of("MESSAGE").await;
    peer.answer(&first, "100 Trying", "").await;
    peer.answer(&second, "200 OK", "").await;
    peer.answer(&first, "401 Unauthorized", CHALLENGE).await;
    let signed = peer.request_of("MESSAGE").await;
    peer.answer(&signed, "404 Not Found", "").await;
    assert_eq!(agent.code().await, (2, 200));
    assert!(agent.traced().is_none(), "one that succeeded is not kept");
    assert_eq!(agent.code().await, (1, 404));
    let traced = agent.traced().unwrap();
    let TracedFrames::OfAttempt(_, held) = &traced else {
        panic!("{traced:?}");
    };
    let frames: Vec<Frame> = held.frames().iter().map(|one| one.masked(false)).collect();
    assert!(frames.is_sorted_by_key(|frame| frame.micros));
    assert!(
        frames
            .iter()
            .all(|frame| (frame.local, frame.remote) == (local, remote)
                && &*frame.agent == "alice-1")
    );
    let text = String::from_utf8(frames[3].bytes.to_vec()).unwrap();
    assert_eq!(text.len(), signed.len());
    assert!(
        text.contains("response=\"****") && text.contains("nonce=\"*\""),
        "{text}"
    );
    assert_eq!(
        of_attempt(traced),
        (
            message_id(1),
            vec![
                sent(REQUEST),
                received("SIP/2.0 100 Trying"),
                received("SIP/2.0 401 Unauthorized"),
                sent(REQUEST),
                received("SIP/2.0 404 Not Found"),
            ]
        )
    );
}

#[tokio::test]
async fn all_keeps_what_succeeded_and_off_keeps_nothing() {
    for (keep, is_kept) in [(Keep::All, true), (Keep::Off, false)] {
        let server = TestServer::open().await;
        let mut agent = keeping(&server, keep).start();
        let mut peer = server.registered().await;
        agent.up().await;
        for (key, status) in [(1, "200 OK"), (2, "404 Not Found")] {
            agent.send(key);
            let request = peer.request_of("MESSAGE").await;
            peer.answer(&request, status, "").await;
            agent.outcome().await;
            let traced = agent.traced().map(of_attempt);
            let answer = format!("SIP/2.0 {status}");
            let frames = vec![sent(REQUEST), received(&answer)];
            assert_eq!(traced, is_kept.then(|| (message_id(key), frames)));
        }
    }
}

#[tokio::test]
async fn what_was_in_flight_when_the_connection_was_lost_is_kept() {
    let server = TestServer::open().await;
    let mut agent = keeping(&server, Keep::Failed).start();
    let mut peer = server.registered().await;
    agent.up().await;
    agent.send(1);
    peer.request_of("MESSAGE").await;
    drop(peer);
    agent.outcome().await;
    let traced = agent.traced().map(of_attempt);
    assert_eq!(traced, Some((message_id(1), vec![sent(REQUEST)])));
}

fn incoming(number: u32) -> String {
    format!(
        "MESSAGE sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/WS p;branch=z9hG4bK{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=b\r\nTo: <sip:alice@example.com>\r\n\
         Call-ID: in-{number}\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\n\
         Content-Length: 2\r\n\r\nhi"
    )
}

fn id_of(arrival: &Arrival) -> MessageId {
    match &arrival.what {
        Inbound::Message(received) => received.id,
        Inbound::Receipt(receipt) => panic!("{receipt:?}"),
    }
}

const INCOMING: &str = "MESSAGE sip:alice@example.com SIP/2.0";

#[tokio::test]
async fn the_frames_of_what_came_in_are_kept_once_it_is_stored_and_answered() {
    let server = TestServer::open().await;
    let mut agent = keeping(&server, Keep::All).start();
    let mut peer = server.registered().await;
    agent.up().await;
    for (number, answer) in [
        (1, InboundAnswer::Failed),
        (2, InboundAnswer::Repeated),
        (3, InboundAnswer::Taken),
    ] {
        peer.say(incoming(number)).await;
        let arrival = agent.arrival().await;
        let id = id_of(&arrival);
        arrival.answer(answer);
        peer.request().await;
        if number == 3 {
            let frames = vec![received(INCOMING), sent("SIP/2.0 202 Accepted")];
            assert_eq!(of_received(agent.frames().await), (id, frames));
        }
    }
}

#[tokio::test]
async fn with_failed_what_came_in_is_kept_where_its_sender_was_not_told() {
    let server = TestServer::open().await;
    let mut agent = keeping(&server, Keep::Failed).start();
    let mut peer = server.registered().await;
    agent.up().await;
    peer.say(incoming(1)).await;
    agent.arrival().await.answer(InboundAnswer::Taken);
    peer.request().await;
    peer.say(incoming(2)).await;
    let arrival = agent.arrival().await;
    let id = id_of(&arrival);
    drop(peer);
    agent.down().await;
    arrival.answer(InboundAnswer::Taken);
    // The first was answered, so these are of the second.
    let frames = of_received(agent.frames().await);
    assert_eq!(frames, (id, vec![received(INCOMING)]));
}

#[tokio::test]
async fn a_reader_sees_registrations_too_and_no_upgrade_header() {
    let server = TestServer::open().await;
    let mut setup = keeping(&server, Keep::Off);
    let secret = HeaderValue::from_static("k1");
    setup.dialing.headers = vec![(HeaderName::from_static("x-key"), secret)];
    let recorder = setup.recorder.clone();
    let mut agent = setup.start();
    let mut peer = server.upgrade().await;
    let register = peer.request_of("REGISTER").await;
    let mut reader = recorder.read(&"alice-1".into());
    let contact = crate::sip::testing::value(&register, "Contact").to_owned();
    let more = format!("Contact: {contact}\r\nX-Key: k1\r\n");
    peer.answer(&register, "200 OK", &more).await;
    agent.up().await;
    agent.send(1);
    peer.request_of("MESSAGE").await;
    let mut lines = Vec::new();
    for _ in 0..2 {
        match soon(reader.next()).await {
            Passed::Frame(frame) => {
                let text = String::from_utf8_lossy(&frame.bytes).into_owned();
                assert!(!text.contains("k1"), "{text}");
                lines.push((frame.direction, frame.first_line()));
            }
            Passed::Missed(missed) => panic!("missed {missed}"),
        }
    }
    assert_eq!(lines, [received("SIP/2.0 200 OK"), sent(REQUEST)]);
}
