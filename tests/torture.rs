//! The messages of RFC 4475 and RFC 5118, in our own words, with a verdict each:
//! `fixtures/torture/verdicts.toml`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::Deserialize;
use sipost::sip::parse::{ParseLimits, StartLine};
use sipost::sip::uri::Uri;
use sipost::sip::{
    Event, Outcome, OutgoingRequest, Output, ReceiveSettings, Settings, Transport, UserAgent, parse,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    source: String,
    trap: String,
    verdict: String,
    because: Option<String>,
}

#[test]
fn p3_every_torture_message_gets_its_verdict() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torture");
    let table = fs::read_to_string(folder.join("verdicts.toml")).unwrap();
    let fixtures: BTreeMap<String, Fixture> = toml::from_str(&table).unwrap();
    let mut wrong = Vec::new();
    for (name, fixture) in &fixtures {
        let frame = fs::read(folder.join(format!("{name}.sip"))).unwrap();
        let verdict = verdict(&frame);
        if verdict != fixture.verdict {
            let Fixture {
                source,
                trap,
                because,
                ..
            } = fixture;
            wrong.push(format!(
                "{name} ({source}: {trap}): {verdict} instead of {}, although {}",
                fixture.verdict,
                because.as_deref().unwrap_or("it is well-formed")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let files = fs::read_dir(&folder).unwrap();
    let messages = files.filter(|file| {
        let path = file.as_ref().unwrap().path();
        path.extension().is_some_and(|extension| extension == "sip")
    });
    assert_eq!(
        messages.count(),
        fixtures.len(),
        "a message without a verdict"
    );
}

/// What the agent does with a frame.
fn verdict(frame: &[u8]) -> String {
    let now = now();
    let mut agent = UserAgent::new(settings().into(), StdRng::from_seed([4; 32]));
    agent.handle_connected(now, Transport::Ws);
    agent.send(now, 1, message());
    let mut request = Vec::new();
    while let Some(output) = agent.poll() {
        if let Output::Transmit(frame, _) = output {
            request = frame;
        }
    }
    agent.handle_frame(now, &filled_in(frame, &request));
    let mut verdict = if frame.starts_with(b"SIP/") {
        "completes nothing".to_owned()
    } else {
        "dropped".to_owned()
    };
    while let Some(output) = agent.poll() {
        verdict = match output {
            Output::Transmit(answer, _) => code_of(&answer).to_string(),
            Output::Event(Event::Received(_)) => "received".to_owned(),
            // The answer says it.
            Output::Event(Event::NotTaken(_)) => verdict,
            Output::Event(Event::Ended {
                outcome: Outcome::Answered(response),
                ..
            }) => {
                format!("completes with {}", response.status.as_u16())
            }
            Output::Event(other) => panic!("{other:?}"),
        };
    }
    verdict
}

/// The frame with the parts of the request in it.
fn filled_in(frame: &[u8], request: &[u8]) -> Vec<u8> {
    let request = parse::parse(request, ParseLimits::default()).unwrap();
    let parts = [
        ("{via}", request.via),
        ("{from}", request.from),
        ("{call-id}", request.call_id),
        ("{cseq}", request.cseq),
    ];
    let Ok(text) = std::str::from_utf8(frame) else {
        return frame.to_vec();
    };
    let text = parts.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(name, &parse::text(value.unwrap()))
    });
    text.into_bytes()
}

fn code_of(answer: &[u8]) -> u16 {
    match parse::parse(answer, ParseLimits::default()).unwrap().start {
        StartLine::Response { status, .. } => status.as_u16(),
        StartLine::Request { .. } => panic!("a request"),
    }
}

fn message() -> OutgoingRequest {
    let head = "Max-Forwards: 70\r\nTo: <sip:bob@example.com>\r\n\
                From: <sip:alice@example.com>;tag=alice-1\r\nCall-ID: torture\r\n";
    OutgoingRequest {
        method: "MESSAGE",
        uri: "sip:bob@example.com".into(),
        call_id: "torture".to_owned(),
        from_tag: "alice-1".to_owned(),
        cseq: 1,
        head: head.into(),
        body: "hello".into(),
        fallback: None,
    }
}

fn settings() -> Settings {
    let aor = Uri::parse("sip:alice@example.com").unwrap();
    let instance = "00000000-0000-4000-8000-000000000001";
    Settings {
        via_host: "torture.invalid".to_owned(),
        receive: Some(ReceiveSettings {
            accepts: vec!["text/plain".to_owned(), "multipart/*".to_owned()],
            ..ReceiveSettings::default()
        }),
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
