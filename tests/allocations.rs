//! What the fast path costs in allocations: nothing until an answer is handed on, and one for a
//! request that is written. And what the request of a client may cost, and a client
//! that takes nothing of what it asked for.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "allocations/agents.rs"]
mod agents;
#[path = "allocations/clients.rs"]
mod clients;
#[path = "allocations/requests.rs"]
mod requests;

use std::io::Write as _;
use std::time::Instant;

use allocation_counter::measure;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sipost::sip::parse::ParseLimits;
use sipost::sip::target::normalize;
use sipost::sip::uri::Uri;
use sipost::sip::{
    Event, Outcome, OutgoingRequest, Output, ReceiveSettings, Response, Settings, Transport,
    UserAgent, parse,
};

#[test]
fn an_answer_is_read_and_matched_without_allocating() {
    let (mut agent, now) = busy_agent();
    agent.send(now, 1, message("one"));
    let request = written(&mut agent);
    let trying = answer(&request, "100 Trying");
    let ok = answer(&request, "200 OK");
    let foreign = ok.replace("Call-ID: one", "Call-ID: two");

    let read = measure(|| {
        parse::parse(ok.as_bytes(), ParseLimits::default()).unwrap();
    });
    assert_eq!(read.count_total, 0, "reading");
    let matched = measure(|| {
        agent.handle_frame(now, trying.as_bytes());
    });
    assert_eq!(matched.count_total, 0, "a provisional answer");
    let refused = measure(|| {
        agent.handle_frame(now, foreign.as_bytes());
    });
    assert_eq!(refused.count_total, 0, "an answer to something else");

    let handed_on = measure(|| {
        Response::of(&parse::parse(ok.as_bytes(), ParseLimits::default()).unwrap());
    });
    let ended = measure(|| {
        agent.handle_frame(now, ok.as_bytes());
    });
    assert_eq!(ended.count_total, handed_on.count_total, "a final answer");
    assert!(matches!(
        agent.poll(),
        Some(Output::Event(Event::Ended {
            key: 1,
            outcome: Outcome::Answered(_)
        }))
    ));
}

#[test]
fn a_request_is_written_with_one_allocation_and_kept_with_another() {
    let (mut agent, now) = busy_agent();
    let request = message("one");
    let cost = measure(|| agent.send(now, 1, request));
    // The frame, and the box in which the request waits for a challenge.
    assert_eq!(cost.count_total, 2);
}

#[test]
fn a_target_costs_what_its_length_says_however_many_parameters_it_has() {
    let account = Uri::parse("sip:gateway@b.com").unwrap();
    let cost = |params: usize| {
        let target = format!("sip:a@b.com{}", ";p=1".repeat(params));
        measure(|| drop(normalize(&target, &account))).count_total
    };
    let distinct = |params: usize| {
        let names: String = (0..params).map(|n| format!(";p{n}")).collect();
        let target = format!("sip:a@b.com{names}");
        measure(|| drop(normalize(&target, &account))).count_total
    };
    assert!(distinct(32) <= distinct(1) + 32, "{}", distinct(32));
    assert!(cost(32) <= cost(1), "{}", cost(32));
    // Refused before more of them is looked at.
    assert!(cost(240) <= 1, "{}", cost(240));
    assert!(distinct(200) <= 1, "{}", distinct(200));
}

#[test]
fn an_idle_agent_costs_two_kilobytes_beside_its_settings() {
    let now = now();
    let settings = std::sync::Arc::new(settings());
    let mut agents = Vec::new();
    let cost = measure(|| {
        let mut agent = UserAgent::new(settings.clone(), StdRng::from_seed([6; 32]));
        agent.handle_connected(now, Transport::Ws);
        let register = written(&mut agent);
        let contact = text_of(&register, "Contact");
        let ok = answer(&register, "200 OK");
        let ok = ok.replace("\r\n\r\n", &format!("\r\nContact: {contact}\r\n\r\n"));
        agent.handle_frame(now, ok.as_bytes());
        while agent.poll().is_some() {}
        assert!(agent.is_registered());
        agents.push(Box::new(agent));
    });
    assert!(cost.bytes_current < 2_048, "{cost:?}");
}

#[test]
fn a_message_that_comes_in_costs_at_most_eight_times_its_size() {
    let many: String = (0..200).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let deep = format!("<imdn>{}", "<x>".repeat(5_000));
    let lines = format!("{}\r\n\r\n", "Subject: \\u00e9\r\n".repeat(60));
    for (more, body) in [
        ("Content-Type: text/plain\r\n", "x".repeat(50_000)),
        (&many, "hi".to_owned()),
        ("Content-Type: message/imdn+xml\r\n", deep),
        (
            "Content-Type: message/cpim\r\n",
            lines + &"x".repeat(20_000),
        ),
    ] {
        let frame = incoming(more, body.as_bytes());
        let (mut agent, now) = taking_agent();
        let cost = measure(|| {
            agent.handle_frame(now, &frame);
        });
        let most = 8 * frame.len() as u64 + 2_048;
        assert!(cost.bytes_max < most, "{} {cost:?}", frame.len());
        assert!(agent.poll().is_some());
    }
}

