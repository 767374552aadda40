//! Whose an answer is, whatever it looks like.

use crate::sip::Outcome;
use crate::sip::testing::{Fixture, message_to, reply};

fn sent() -> (Fixture, String) {
    let mut fixture = Fixture::registered();
    let frame = fixture.sends(1, message_to("sip:bob@example.com", "call"));
    (fixture, frame)
}

#[test]
fn e2_and_e4_provisional_answers_tell_nothing_and_a_second_final_one_is_nobodys() {
    let (mut fixture, frame) = sent();
    for line in ["100 Trying", "180 Ringing", "183 Session Progress", "199 X"] {
        fixture.hears(reply(&frame, line, ""));
        assert!(fixture.events().is_empty());
    }
    fixture.hears(reply(&frame, "202 Accepted", ""));
    assert_eq!(fixture.response().status.as_u16(), 202);
    for line in ["200 OK", "404 Not Found", "202 Accepted"] {
        fixture.hears(reply(&frame, line, ""));
        assert!(fixture.events().is_empty());
    }
}

#[test]
fn p5_any_reason_phrase_is_an_answer_and_is_told_as_it_is() {
    for reason in [
        "[call Processing Released]",
        "\"quoted\"",
        "a < b > c",
        "#42",
        "100%",
        "%zz",
        "Grüße 你好",
        "",
    ] {
        let (mut fixture, frame) = sent();
        fixture.hears(reply(&frame, &format!("480 {reason}"), ""));
        let response = fixture.response();
        assert_eq!(
            (response.status.as_u16(), response.reason.as_str()),
            (480, reason)
        );
    }
}

#[test]
fn p1_a_broken_header_does_not_lose_an_answer() {
    for header in [
        "Contact: <sip:",
        "Contact: *",
        "Contact: <tel:+1>",
        "Contact: \"open",
        "Content-Type: text",
        "Content-Type: ;;",
        "Session-Expires: soon",
        "Event: ;",
        "Record-Route: nonsense",
        "Max-Forwards: many",
        "WWW-Authenticate: Digest realm=",
        "Retry-After: later",
        "Expires: -1",
        "Date: yesterday",
        "Allow: <>",
        "Via: garbage",
        "Via: SIP/2.0/UDP second.example.com;branch=z9hG4bKother",
        "a line without a colon",
        ": a line without a name",
        "Content-Length: 5000",
        "Content-Length: -1",
        "Content-Length: many",
        "X-Empty:",
        "X-Folded: one\r\n two\r\n\tthree",
    ] {
        let (mut fixture, frame) = sent();
        fixture.hears(reply(&frame, "200 OK", &format!("{header}\r\n")));
        assert_eq!(fixture.response().status.as_u16(), 200, "{header}");
    }
}

#[test]
fn p1_an_answer_is_an_answer_however_its_lines_are_written() {
    let (_, frame) = sent();
    let neat = reply(&frame, "200 OK", "");
    let branch = neat[neat.find("z9hG4bK").unwrap()..][..23].to_owned();
    let folded = neat
        .replace("Call-ID: ", "Call-ID:\r\n ")
        .replace(" MESSAGE", "\r\n\tMESSAGE");
    let compact = neat
        .replace("Via:", "v:")
        .replace("From:", "f :")
        .replace("To:", "T:")
        .replace("Call-ID:", "i\t:")
        .replace("Content-Length:", "l:");
    let spellings = [
        neat.replace("\r\n", "\n"),
        format!("\r\n\r\n{neat}"),
        neat.trim_end().to_owned(),
        neat.replace("SIP/2.0 200", "sip/2.0 200"),
        neat.replace("200 OK", "200"),
        neat.replace("200 OK", "200 "),
        neat.replace("Content-Length: 0\r\n", ""),
        neat.replace("CSeq: 1 MESSAGE", "cseq: 0001   MESSAGE"),
        neat.replace(";branch=", " ; received = 10.0.0.1 ; BRANCH = "),
        neat.replace("\r\nFrom", ", SIP/2.0/UDP x;branch=z9hG4bKx\r\nFrom"),
        neat.replacen(&branch, &branch.to_ascii_uppercase(), 1),
        format!("{neat}SIP/2.0 404 Not Found\r\n\r\n"),
        folded,
        compact,
    ];
    for spelling in spellings {
        let (mut fixture, _) = sent();
        fixture.hears(&spelling);
        assert_eq!(fixture.response().status.as_u16(), 200, "{spelling}");
    }
}

