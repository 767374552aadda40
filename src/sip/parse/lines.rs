//! The lines of a head: where each begins, where its continuation lines end, and its name.

use memchr::memchr;

/// The first line without its end, and what follows it.
pub(in crate::sip) fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b'\n', text) {
        Some(at) => {
            let line = &text[..at];
            (line.strip_suffix(b"\r").unwrap_or(line), &text[at + 1..])
        }
        None => (text.strip_suffix(b"\r").unwrap_or(text), &[]),
    }
}

/// Header lines, continuation lines included. Afterwards `rest` begins with the empty line.
pub(super) struct HeaderLines<'a> {
    pub rest: &'a [u8],
}

impl<'a> Iterator for HeaderLines<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let whole = self.rest;
            let (first, mut after) = split_line(whole);
            if first.is_empty() {
                return None;
            }
            let mut end = first.len();
            while matches!(after.first(), Some(b' ' | b'\t')) {
                let (continuation, next) = split_line(after);
                end = whole.len() - after.len() + continuation.len();
                after = next;
            }
            self.rest = after;
            let line = &whole[..end];
            if let Some(colon) = memchr(b':', line) {
                return Some((trim(&line[..colon]), trim(&line[colon + 1..])));
            }
        }
    }
}

pub(super) fn body_after(rest: &[u8]) -> &[u8] {
    rest.strip_prefix(b"\r\n")
        .or_else(|| rest.strip_prefix(b"\n"))
        .unwrap_or(rest)
}

/// Without blanks and line ends around it.
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = text {
        text = rest;
    }
    text
}

/// The compact forms of RFC 3261 §7.3.3.
#[rustfmt::skip]
const COMPACT: [(u8, &str); 10] = [
    (b'c', "Content-Type"), (b'e', "Content-Encoding"), (b'f', "From"), (b'i', "Call-ID"),
    (b'k', "Supported"), (b'l', "Content-Length"), (b'm', "Contact"), (b's', "Subject"),
    (b't', "To"), (b'v', "Via"),
];

/// The long name of a compact form, or the name itself.
pub(super) fn long_name(name: &str) -> &str {
    let [byte] = name.as_bytes() else {
        return name;
    };
    let known = COMPACT
        .iter()
        .find(|(compact, _)| byte.eq_ignore_ascii_case(compact));
    known.map_or(name, |(_, long)| *long)
}

/// The compact form of a long name, written as RFC 3261 writes it.
pub(super) fn compact_form(name: &str) -> Option<u8> {
    let known = COMPACT.iter().find(|(_, long)| *long == name);
    known.map(|(compact, _)| *compact)
}