#[test]
fn a_body_that_grows_without_end_costs_no_more_than_the_largest_one() {
    /// What reading deflate takes by itself.
    const INFLATER: u64 = 64 << 10;
    let zeros = vec![0; 16 << 20];
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&zeros).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&zeros).unwrap();
    for (coding, bomb) in [
        ("deflate", zlib.finish().unwrap()),
        ("gzip", gzip.finish().unwrap()),
    ] {
        let (mut agent, now) = taking_agent();
        let frame = incoming(&format!("Content-Encoding: {coding}\r\n"), &bomb);
        let cost = measure(|| {
            agent.handle_frame(now, &frame);
        });
        // The frame, and the body while it moves to a place of twice its size.
        let most = frame.len() as u64 + (3 * 65_537) + INFLATER;
        assert!(cost.bytes_max < most, "{coding} {cost:?}");
        let answer = String::from_utf8(written_bytes(&mut agent)).unwrap();
        assert!(answer.starts_with("SIP/2.0 413 "), "{answer}");
    }
}

/// A MESSAGE to an agent of ours.
fn incoming(more: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "MESSAGE sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/WS p;branch=z9hG4bK1\r\n\
         From: <sip:bob@example.com>;tag=b\r\nTo: <sip:alice@example.com>\r\nCall-ID: in-1\r\n\
         CSeq: 1 MESSAGE\r\n{more}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Connected, and takes messages.
fn taking_agent() -> (UserAgent, Instant) {
    let now = now();
    let settings = Settings {
        receive: Some(ReceiveSettings::default()),
        limits: ParseLimits {
            frame: 1 << 20,
            ..ParseLimits::default()
        },
        ..settings()
    };
    let mut agent = UserAgent::new(settings.into(), StdRng::from_seed([5; 32]));
    agent.handle_connected(now, Transport::Ws);
    while agent.poll().is_some() {}
    (agent, now)
}

fn written_bytes(agent: &mut UserAgent) -> Vec<u8> {
    match agent.poll() {
        Some(Output::Transmit(frame, _)) => frame,
        other => panic!("{other:?}"),
    }
}

/// Registered, and with its tables as large as they get with eight requests on their way.
fn busy_agent() -> (UserAgent, Instant) {
    let now = now();
    let mut agent = UserAgent::new(settings().into(), StdRng::from_seed([5; 32]));
    agent.handle_connected(now, Transport::Ws);
    let register = written(&mut agent);
    let contact = text_of(&register, "Contact");
    let ok =
        answer(&register, "200 OK").replace("\r\n\r\n", &format!("\r\nContact: {contact}\r\n\r\n"));
    agent.handle_frame(now, ok.as_bytes());
    assert!(agent.is_registered());
    for number in 0..8 {
        agent.send(now, 100 + number, message(&format!("warm-{number}")));
    }
    let mut requests = Vec::new();
    while let Some(output) = agent.poll() {
        if let Output::Transmit(frame, _) = output {
            requests.push(String::from_utf8(frame).unwrap());
        }
    }
    for request in requests {
        agent.handle_frame(now, answer(&request, "200 OK").as_bytes());
    }
    while agent.poll().is_some() {}
    (agent, now)
}

fn written(agent: &mut UserAgent) -> String {
    String::from_utf8(written_bytes(agent)).unwrap()
}

fn text_of(frame: &str, name: &'static str) -> String {
    let message = parse::parse(frame.as_bytes(), ParseLimits::default()).unwrap();
    parse::text(message.first(name).unwrap())
}

fn answer(request: &str, status: &str) -> String {
    let lines = ["Via", "From", "To", "Call-ID", "CSeq"]
        .map(|name| format!("{name}: {}\r\n", text_of(request, name)));
    format!(
        "SIP/2.0 {status}\r\n{}Server: x\r\nContent-Length: 0\r\n\r\n",
        lines.concat()
    )
}

fn message(call_id: &str) -> OutgoingRequest {
    let head = format!(
        "Max-Forwards: 70\r\nTo: <sip:bob@example.com>\r\nFrom: <sip:alice@example.com>;tag=a\r\n\
         Call-ID: {call_id}\r\nContent-Type: text/plain\r\n"
    );
    OutgoingRequest {
        method: "MESSAGE",
        uri: "sip:bob@example.com".into(),
        call_id: call_id.to_owned(),
        from_tag: "a".to_owned(),
        cseq: 1,
        head: head.into_bytes(),
        body: "hello".into(),
        fallback: None,
    }
}

fn settings() -> Settings {
    let aor = Uri::parse("sip:alice@example.com").unwrap();
    let instance = "00000000-0000-4000-8000-000000000001";
    Settings {
        via_host: "count.invalid".to_owned(),
        ..Settings::new(aor, "c0ffee", instance)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some moment to begin at"
)]
fn now() -> Instant {
    Instant::now()
}
