//! Our parser beside that of `sipx-sip`, which other people wrote, on messages and on
//! what damage makes of them. What it reads, we read, and the same. It refuses more; here is why
//! we do not:
//!
//! | it refuses                                | we do not, because                                |
//! |-------------------------------------------|---------------------------------------------------|
//! | a line that ends with LF or CR alone      | a frame is one message (RFC 7118 §5): a line end decides nothing about where it ends |
//! | a message without its last empty line     | the same                                          |
//! | a body shorter than Content-Length, a Content-Length that is no number, or several | we note a [`Flaw`]: a request is refused for it, a response must not be lost |
//! | a header line without a colon, a name that is no token | that header is left out; the others can be read |
//! | a Request-URI that it cannot read         | we read it later, to tell 400 from 416            |
//! | a request line with a blank too many      | we note a [`Flaw`], to answer 400                 |
//! | many folds                                | the length of a header is bounded already         |

use bytes::Bytes;
use proptest::prelude::*;
use sipost::sip::parse;
use sipost::sip::parse::Flaw;
use sipost::sip::parse::StartLine;
use sipx_sip::Message as Theirs;
use sipx_sip::parse_datagram;

/// Lines that a message is made of, good and odd.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "(Via|v|From|f|To|t|Call-ID|i|CSeq|Contact|m|Subject|X-Any)[ \t]{0,2}:[ \t]{0,2}[a-zA-Z0-9<>@;=\".,/ -]{0,40}",
        1 => "(Content-Length|l): ?[0-9]{1,2}",
        1 => "Content-Type: text/plain",
        1 => "X-Folded: one\r\n[ \t]{1,3}two\r\n three",
        1 => "X-Eight: [à-ž€😀]{0,10}",
        1 => "[a-z: <>]{0,20}",
    ]
}

fn start_line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "SIP/2\\.0 [1-6][0-9]{2} [ -~]{0,20}",
        4 => "(MESSAGE|OPTIONS|INVITE|X-M) (sip:bob@example\\.com|sip:[a-z0-9.;=?&@:-]{1,20}|tel:\\+1|urn:x:y) SIP/2\\.0",
        1 => "SIP/[0-9]\\.[0-9] [0-9]{1,4} [ -~]{0,10}",
        1 => "[A-Z/]{1,8} [ -~]{0,20} SIP/[0-9]\\.0",
        1 => "[ -~]{0,30}",
    ]
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let parts = (
        start_line(),
        proptest::collection::vec(line(), 0..10),
        proptest::collection::vec(any::<u8>(), 0..40),
        // Damage: where, and with what.
        proptest::option::weighted(0.5, (any::<prop::sample::Index>(), any::<u8>())),
    );
    parts.prop_map(|(start, lines, body, damage)| {
        let mut frame = format!("{start}\r\n").into_bytes();
        for line in lines {
            frame.extend_from_slice(line.as_bytes());
            frame.extend_from_slice(b"\r\n");
        }
        frame.extend_from_slice(b"\r\n");
        frame.extend_from_slice(&body);
        if let Some((at, byte)) = damage {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_another_parser_reads_we_read_and_the_same(frame in frame()) {
        let theirs = parse_datagram(Bytes::from(frame.clone()), &sipx_sip::Limits::datagram());
        let Ok(theirs) = theirs else { return Ok(()) };
        let ours = match parse::parse(&frame, parse::ParseLimits::default()) {
            Ok(ours) => ours,
            Err(error) => {
                let explained = explained(error, &theirs);
                prop_assert!(explained, "{error}: {}", String::from_utf8_lossy(&frame));
                return Ok(());
            }
        };
        let (their_headers, their_body) = match (&theirs, ours.start) {
            (Theirs::Request(theirs), StartLine::Request { method, uri }) => {
                prop_assert_eq!(theirs.method.as_bytes(), method.as_bytes());
                prop_assert_eq!(&theirs.uri.to_bytes()[..], uri.as_bytes());
                (&theirs.headers, theirs.body())
            }
            (Theirs::Response(theirs), StartLine::Response { status, reason }) => {
                prop_assert_eq!(theirs.status.code(), status.as_u16());
                // It folds the reason phrase too, which RFC 3261 §7.2 does not.
                prop_assert!(theirs.reason.starts_with(reason));
                (&theirs.headers, theirs.body())
            }
            _ => return Err(TestCaseError::fail("a request and a response")),
        };
        let theirs: Vec<_> = their_headers
            .iter()
            .map(|header| one_line(&header.value()))
            .collect();
        let values: Vec<_> = ours.headers().map(|(_, value)| one_line(value)).collect();
        prop_assert_eq!(theirs, values);
        prop_assert_eq!(&their_body[..], ours.body);
    }

    #[test]
    fn what_another_parser_refuses_we_refuse_or_can_say_why_not(frame in frame()) {
        let Ok(ours) = parse::parse(&frame, parse::ParseLimits::default()) else { return Ok(()) };
        let theirs = parse_datagram(Bytes::from(frame.clone()), &sipx_sip::Limits::datagram());
        let Err(error) = theirs else { return Ok(()) };
        let text = format!("{error:?}");
        let kind = text.split(['(', ' ', '{']).next().unwrap_or_default();
        let explained = match kind {
            // Line ends and the last empty line; the length of the body.
            "Framing" => true,
            // A colon, a name.
            "Header" | "HeaderSyntax" => true,
            "Limit" => true,
            // The Request-URI, which we read later, or what we note.
            "StartLine" | "Uri" => {
                matches!(ours.start, StartLine::Request { .. }) || text.contains("Reason")
            }
            _ => false,
        };
        prop_assert!(explained, "{text}: {}", String::from_utf8_lossy(&frame));
    }
}

/// Why we refuse what it reads: SIP knows one version and codes up to 699, and answers of others
/// are none.
fn explained(error: parse::ParseError, theirs: &Theirs) -> bool {
    match (error, theirs) {
        (parse::ParseError::StatusCode, Theirs::Response(theirs)) => {
            !(100..700).contains(&theirs.status.code())
        }
        (parse::ParseError::Version, Theirs::Response(theirs)) => !theirs.version.is_supported(),
        // Not even SIP of another version: `HTTP/1.1`, or bytes.
        (parse::ParseError::StartLine, Theirs::Request(theirs)) => {
            let version = theirs.version.as_bytes();
            !(version.starts_with(b"SIP/") && version.iter().all(u8::is_ascii_graphic))
        }
        _ => false,
    }
}

/// A value with its continuation lines joined.
fn one_line(value: &[u8]) -> String {
    let text = parse::text(value);
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn flaws_are_what_another_parser_refuses() {
    for (frame, flaw) in [
        ("M sip:a@b SIP/2.0\r\nl: 5\r\n\r\nabc", Flaw::BodyTooShort),
        ("M sip:a@b SIP/2.0\r\nl: x\r\n\r\nabc", Flaw::ContentLength),
        (
            "M sip:a@b SIP/2.0\r\nl: 1\r\nl: 2\r\n\r\nabc",
            Flaw::Contradiction,
        ),
        ("M  sip:a@b SIP/2.0\r\n\r\n", Flaw::RequestLine),
    ] {
        let ours = parse::parse(frame.as_bytes(), parse::ParseLimits::default()).unwrap();
        assert_eq!(ours.flaw, Some(flaw), "{frame}");
        let theirs = parse_datagram(Bytes::from(frame), &sipx_sip::Limits::datagram());
        assert!(theirs.is_err(), "{frame}");
    }
}
