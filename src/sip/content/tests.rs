//! Bodies as peers encode them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;
use crate::sip::parse::ParseLimits;

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn raw(body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// The body of a MESSAGE with these codings.
fn decode(encoding: &str, body: &[u8], max: usize) -> Result<Vec<u8>, ContentError> {
    let head = format!("MESSAGE sip:a@b SIP/2.0\r\n{encoding}\r\n");
    let frame = [head.as_bytes(), body].concat();
    let limits = ParseLimits {
        frame: 1 << 20,
        ..ParseLimits::default()
    };
    decoded(&parse::parse(&frame, limits).unwrap(), max)
}

#[test]
fn every_coding_is_taken_off_in_its_order() {
    let text = "né ".repeat(100).into_bytes();
    for (encoding, body) in [
        ("", text.clone()),
        ("Content-Encoding: identity\r\n", text.clone()),
        ("Content-Encoding: deflate\r\n", zlib(&text)),
        ("e: Deflate\r\n", raw(&text)),
        ("Content-Encoding: gzip\r\n", gzip(&text)),
        ("Content-Encoding: X-Gzip\r\n", gzip(&text)),
        ("Content-Encoding: deflate, gzip\r\n", gzip(&zlib(&text))),
        (
            "Content-Encoding: gzip, identity\r\nContent-Encoding: deflate\r\n",
            zlib(&gzip(&text)),
        ),
    ] {
        assert_eq!(
            decode(encoding, &body, 1_000),
            Ok(text.clone()),
            "{encoding}"
        );
    }
    assert_eq!(
        decode("Content-Encoding: deflate\r\n", b"", 1_000),
        Ok(Vec::new())
    );
}

#[test]
fn bodies_of_every_size_are_inflated() {
    let text: Vec<u8> = (0..200_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 & 0x1f)
        .collect();
    for size in [
        1, 100, 1_023, 32_767, 32_768, 32_769, 65_536, 100_001, 200_000,
    ] {
        for body in [&text[..size], &vec![b'x'; size]] {
            for (encoding, coded) in [
                ("deflate", zlib(body)),
                ("deflate", raw(body)),
                ("gzip", gzip(body)),
            ] {
                let line = format!("Content-Encoding: {encoding}\r\n");
                let decoded = decode(&line, &coded, size.max(coded.len()));
                assert!(decoded.as_deref() == Ok(body), "{encoding} {size}");
                if coded.len() < size {
                    let refused = decode(&line, &coded, size - 1);
                    assert_eq!(refused, Err(ContentError::TooLarge));
                }
            }
        }
    }
}

#[test]
fn a_coding_that_is_not_known_and_a_third_one_are_refused() {
    for encoding in ["br", "gzip, br", "deflate, deflate, deflate", "*"] {
        let line = format!("Content-Encoding: {encoding}\r\n");
        let refused = decode(&line, b"hi", 1_000);
        assert_eq!(refused, Err(ContentError::Encoding), "{encoding}");
    }
}

#[test]
fn a_body_is_as_large_as_it_may_be_and_no_larger() {
    let text = vec![b'x'; 5_000];
    for (encoding, body) in [
        ("deflate", zlib(&text)),
        ("deflate", raw(&text)),
        ("gzip", gzip(&text)),
    ] {
        let line = format!("Content-Encoding: {encoding}\r\n");
        assert_eq!(decode(&line, &body, 5_000), Ok(text.clone()));
        assert_eq!(decode(&line, &body, 4_999), Err(ContentError::TooLarge));
    }
    assert_eq!(decode("", &text, 4_999), Err(ContentError::TooLarge));
}

#[test]
fn a_body_that_was_cut_or_has_something_behind_it_is_refused() {
    let text = b"Yes, at noon.".repeat(10);
    for (encoding, body) in [
        ("deflate", zlib(&text)),
        ("deflate", raw(&text)),
        ("gzip", gzip(&text)),
    ] {
        let line = format!("Content-Encoding: {encoding}\r\n");
        for end in 1..body.len() {
            let cut = decode(&line, &body[..end], 1_000);
            assert_eq!(cut, Err(ContentError::Malformed), "{encoding} {end}");
        }
        let more = [&body[..], b"x"].concat();
        assert_eq!(decode(&line, &more, 1_000), Err(ContentError::Malformed));
    }
    let mut wrong = gzip(&text);
    let checksum = wrong.len() - 8;
    wrong[checksum] ^= 1;
    let refused = decode("Content-Encoding: gzip\r\n", &wrong, 1_000);
    assert_eq!(refused, Err(ContentError::Malformed));
}

#[test]
fn media_ranges_are_matched_without_regard_to_case_and_parameters() {
    let accepts = |ranges: &[&str], given: &str| {
        let settings = ReceiveSettings {
            accepts: ranges.iter().map(|range| (*range).to_owned()).collect(),
            ..ReceiveSettings::default()
        };
        settings.accepts(given)
    };
    assert!(accepts(&["*/*"], "anything"));
    assert!(accepts(&["text/*"], "TEXT/html; charset=x"));
    assert!(accepts(&["text/*;q=0.5"], "text/plain"));
    assert!(accepts(
        &["image/png", "Text/Plain"],
        "text/plain;charset=utf-8"
    ));
    assert!(!accepts(&["text/*"], "image/png"));
    assert!(!accepts(&["text/*"], "textual/plain"));
    assert!(!accepts(&["text/plain"], "text/plainer"));
    assert!(!accepts(&[], "text/plain"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_decoding_panic_or_go_beyond_the_limit(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        max in 0_usize..400,
    ) {
        for encoding in ["deflate", "gzip"] {
            let line = format!("Content-Encoding: {encoding}\r\n");
            if let Ok(body) = decode(&line, &bytes, max) {
                prop_assert!(body.len() <= max);
            }
        }
    }
}
