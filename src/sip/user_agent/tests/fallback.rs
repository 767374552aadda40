//! Peers that do not understand a body, and get another one.

use crate::sip::testing::{Fixture, message_to, reply, value};
use crate::sip::{FallbackBody, Outcome, OutgoingRequest};

/// A MESSAGE in an envelope, with its bare body.
fn enveloped() -> OutgoingRequest {
    let bare = message_to("sip:bob@example.com", "a");
    let head = String::from_utf8(bare.head.clone()).unwrap();
    OutgoingRequest {
        head: head.replace("text/plain", "message/cpim").into_bytes(),
        body: "From: <sip:a@b>\r\n\r\n\r\nhello".into(),
        fallback: Some(Box::new(FallbackBody {
            head: bare.head.clone(),
            body: bare.body.clone(),
        })),
        ..bare
    }
}

fn challenge(nonce: &str) -> String {
    format!("Proxy-Authenticate: Digest realm=\"proxy\", nonce=\"{nonce}\", qop=\"auth\"\r\n")
}

#[test]
fn a_peer_that_answers_415_or_488_is_sent_the_bare_body_at_once() {
    for refusal in ["415 Unsupported Media Type", "488 Not Acceptable Here"] {
        let mut fixture = Fixture::registered();
        let first = fixture.sends(1, enveloped());
        assert_eq!(value(&first, "Content-Type"), "message/cpim");
        let second = fixture.answers(reply(&first, refusal, ""));
        assert_eq!(value(&second, "Content-Type"), "text/plain");
        assert!(second.ends_with("\r\n\r\nhello"));
        assert_eq!(value(&second, "Content-Length"), "5");
        assert_eq!(value(&second, "CSeq"), "2 MESSAGE");
        assert_ne!(value(&second, "Via"), value(&first, "Via"));
        for name in ["Call-ID", "From", "To"] {
            assert_eq!(value(&first, name), value(&second, name));
        }
        assert_eq!(fixture.agent.in_flight(), 1);
        // A late answer to the first one ends nothing.
        fixture.hears(reply(&first, "200 OK", ""));
        fixture.hears(reply(&second, "202 Accepted", ""));
        let response = fixture.response();
        assert_eq!(
            (response.status.as_u16(), response.is_to_fallback),
            (202, true)
        );
    }
}

#[test]
fn the_bare_body_is_sent_once() {
    let mut fixture = Fixture::registered();
    let first = fixture.sends(1, enveloped());
    let second = fixture.answers(reply(&first, "488 Not Acceptable Here", ""));
    fixture.hears(reply(&second, "415 Unsupported Media Type", ""));
    let response = fixture.response();
    assert_eq!(
        (response.status.as_u16(), response.is_to_fallback),
        (415, true)
    );
    assert!(fixture.frames().is_empty());
}

#[test]
fn any_other_answer_and_a_request_without_another_body_end_at_once() {
    for answer in [
        "200 OK",
        "480 Gone",
        "400 Bad",
        "500 Oops",
        "606 Not Acceptable",
    ] {
        let mut fixture = Fixture::registered();
        let first = fixture.sends(1, enveloped());
        fixture.hears(reply(&first, answer, ""));
        assert!(!fixture.response().is_to_fallback);
    }
    let mut fixture = Fixture::registered();
    let first = fixture.sends(1, message_to("sip:bob@example.com", "a"));
    fixture.hears(reply(&first, "415 Unsupported Media Type", ""));
    assert!(!fixture.response().is_to_fallback);
}

#[test]
fn the_bare_body_is_signed_anew_where_a_nonce_serves_once() {
    let mut fixture = Fixture::registered();
    let denied = "407 Proxy Authentication Required";
    let first = fixture.sends(1, enveloped());
    let second = fixture.answers(reply(&first, denied, &challenge("n1")));
    let third = fixture.answers(reply(&second, "415 Unsupported Media Type", ""));
    assert!(value(&third, "Proxy-Authorization").contains("nonce=\"n1\""));
    let fourth = fixture.answers(reply(&third, denied, &challenge("n2")));
    assert!(value(&fourth, "Proxy-Authorization").contains("nonce=\"n2\""));
    assert_eq!(value(&fourth, "CSeq"), "4 MESSAGE");
    assert!(fourth.ends_with("\r\n\r\nhello"));
    fixture.hears(reply(&fourth, "200 OK", ""));
    assert!(fixture.response().is_to_fallback);
}

#[test]
fn a_peer_that_challenges_without_end_takes_eight_requests_with_both_bodies() {
    let mut fixture = Fixture::registered();
    let mut frame = fixture.sends(1, enveloped());
    let mut count = 1;
    loop {
        let more = challenge(&count.to_string()).replace("\r\n", ", stale=true\r\n");
        let answer = match count {
            3 => reply(&frame, "415 Unsupported Media Type", ""),
            _ => reply(&frame, "407 Proxy Authentication Required", &more),
        };
        fixture.hears(answer);
        match fixture.frames().pop() {
            Some(next) => frame = next,
            None => break,
        }
        count += 1;
        assert!(count < 100, "it never ends");
    }
    assert_eq!(count, 8);
    assert_eq!(fixture.response().status.as_u16(), 407);
}

#[test]
fn a_connection_that_is_lost_with_the_bare_body_on_its_way_ends_it_once() {
    let mut fixture = Fixture::registered();
    let first = fixture.sends(1, enveloped());
    fixture.hears(reply(&first, "415 Unsupported Media Type", ""));
    fixture.frames();
    fixture.loses_connection();
    let ended = fixture
        .events()
        .into_iter()
        .filter_map(|event| match event {
            crate::sip::Event::Ended { key, outcome } => Some((key, outcome)),
            _ => None,
        });
    let ended: Vec<_> = ended.collect();
    assert!(
        matches!(&ended[..], [(1, Outcome::Disconnected)]),
        "{ended:?}"
    );
}
