//! JSON, written by hand where it is written most: every event becomes some twenty strings, and
//! nearly none of them has anything to escape.

use std::io::Write as _;

/// Appends a string with its quotes.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        plain_string(out, text);
    } else {
        // Writing to memory cannot fail, and any string is JSON.
        let _ = serde_json::to_writer(out, text);
    }
}

/// Appends a string that [`is_plain`], with its quotes.
pub(super) fn plain_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Whether nothing in it has to be escaped.
pub(super) fn is_plain(text: &str) -> bool {
    // All bytes are looked at, also behind one that is not plain: without a branch the compiler
    // looks at sixteen at once.
    let odd = text.bytes().fold(0, |odd, byte| {
        odd | u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\')
    });
    odd == 0
}

/// What a text takes in JSON at most, without its quotes. In memory it takes no more.
pub fn weight(text: &[u8]) -> usize {
    // Without a branch, as in [`is_plain`].
    let escapes = text.iter().fold(0, |escapes, &byte| {
        let control = usize::from(byte < 0x20) * (r"\u0000".len() - 1);
        escapes + control + usize::from(byte == b'"') + usize::from(byte == b'\\')
    });
    text.len() + escapes
}

/// As much from the beginning of a text as weighs at most this.
pub(super) fn prefix(text: &str, max: usize) -> &str {
    if weight(text.as_bytes()) <= max {
        return text;
    }
    let mut room = max;
    let end = text.char_indices().find(|(at, character)| {
        let bytes = text.get(*at..*at + character.len_utf8());
        let weight = weight(bytes.unwrap_or_default().as_bytes());
        let fits = weight <= room;
        room = room.saturating_sub(weight);
        !fits
    });
    let end = end.map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

/// Appends a string, or `null`.
pub(super) fn optional(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends `,"name":`. The name is ours and has nothing to escape.
pub(super) fn member(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends a number.
pub(super) fn number(out: &mut Vec<u8>, number: u32) {
    // Writing to memory cannot fail.
    let _ = write!(out, "{number}");
}

/// Appends `true` or `false`.
pub(super) fn boolean(out: &mut Vec<u8>, value: bool) {
    let word: &[u8] = if value { b"true" } else { b"false" };
    out.extend_from_slice(word);
}

/// Appends `[item,item]`, or any list between such brackets.
pub(super) fn list<T>(
    out: &mut Vec<u8>,
    [open, close]: [u8; 2],
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(open);
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_written_as_serde_writes_it() {
        for text in [
            "",
            "plain",
            "\"quoted\"",
            "back\\slash",
            "line\r\nend\t\u{1}\u{7f}",
            "\u{2028} é 😀",
            "a string of more than sixteen bytes with a quote at its end\"",
        ] {
            let mut out = Vec::new();
            string(&mut out, text);
            assert_eq!(out, serde_json::to_vec(text).unwrap());
            assert!(out.len() <= weight(text.as_bytes()) + 2, "{text:?}");
        }
    }
}
