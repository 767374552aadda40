//! What others ask of a user agent.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::sip::parse::ParseLimits;
use crate::sip::testing::{Fixture, message_to, reply, settings, status, value};
use crate::sip::{
    AnswerError, Content, Event, IncomingRequest, NotTaken, Outcome, OutgoingResponse,
    ReceiveSettings, Settings, StatusCode,
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

/// A user agent that takes text and images.
fn taker() -> Fixture {
    taker_of(&["text/plain", "image/*"])
}

fn taker_of(accepts: &[&str]) -> Fixture {
    Fixture::registered_as(Settings {
        receive: Some(ReceiveSettings {
            accepts: accepts.iter().map(|range| (*range).to_owned()).collect(),
            max_body: 1_000,
            ..ReceiveSettings::default()
        }),
        ..settings()
    })
}

/// A MESSAGE with this body.
fn carrying(content_type: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let more = format!("Content-Type: {content_type}\r\n{more}");
    let frame = request("MESSAGE", ALICE, "1", &more);
    let head = frame.strip_suffix("hi").unwrap();
    let length = format!("Content-Length: {}\r\n", body.len());
    let head = head.replace("Content-Length: 2\r\n", &length);
    [head.as_bytes(), body].concat()
}

/// Type and body of a message that was handed over.
fn message_of(request: &IncomingRequest) -> (&str, &[u8]) {
    match &request.content {
        Content::Message { content_type, body } => (content_type, body),
        Content::Receipt(imdn) => panic!("{imdn:?}"),
    }
}

/// Why a request was not handed over.
fn not_taken(fixture: &mut Fixture) -> NotTaken {
    match fixture.event() {
        Event::NotTaken(reason) => reason,
        other => panic!("{other:?}"),
    }
}

fn received(fixture: &mut Fixture) -> IncomingRequest {
    match fixture.event() {
        Event::Received(received) => *received,
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
    let accept = "text/plain, image/*, message/cpim, message/imdn+xml";
    assert_eq!(value(&answer, "Accept"), accept);
    assert_eq!(value(&answer, "Accept-Encoding"), "identity, deflate, gzip");
    let answer = taker_of(&["*/*"]).answers(request("OPTIONS", ALICE, "1", ""));
    assert_eq!(value(&answer, "Accept"), "*/*");
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
        (message.uri.as_str(), message_of(&message)),
        (ALICE, ("text/plain;charset=utf-8", &b"hi"[..]))
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
    assert_eq!(not_taken(&mut fixture), NotTaken::Unanswered);
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
        ("Content-Encoding: br\r\nContent-Type: text/plain\r\n", 415),
        ("Content-Type: message/external-body\r\n", 415),
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
            let accept = "text/plain, image/*, message/cpim, message/imdn+xml";
            assert_eq!(value(&answer, "Accept"), accept);
        }
        if more.contains("br") {
            assert_eq!(value(&answer, "Accept-Encoding"), "identity, deflate, gzip");
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

/// A MESSAGE of a Call-ID of its own, with a body of this size.
fn numbered(number: usize, size: usize) -> Vec<u8> {
    let body = vec![b'x'; size];
    let frame = String::from_utf8(carrying("text/plain", "", &body)).unwrap();
    let frame = frame.replace("Call-ID: call", &format!("Call-ID: {number}"));
    frame.into_bytes()
}

/// Answers everything that was handed over.
fn answer_all(fixture: &mut Fixture) -> usize {
    let mut count = 0;
    for event in fixture.events() {
        if let Event::Received(message) = event {
            let ok = OutgoingResponse::of(StatusCode::OK);
            fixture.agent.answer(fixture.now, message.id, &ok).unwrap();
            count += 1;
        }
    }
    count
}

#[test]
fn i_requests_that_wait_are_bounded_by_number_and_the_next_is_answered_500() {
    let mut fixture = taker();
    let mut taken = 0;
    let busy = loop {
        let answer = fixture.answers(numbered(taken, 2));
        if !answer.is_empty() {
            break answer;
        }
        taken += 1;
    };
    assert_eq!(taken, 4_096);
    assert_eq!(
        (status(&busy), value(&busy, "Retry-After").as_str()),
        (500, "5")
    );
    // What waits is answered, and makes room.
    assert_eq!(answer_all(&mut fixture), taken);
    assert_eq!(fixture.frames().len(), taken);
    assert_eq!(fixture.answers(numbered(taken, 2)), "");
}

#[test]
fn i_requests_that_wait_are_bounded_by_bytes() {
    let mut fixture = Fixture::registered_as(Settings {
        receive: Some(ReceiveSettings {
            max_body: 8 << 20,
            ..ReceiveSettings::default()
        }),
        limits: ParseLimits {
            frame: 16 << 20,
            ..ParseLimits::default()
        },
        ..settings()
    });
    // Larger than all that may wait, and alone.
    assert_eq!(fixture.answers(numbered(0, 5 << 20)), "");
    assert_eq!(status(&fixture.answers(numbered(1, 2))), 500);
    assert_eq!(answer_all(&mut fixture), 1);
    fixture.frames();
    let mut taken = 0;
    while fixture.answers(numbered(2 + taken, 64 << 10)).is_empty() {
        taken += 1;
    }
    assert!((50..64).contains(&taken), "{taken}");
}

#[test]
fn i_a_flood_of_quick_requests_is_not_limited() {
    let mut fixture = taker();
    for number in 0..20_000 {
        assert_eq!(fixture.answers(numbered(number, 2)), "", "{number}");
        assert_eq!(answer_all(&mut fixture), 1);
        assert_eq!(status(&fixture.frame()), 200);
    }
    // The newest answers are still there.
    assert_eq!(status(&fixture.answers(numbered(19_999, 2))), 200);
    assert!(fixture.events().is_empty());
    // And all of them are forgotten in time.
    fixture.passes(Duration::from_secs(32));
    assert_eq!(fixture.answers(numbered(19_999, 2)), "");
}

#[test]
fn i_a_message_by_another_way_is_handed_over_and_gets_its_own_answer() {
    let mut fixture = taker();
    for branch in ["1", "2", "3"] {
        assert_eq!(fixture.answers(request("MESSAGE", ALICE, branch, "")), "");
    }
    assert_eq!(answer_all(&mut fixture), 3);
    for (frame, branch) in fixture.frames().iter().zip(["1", "2", "3"]) {
        assert_eq!(status(frame), 200);
        assert!(value(frame, "Via").ends_with(&format!("z9hG4bK{branch}")));
    }
}

#[test]
fn i_a_request_before_the_registration_is_taken() {
    let (mut fixture, _register) = Fixture::connected(Settings {
        receive: Some(ReceiveSettings::default()),
        ..settings()
    });
    fixture.hears(request("MESSAGE", ALICE, "1", ""));
    received(&mut fixture);
}

#[test]
fn i_register_and_options_say_whether_messages_are_taken() {
    for (receive, allow) in [
        (None, "OPTIONS"),
        (Some(ReceiveSettings::default()), "MESSAGE, OPTIONS"),
    ] {
        let (mut fixture, register) = Fixture::connected(Settings {
            receive,
            ..settings()
        });
        assert_eq!(value(&register, "Allow"), allow);
        let answer = fixture.answers(request("OPTIONS", ALICE, "1", ""));
        assert_eq!(value(&answer, "Allow"), allow);
    }
}

fn deflated(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

const DELIVERED: &[u8] =
    b"<imdn xmlns=\"urn:ietf:params:xml:ns:imdn\"><message-id>a1b2</message-id>\
    <datetime>2026-11-22T05:00:00Z</datetime><delivery-notification><status><delivered/></status>\
    </delivery-notification></imdn>";

#[test]
fn i_a_receipt_is_handed_over_whatever_is_accepted() {
    let wrapped = [
        b"From: <sip:bob@example.com>\r\n\r\nContent-Type: message/imdn+xml\r\n\r\n",
        DELIVERED,
    ]
    .concat();
    for (content_type, more, body, has_envelope) in [
        ("message/imdn+xml", "", DELIVERED, false),
        ("Message/IMDN+XML; charset=utf-8", "", DELIVERED, false),
        (
            "message/imdn+xml",
            "Content-Encoding: deflate\r\n",
            &deflated(DELIVERED),
            false,
        ),
        ("message/cpim", "", &wrapped, true),
    ] {
        let mut fixture = taker_of(&[]);
        assert_eq!(fixture.answers(carrying(content_type, more, body)), "");
        let request = received(&mut fixture);
        assert_eq!(request.envelope.is_some(), has_envelope);
        match request.content {
            Content::Receipt(imdn) => assert_eq!(imdn.message_id, "a1b2"),
            Content::Message { .. } => panic!("{content_type}"),
        }
    }
}

#[test]
fn i_typing_notices_and_unreadable_receipts_are_answered_200_and_counted() {
    let wrapped = b"From: <sip:bob@example.com>\r\n\r\n\
        Content-Type: application/im-iscomposing+xml\r\n\r\n<isComposing/>";
    for (content_type, body, reason) in [
        (
            "application/im-iscomposing+xml",
            &b"<isComposing/>"[..],
            NotTaken::Typing,
        ),
        ("message/cpim", wrapped, NotTaken::Typing),
        ("message/imdn+xml", b"hi", NotTaken::UnreadableReceipt),
        ("message/imdn+xml", b"", NotTaken::UnreadableReceipt),
    ] {
        for accepts in [&["*/*"][..], &["text/plain"], &[]] {
            let mut fixture = taker_of(accepts);
            let frame = carrying(content_type, "", body);
            let answer = fixture.answers(&frame);
            assert_eq!(status(&answer), 200, "{content_type}");
            assert_eq!(not_taken(&mut fixture), reason);
            assert_eq!(fixture.answers(&frame), answer);
            assert!(fixture.events().is_empty(), "it is counted once");
        }
    }
}

#[test]
fn i_the_inner_part_of_an_envelope_counts() {
    let wrapped = |content_type: &str| {
        format!(
            "From: \"Bob\" <sip:bob@example.com>\r\nimdn.Message-ID: m1\r\n\r\n\
             Content-Type: {content_type}\r\n\r\nhi"
        )
    };
    let mut fixture = taker();
    let text = wrapped("text/plain;charset=utf-8");
    fixture.hears(carrying("message/cpim", "", text.as_bytes()));
    let message = received(&mut fixture);
    assert_eq!(
        message_of(&message),
        ("text/plain;charset=utf-8", &b"hi"[..])
    );
    let envelope = message.envelope.unwrap();
    assert_eq!(envelope.from.as_deref(), Some("sip:bob@example.com"));
    assert_eq!(envelope.message_id.as_deref(), Some("m1"));

    let html = wrapped("text/html");
    let answer = taker().answers(carrying("message/cpim", "", html.as_bytes()));
    assert_eq!(status(&answer), 415);
    assert!(value(&answer, "Accept").starts_with("text/plain, image/*"));

    // One layer is opened; the type of what is in it is message/cpim.
    let nested = wrapped("message/cpim");
    let mut fixture = taker_of(&["*/*"]);
    fixture.hears(carrying("message/cpim", "", nested.as_bytes()));
    assert_eq!(message_of(&received(&mut fixture)).0, "message/cpim");
}

#[test]
fn i_an_envelope_that_cannot_be_read_is_a_message_as_it_is() {
    let mut fixture = taker_of(&["*/*"]);
    fixture.hears(carrying("message/cpim", "", b"no envelope"));
    let message = received(&mut fixture);
    assert_eq!(message_of(&message), ("message/cpim", &b"no envelope"[..]));
    assert_eq!(message.envelope, None);
    let answer = taker().answers(carrying("message/cpim", "", b"no envelope"));
    assert_eq!(status(&answer), 415);
}

#[test]
fn i_what_is_too_large_is_refused_with_413_and_the_next_is_taken() {
    let large = vec![b'x'; 1_001];
    let said = String::from_utf8(carrying("text/plain", "", b"hi")).unwrap();
    let said = said.replace("Content-Length: 2", "Content-Length: 1001");
    for frame in [
        carrying("text/plain", "", &large),
        carrying(
            "text/plain",
            "Content-Encoding: deflate\r\n",
            &deflated(&large),
        ),
        said.into_bytes(),
    ] {
        let mut fixture = taker();
        assert_eq!(status(&fixture.answers(frame)), 413);
        let refused = NotTaken::Refused(StatusCode::REQUEST_ENTITY_TOO_LARGE);
        assert_eq!(not_taken(&mut fixture), refused);
        fixture.hears(numbered(1, 1_000));
        received(&mut fixture);
    }
}

#[test]
fn a_content_type_that_is_empty_is_none() {
    for line in ["", "Content-Type: \r\n"] {
        let mut fixture = taker();
        fixture.hears(request("MESSAGE", ALICE, "1", line));
        assert_eq!(message_of(&received(&mut fixture)).0, "text/plain");
    }
}

#[test]
fn a_head_that_is_too_large_is_refused_with_413() {
    let long = format!("Subject: {}\r\n", "x".repeat(10_000));
    let many = "Subject: x\r\n".repeat(300);
    for more in [long, many] {
        let mut fixture = taker();
        let answer = fixture.answers(request("MESSAGE", ALICE, "1", &more));
        assert_eq!(status(&answer), 413);
        assert_eq!(value(&answer, "CSeq"), "1 MESSAGE");
        let refused = NotTaken::Refused(StatusCode::REQUEST_ENTITY_TOO_LARGE);
        assert_eq!(not_taken(&mut fixture), refused);
        fixture.hears(numbered(1, 1_000));
        received(&mut fixture);
    }
}

#[test]
fn i_a_body_that_cannot_be_decoded_is_refused_with_400() {
    let frame = carrying("text/plain", "Content-Encoding: deflate\r\n", b"\xff\xff");
    assert_eq!(status(&taker().answers(frame)), 400);
    let frame = carrying("text/plain", "Content-Encoding: gzip\r\n", b"hi");
    assert_eq!(status(&taker().answers(frame)), 400);
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
