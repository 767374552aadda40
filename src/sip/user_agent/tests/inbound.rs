//! What others ask of a user agent.

use std::time::Duration;

use crate::sip::testing::{Fixture, message_to, reply, settings, status, value};
use crate::sip::{
    AnswerError, Event, IncomingRequest, Outcome, OutgoingResponse, Settings, StatusCode,
};

const ALICE: &str = "sip:alice@example.com";

fn request(method: &str, uri: &str, branch: &str, more: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/WS proxy.example.com;branch=z9hG4bK{branch}\r\n\
         Via: SIP/2.0/WS bob.invalid;branch=z9hG4bKbob\r\nMax-Forwards: 69\r\n\
         From: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>\r\nCall-ID: call\r\n\
         CSeq: 1 {method}\r\n{more}Content-Length: 2\r\n\r\nhi"
    )
}

/// Somebody takes text.
fn taker() -> Fixture {
    Fixture::registered_as(Settings {
        accepts: vec!["text/plain".to_owned(), "image/*".to_owned()],
        ..settings()
    })
}

fn received(fixture: &mut Fixture) -> IncomingRequest {
    match fixture.event() {
        Event::Received(received) => received,
        other => panic!("{other:?}"),
    }
}

#[test]
fn i_options_is_answered_with_what_there_is() {
    let mut fixture = Fixture::registered();
    let answer = fixture.answers(request("OPTIONS", ALICE, "1", ""));
    assert_eq!(
        (status(&answer), value(&answer, "Allow").as_str()),
        (200, "OPTIONS")
    );
    let answer = taker().answers(request("OPTIONS", ALICE, "1", ""));
    assert_eq!(value(&answer, "Allow"), "MESSAGE, OPTIONS");
    assert_eq!(value(&answer, "Accept"), "text/plain, image/*");
}

#[test]
fn i_an_answer_repeats_via_from_call_id_and_cseq_and_tags_to() {
    let mut fixture = Fixture::registered();
    let answer = fixture.answers(request("OPTIONS", ALICE, "1", ""));
    let begin = "SIP/2.0 200 OK\r\nVia: SIP/2.0/WS proxy.example.com;branch=z9hG4bK1\r\n\
                 Via: SIP/2.0/WS bob.invalid;branch=z9hG4bKbob\r\n\
                 From: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=";
    assert!(answer.starts_with(begin), "{answer}");
    assert_eq!(value(&answer, "CSeq"), "1 OPTIONS");
    assert_eq!(value(&answer, "Content-Length"), "0");
}