#[test]
fn p1_an_answer_without_to_or_with_an_unreadable_from_address_is_an_answer() {
    let (_, frame) = sent();
    let neat = reply(&frame, "486 Busy Here", "");
    let from = "From: <sip:alice@example.com>;tag=tag-call";
    assert!(neat.contains(from));
    for other in [
        "From: tel:+1;tag=tag-call",
        "From: \"open <sip:alice@example.com>;tag=tag-call",
        "From: ;tag=tag-call",
        "From: <;x=y;TAG = tag-call",
    ] {
        let (mut fixture, _) = sent();
        fixture.hears(
            neat.replace(from, other)
                .replace("To: <sip:bob@example.com>\r\n", ""),
        );
        assert_eq!(fixture.response().status.as_u16(), 486, "{other}");
    }
}

#[test]
fn p1_bytes_that_are_not_utf_8_are_replaced_and_hide_nothing() {
    let (mut fixture, frame) = sent();
    let neat =
        reply(&frame, "480 Gr\u{1}", "X-Name: \u{1}\r\n").replace("From: <", "From: \u{1} <");
    let bytes: Vec<_> = neat
        .bytes()
        .map(|byte| if byte == 1 { 0xff } else { byte })
        .collect();
    fixture.hears(bytes);
    let response = fixture.response();
    assert_eq!(response.reason, "Gr\u{fffd}");
    assert!(
        response
            .headers
            .contains(&("X-Name".to_owned(), "\u{fffd}".to_owned()))
    );
}

#[test]
fn t4_an_answer_to_something_else_completes_nothing() {
    let (mut fixture, frame) = sent();
    let neat = reply(&frame, "200 OK", "");
    let branch = neat.find("z9hG4bK").unwrap() + 7;
    let mut other_branch = neat.clone();
    let flipped = if &neat[branch..=branch] == "0" {
        "1"
    } else {
        "0"
    };
    other_branch.replace_range(branch..=branch, flipped);
    for other in [
        other_branch,
        neat.replace("Call-ID: call", "Call-ID: other"),
        neat.replace("CSeq: 1", "CSeq: 2"),
        neat.replace("CSeq: 1", "CSeq: 99999999999999999999"),
        neat.replace("MESSAGE\r\n", "REGISTER\r\n"),
        neat.replace("MESSAGE\r\n", "message\r\n"),
        neat.replace("tag=tag-call", "tag=other"),
        neat.replace(";tag=tag-call", ""),
        neat.replace("Via:", "X-Via:"),
        neat.replace("From:", "X-From:"),
        neat.replace("Call-ID:", "X-Call-ID:"),
        neat.replace("CSeq:", "X-CSeq:"),
    ] {
        assert_ne!(other, neat);
        fixture.hears(&other);
        assert!(fixture.events().is_empty(), "{other}");
    }
    fixture.hears(&neat);
    assert!(matches!(fixture.outcome(), (1, Outcome::Answered(_))));
}

#[test]
fn c5_codes_outside_100_to_699_are_no_answers() {
    let (mut fixture, frame) = sent();
    for line in [
        "099 X", "700 X", "999 X", "2000 OK", "20 OK", "abc OK", "-200 OK",
    ] {
        fixture.hears(reply(&frame, line, ""));
        assert!(fixture.events().is_empty(), "{line}");
    }
    fixture.hears(reply(&frame, "699 X", ""));
    assert_eq!(fixture.response().status.as_u16(), 699);
}

#[test]
fn the_answer_is_handed_on_with_all_its_headers_by_their_long_names() {
    let (mut fixture, frame) = sent();
    fixture.hears(reply(
        &frame,
        "503 Later",
        "Retry-After: 7 (soon)\r\ns: x\r\nServer: y\r\n",
    ));
    let response = fixture.response();
    assert_eq!(
        response.retry_after(),
        Some(std::time::Duration::from_secs(7))
    );
    let names: Vec<_> = response
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "Via",
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Retry-After",
            "Subject",
            "Server",
            "Content-Length"
        ]
    );
}
