//! Media types, as RFC 3261 §25.1 writes them.

use super::header::is_token;

/// The longest media type, in bytes.
const MAX_CONTENT_TYPE: usize = 255;

/// RFC 3261 §25.1, `media-type`: `type "/" subtype *(";" token "=" (token | quoted-string))`, with
/// blanks allowed around the separators as its `SLASH`, `SEMI` and `EQUAL` have them.
pub fn is_media_type(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(is_token);
    if text.len() > MAX_CONTENT_TYPE || text.chars().any(char::is_control) {
        return false;
    }
    let mut parts = split_outside_quotes(text).into_iter();
    let essence = parts.next().unwrap_or_default();
    let Some((kind, subtype)) = essence.split_once('/') else {
        return false;
    };
    is_word(kind.trim())
        && is_word(subtype.trim())
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) => {
                let value = value.trim();
                is_word(name.trim()) && (is_word(value) || is_quoted(value))
            }
            None => false,
        })
}

/// RFC 3261 §25.1, `quoted-string`.
pub(super) fn is_quoted(text: &str) -> bool {
    let Some(inner) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return false;
    };
    let mut escaped = false;
    for c in inner.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return false,
            _ => {}
        }
    }
    !escaped && text.len() >= 2
}

/// The pieces between the semicolons that stand outside quoted strings.
pub(super) fn split_outside_quotes(text: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => {
                pieces.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&text[start..]);
    pieces
}
