//! What is read, what is noted, what is refused.

use super::*;

fn read(frame: &str) -> Message<'_> {
    parse(frame.as_bytes(), ParseLimits::default()).unwrap()
}

fn refusal(frame: &str) -> ParseError {
    parse(frame.as_bytes(), ParseLimits::default()).unwrap_err()
}

#[test]
fn a_response_is_read_where_it_matters() {
    let message = read(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bK1\r\nv: second\r\n\
         f: <sip:a@b>;tag=1\r\nTO : <sip:c@d>\r\ni: x@y\r\nCSeq: 1 MESSAGE\r\nl: 2\r\n\r\nhi",
    );
    assert_eq!(
        message.start,
        StartLine::Response {
            status: StatusCode::OK,
            reason: b"OK"
        }
    );
    assert_eq!(
        message.via.unwrap(),
        b"SIP/2.0/WS a.invalid;branch=z9hG4bK1"
    );
    assert_eq!(message.to.unwrap(), b"<sip:c@d>");
    assert_eq!(message.call_id.unwrap(), b"x@y");
    assert_eq!((message.body, message.flaw), (&b"hi"[..], None));
    assert_eq!(message.all("Via").count(), 2);
}

#[test]
fn p5_a_reason_phrase_may_say_anything() {
    for reason in ["[call released]", "50%", "<>#\"", "", "Grüße", "a  b "] {
        let frame = format!("SIP/2.0 480 {reason}\r\n\r\n");
        let StartLine::Response {
            status,
            reason: read,
        } = read(&frame).start
        else {
            panic!("a request");
        };
        assert_eq!((status.as_u16(), read), (480, reason.as_bytes()));
    }
    assert!(matches!(
        read("SIP/2.0 480\r\n\r\n").start,
        StartLine::Response { .. }
    ));
}

#[test]
fn codes_that_do_not_exist_are_not_answers() {
    for line in [
        "SIP/2.0 099 X",
        "SIP/2.0 700 X",
        "SIP/2.0 2000 X",
        "SIP/2.0 20 X",
    ] {
        assert_eq!(
            refusal(&format!("{line}\r\n\r\n")),
            ParseError::StatusCode,
            "{line}"
        );
    }
    assert_eq!(refusal("SIP/2.0 abc X\r\n\r\n"), ParseError::StartLine);
    assert_eq!(refusal("SIP/3.0 200 OK\r\n\r\n"), ParseError::Version);
}

#[test]
fn folded_lines_belong_to_their_header() {
    let message = read("OPTIONS sip:a@b SIP/2.0\nSubject: one\n two\r\n\tthree\nX: y\n\n");
    assert_eq!(text(message.first("Subject").unwrap()), "one two three");
    assert_eq!(message.first("X").unwrap(), b"y");
}

#[test]
fn what_is_only_odd_is_taken() {
    let message = read("\r\n\r\nMESSAGE sip:a@b SIP/2.0\r\nno colon here\r\nCall-ID: 1");
    assert_eq!(message.call_id.unwrap(), b"1");
    assert_eq!(message.body, b"");
}

#[test]
fn what_no_request_may_be_is_noted_and_read_all_the_same() {
    let lengths = [
        ("2", "ab", None),
        ("10", "abc", Some(Flaw::BodyTooShort)),
        ("-1", "abc", Some(Flaw::ContentLength)),
        ("+1", "abc", Some(Flaw::ContentLength)),
        ("3\r\nl: 3", "abc", None),
        ("3\r\nl: 2", "abc", Some(Flaw::Contradiction)),
    ];
    for (length, body, flaw) in lengths {
        let frame = format!("SIP/2.0 200 OK\r\nContent-Length: {length}\r\n\r\nabc");
        let message = read(&frame);
        assert_eq!(
            (message.body, message.flaw),
            (body.as_bytes(), flaw),
            "{length}"
        );
    }
    let lines = [
        ("M sip:a@b SIP/7.0", "sip:a@b", Flaw::Version),
        ("M  sip:a@b  SIP/2.0", "sip:a@b", Flaw::RequestLine),
        ("M sip:a@b SIP/2.0 ", "sip:a@b", Flaw::RequestLine),
        ("M sip:a b@c SIP/2.0", "sip:a b@c", Flaw::RequestLine),
        ("M sip:ü@c SIP/2.0", "sip:ü@c", Flaw::RequestLine),
    ];
    for (line, uri, flaw) in lines {
        let message = read(line);
        assert_eq!(
            message.start,
            StartLine::Request { method: "M", uri },
            "{line}"
        );
        assert_eq!(message.flaw, Some(flaw), "{line}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let many = format!("SIP/2.0 200 OK\r\n{}\r\n", "A: b\r\n".repeat(300));
    assert_eq!(refusal(&many), ParseError::TooManyHeaders);
    let long = format!("SIP/2.0 200 OK\r\nA: {}\r\n\r\n", "x".repeat(9_000));
    assert_eq!(refusal(&long), ParseError::HeaderTooLong);
    // Of a request enough is read to refuse it, and no more.
    let many = format!(
        "M sip:a@b SIP/2.0\r\nt: x\r\n{}f: y\r\n\r\nhi",
        "A: b\r\n".repeat(300)
    );
    let message = read(&many);
    assert_eq!(message.flaw, Some(Flaw::HeadTooLarge));
    assert_eq!((message.to, message.from), (Some(&b"x"[..]), None));
    let long = "x".repeat(9_000);
    let long = format!("M sip:a@b SIP/2.0\r\nt: x\r\ni: {long}\r\nf: y\r\n\r\nhi");
    let message = read(&long);
    assert_eq!(message.flaw, Some(Flaw::HeadTooLarge));
    assert_eq!((message.call_id, message.from), (None, Some(&b"y"[..])));
    assert_eq!(refusal(&"x".repeat(70_000)), ParseError::FrameTooLong);
    assert_eq!(refusal("\r\n\r\n"), ParseError::Empty);
    assert_eq!(refusal("GET / HTTP/1.1\r\n\r\n"), ParseError::StartLine);
}

#[test]
fn what_follows_the_start_line_after_a_blank_is_no_header() {
    let message = read("SIP/2.0 200 OK\r\n Call-ID: evil\r\n\tTo: evil\r\nCall-ID: good\r\n\r\n");
    assert_eq!((message.call_id, message.to), (Some(&b"good"[..]), None));
    assert_eq!(message.headers().count(), 1);
}
