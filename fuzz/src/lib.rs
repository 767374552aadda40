//! What the fuzz targets share: the SIP room itself, and what each target does with its bytes.

#[path = "../../src/sip/mod.rs"]
pub mod sip;

mod agent;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

pub use agent::user_agent;

use sip::cpim;
use sip::cpim::WrappedBody;
use sip::digest::{Authenticator, Credentials, Rounds, Signed};
use sip::headers;
use sip::imdn;
use sip::parse;
use sip::parse::ParseLimits;
use sip::uri::Uri;

/// Reads a message, and every header of it that anything reads.
pub fn message(frame: &[u8]) {
    let Ok(message) = parse::parse(frame, ParseLimits::default()) else {
        return;
    };
    assert!(message.body.len() <= frame.len());
    for value in message.headers().map(|(_, value)| value) {
        let text = parse::text(value);
        assert!(!text.contains(['\r', '\n']));
        let _ = headers::Via::parse(value);
        let _ = headers::via_branch(value);
        let _ = headers::CSeq::parse(value);
        let _ = headers::retry_after(&text);
        let _ = headers::NameAddr::parse(&text).and_then(|address| address.tag());
        for contact in headers::Contact::list(&text) {
            let _ = (
                contact.expires(),
                contact.user(),
                contact.is_flow("urn:uuid:1", 1),
            );
        }
    }
}

/// Reads a URI: its canonical text is read as the same URI. Takes it for a target too.
pub fn uri(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    if let Ok(uri) = Uri::parse(text) {
        let again = Uri::parse(uri.as_str()).expect("what was written can be read");
        assert_eq!(uri.as_str(), again.as_str());
        assert!(uri.is_equivalent(&again));
    }
    let account = Uri::parse("sip:alice@example.com").expect("it is one");
    if let Ok(uri) = sip::target::normalize(text, &account) {
        assert!(Uri::parse(uri.as_str()).is_ok());
        assert!(!uri.as_str().contains(['\r', '\n', ' ']));
    }
}

/// Answers a challenge, again and again: one line is written for each realm.
pub fn challenge(value: &[u8]) {
    let mut authenticator = Authenticator::new(
        Some(Credentials::password("alice", "secret")),
        "example.com",
    );
    let signed = Signed {
        method: "REGISTER",
        uri: "sip:example.com",
        body: b"",
    };
    let mut rounds = Rounds::default();
    let values: Vec<_> = value.split(|byte| *byte == b'\n').collect();
    let mut count = 0;
    while authenticator
        .handle_challenge(&mut rounds, signed, values.iter().copied(), [])
        .is_ok()
    {
        let mut lines = Vec::new();
        authenticator.authorize(&mut rounds, signed, "0a4f113b", &mut lines);
        assert!(lines.is_empty() || lines.ends_with(b"\r\n"));
        assert!(!lines.windows(4).any(|bytes| bytes == b"\r\n\r\n"));
        count += 1;
        assert!(count < 100, "it never ends");
    }
    authenticator.handle_info(&rounds, values.iter().copied(), []);
}

/// Opens an envelope: its inner part is the same in an envelope of ours, and a receipt in it is the
/// same when it is written anew.
pub fn cpim(body: &[u8]) {
    let Ok(unwrapped) = cpim::unwrap(body) else {
        return;
    };
    assert!(unwrapped.body.len() <= body.len());
    imdn(&unwrapped.body);
    let wrapped = WrappedBody {
        from: "<sip:alice@example.com>",
        to: "<sip:bob@example.com>",
        date_time: "2026-11-22T05:00:00Z",
        message_id: "a1b2",
        wants_delivered: unwrapped.envelope.wants_delivered,
        wants_displayed: unwrapped.envelope.wants_displayed,
        content_type: "text/plain",
        body: &unwrapped.body,
    }
    .write();
    let again = cpim::unwrap(&wrapped).expect("what was written can be read");
    assert_eq!(again.body, unwrapped.body);
}

/// Reads a receipt; written anew it is the same.
pub fn imdn(body: &[u8]) {
    if let Ok(imdn) = imdn::parse(body) {
        let again = imdn.write("2026-11-22T05:00:00Z");
        assert_eq!(imdn::parse(again.as_bytes()), Ok(imdn));
    }
}

fn random(seed: u8) -> StdRng {
    StdRng::from_seed([seed; 32])
}