#[test]
fn i_every_rule_has_its_code() {
    let message = |uri: &str| request("MESSAGE", uri, "1", "");
    let ours = message(ALICE);
    for (frame, code) in [
        (message("sip:c0ffee@desk.invalid;transport=ws"), 405),
        (message("sips:alice@example.com"), 405),
        (message("sip:alice@elsewhere.example"), 405),
        (message("sip:mallory@example.com"), 404),
        (message("sip:example.com"), 404),
        (message("tel:+1234"), 416),
        (message("urn:service:sos"), 416),
        (message("alice"), 400),
        (request("INVITE", ALICE, "1", ""), 405),
        (request("NONSENSE", ALICE, "1", ""), 405),
        (request("CANCEL", ALICE, "1", ""), 481),
        (
            request("BYE", ALICE, "1", "").replace(
                "To: <sip:alice@example.com>",
                "To: <sip:alice@example.com>;tag=x",
            ),
            481,
        ),
        (
            ours.replace(
                "To: <sip:alice@example.com>",
                "t: <sip:alice@example.com>;tag=x",
            ),
            481,
        ),
        (
            request("MESSAGE", ALICE, "1", "Require: 100rel, foo\r\n"),
            420,
        ),
        (ours.replace("Content-Length: 2", "Content-Length: 3"), 400),
        (ours.replace("Content-Length: 2", "Content-Length: -2"), 400),
        (
            ours.replace("Content-Length: 2", "Content-Length: 2\r\nl: 1"),
            400,
        ),
        (ours.replace("Content-Length: 2", "Content-Length: 1"), 405),
        (ours.replace("Max-Forwards: 69", "Max-Forwards: 0"), 405),
        (ours.replace("Max-Forwards: 69\r\n", ""), 405),
        (ours.replace("Max-Forwards: 69", "Max-Forwards: 256"), 400),
        (ours.replace("CSeq: 1 MESSAGE", "CSeq: 1 OPTIONS"), 400),
        (ours.replace("CSeq: 1", "CSeq: 4294967296"), 400),
        (ours.replace(";tag=bob", ""), 405),
        (ours.replace("Call-ID: call\r\n", ""), 400),
        (ours.replace("To: <sip:alice@example.com>\r\n", ""), 400),
        (ours.replace("From: <", "From: \"open <"), 400),
        (ours.replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"), 505),
        (ours.replace("MESSAGE sip", "MESSAGE  sip"), 400),
    ] {
        let answer = Fixture::registered().answers(&frame);
        assert_eq!(status(&answer), code, "{frame}");
        match code {
            405 => assert_eq!(value(&answer, "Allow"), "OPTIONS"),
            420 => assert_eq!(value(&answer, "Unsupported"), "100rel, foo"),
            _ => {}
        }
    }
}

#[test]
fn i_what_cannot_be_answered_is_not() {
    let ours = request("MESSAGE", ALICE, "1", "");
    for frame in [
        request("ACK", ALICE, "1", ""),
        ours.replace("Via:", "X-Via:"),
        ours.replace("CSeq:", "X-CSeq:"),
        "\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "\0\0\0\0".to_owned(),
    ] {
        assert_eq!(Fixture::registered().answers(&frame), "", "{frame}");
    }
}

#[test]
fn w3_a_double_line_end_is_answered_with_a_single_one() {
    assert_eq!(Fixture::registered().answers("\r\n\r\n"), "\r\n");
    assert_eq!(Fixture::registered().answers("\r\n"), "");
}

#[test]
fn t6_a_repeated_request_is_answered_the_same_for_32_seconds() {
    let mut fixture = Fixture::registered();
    let frame = request("MESSAGE", ALICE, "1", "");
    let first = fixture.answers(&frame);
    fixture.passes(Duration::from_millis(31_999));
    assert_eq!(fixture.answers(&frame), first);
    fixture.passes(Duration::from_millis(1));
    assert_ne!(fixture.answers(&frame), first);
}

#[test]
fn i_the_same_request_by_another_way_is_merged() {
    let mut fixture = Fixture::registered();
    fixture.answers(request("OPTIONS", ALICE, "1", ""));
    assert_eq!(
        status(&fixture.answers(request("OPTIONS", ALICE, "2", ""))),
        482
    );
}

#[test]
fn t6_a_repeated_message_is_delivered_once_and_answered_when_somebody_says_so() {
    let mut fixture = taker();
    let frame = request(
        "MESSAGE",
        ALICE,
        "1",
        "c: text/plain;charset=utf-8\r\nX-A: b\r\n",
    );
    assert_eq!(fixture.answers(&frame), "");
    let message = received(&mut fixture);
    assert_eq!(
        (message.uri.as_str(), &message.body[..]),
        (ALICE, &b"hi"[..])
    );
    assert!(message.headers.contains(&(
        "Content-Type".to_owned(),
        "text/plain;charset=utf-8".to_owned()
    )));
    assert_eq!(fixture.answers(&frame), "");
    assert!(fixture.events().is_empty());

    fixture.passes(Duration::from_secs(3));
    fixture
        .agent
        .answer(
            fixture.now,
            message.id,
            &OutgoingResponse::of(StatusCode::OK),
        )
        .unwrap();
    let answer = fixture.frame();
    assert_eq!(status(&answer), 200);
    assert_eq!(fixture.answers(&frame), answer);
    assert!(fixture.events().is_empty());
}

#[test]
fn i_a_message_can_be_rejected_later_and_answered_once() {
    let mut fixture = taker();
    fixture.hears(request("MESSAGE", ALICE, "1", ""));
    let message = received(&mut fixture);
    let trying = OutgoingResponse::of(StatusCode::new(100).unwrap());
    assert_eq!(
        fixture.agent.answer(fixture.now, message.id, &trying),
        Err(AnswerError::Provisional)
    );
    let busy =
        OutgoingResponse::of(StatusCode::BUSY_HERE).with("Retry-After", "60\r\nX-Injected: 1");
    fixture
        .agent
        .answer(fixture.now, message.id, &busy)
        .unwrap();
    let answer = fixture.frame();
    assert_eq!(
        (status(&answer), value(&answer, "X-Injected").as_str()),
        (486, "")
    );
    assert_eq!(
        fixture.agent.answer(fixture.now, message.id, &busy),
        Err(AnswerError::Answered)
    );
}

#[test]
fn i_a_message_that_nobody_answers_is_answered_500() {
    let mut fixture = taker();
    fixture.hears(request("MESSAGE", ALICE, "1", ""));
    let message = received(&mut fixture);
    fixture.passes(Duration::from_secs(10));
    assert_eq!(status(&fixture.frame()), 500);
    let late = fixture.agent.answer(
        fixture.now,
        message.id,
        &OutgoingResponse::of(StatusCode::OK),
    );
    assert_eq!(late, Err(AnswerError::Answered));
}

#[test]
fn i_a_type_that_nobody_takes_is_refused_with_those_that_are() {
    for (more, code) in [
        ("Content-Type: text/html\r\n", 415),
        ("Content-Type: application/sdp\r\n", 415),
        (
            "Content-Encoding: gzip\r\nContent-Type: text/plain\r\n",
            415,
        ),
        ("Content-Type: TEXT/Plain ; charset=x\r\n", 0),
        ("Content-Type: image/png\r\n", 0),
        ("e: identity\r\n", 0),
    ] {
        let mut fixture = taker();
        let answer = fixture.answers(request("MESSAGE", ALICE, "1", more));
        match code {
            0 => assert_eq!(answer, "", "{more}"),
            _ => assert_eq!(status(&answer), code, "{more}"),
        }
        if more.contains("html") {
            assert_eq!(value(&answer, "Accept"), "text/plain, image/*");
        }
    }
}

#[test]
fn i_a_message_to_oneself_arrives_and_its_answer_too() {
    let mut fixture = taker();
    let sent = fixture.sends(1, message_to(ALICE, "self"));
    let forwarded = sent.replace(
        "Via: ",
        "Via: SIP/2.0/WS proxy.example.com;branch=z9hG4bKp\r\nVia: ",
    );
    fixture.hears(forwarded);
    let message = received(&mut fixture);
    fixture
        .agent
        .answer(
            fixture.now,
            message.id,
            &OutgoingResponse::of(StatusCode::OK),
        )
        .unwrap();
    let answer = fixture.frame();
    let back = answer.replacen(
        "Via: SIP/2.0/WS proxy.example.com;branch=z9hG4bKp\r\n",
        "",
        1,
    );
    fixture.hears(back);
    assert!(
        matches!(fixture.outcome(), (1, Outcome::Answered(response)) if response.status == StatusCode::OK)
    );
}

#[test]
fn i_what_is_remembered_of_requests_is_bounded() {
    let mut fixture = taker();
    for branch in 0..64 {
        let frame = request("MESSAGE", ALICE, &branch.to_string(), "")
            .replace("Call-ID: call", &format!("Call-ID: {branch}"));
        assert_eq!(fixture.answers(frame), "");
    }
    let more = request("MESSAGE", ALICE, "x", "").replace("Call-ID: call", "Call-ID: x");
    let answer = fixture.answers(&more);
    assert_eq!(
        (status(&answer), value(&answer, "Retry-After").as_str()),
        (503, "10")
    );
    // What waits is answered, and makes room.
    for event in fixture.events() {
        if let Event::Received(message) = event {
            fixture
                .agent
                .answer(
                    fixture.now,
                    message.id,
                    &OutgoingResponse::of(StatusCode::OK),
                )
                .unwrap();
        }
    }
    assert_eq!(fixture.frames().len(), 64);
    assert_eq!(fixture.answers(&more), "");
}

#[test]
fn a_lost_connection_forgets_who_asked_over_it() {
    let mut fixture = taker();
    fixture.hears(request("MESSAGE", ALICE, "1", ""));
    let message = received(&mut fixture);
    fixture.loses_connection();
    fixture.events();
    let late = fixture.agent.answer(
        fixture.now,
        message.id,
        &OutgoingResponse::of(StatusCode::OK),
    );
    assert_eq!(late, Err(AnswerError::Answered));
}

#[test]
fn an_answer_to_nothing_is_not_answered() {
    let mut fixture = Fixture::registered();
    let sent = fixture.sends(1, message_to("sip:bob@example.com", "a"));
    fixture.hears(reply(&sent, "200 OK", ""));
    fixture.events();
    assert_eq!(fixture.answers(reply(&sent, "200 OK", "")), "");
}
