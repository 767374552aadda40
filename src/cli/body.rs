//! Bodies and other members of messages, in words.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::style::{DIM, printable};

/// A body as the API has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<'a> {
    pub(super) text: &'a str,
    /// `utf-8` or `base64`.
    pub(super) encoding: &'a str,
    pub(super) content_type: &'a str,
}

/// Of a first line, in characters.
const SHOWN: usize = 60;

impl Body<'_> {
    /// `“Hello!” (text/plain, 6 characters)`, `(image/png, 70 bytes that are no text; --json has
    /// them in base64)`.
    pub(super) fn described(&self) -> String {
        let kind = self.content_type;
        if self.encoding == "base64" {
            let bytes = self.bytes().map(|count| counted(count, "byte"));
            let bytes = bytes.unwrap_or_else(|| "bytes".to_owned());
            return format!("({kind}, {bytes} that are no text; --json has them in base64)");
        }
        let size = counted(self.text.chars().count(), "character");
        let first = self.text.lines().next().unwrap_or_default();
        let first: String = first.chars().take(SHOWN).collect();
        format!("“{first}” ({kind}, {size})")
    }

    /// In a column: the first line of a text, or the type and the size of what is none.
    pub(super) fn first_line(&self) -> Option<String> {
        if self.encoding != "base64" {
            return self.text.lines().next().map(|line| format!("“{line}”"));
        }
        let kind = self.content_type;
        Some(match self.bytes() {
            Some(count) => format!("{kind}, {}", counted(count, "byte")),
            None => kind.to_owned(),
        })
    }

    /// How many bytes base64 stands for.
    fn bytes(&self) -> Option<usize> {
        let bytes = BASE64_STANDARD.decode(self.text);
        bytes.ok().map(|bytes| bytes.len())
    }
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// Members with their values, one on each line; one without a value is left out.
pub(super) fn members(rows: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        _ = writeln!(text, "{DIM}{name:<13}{DIM:#}{}", printable(value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body<'a>(text: &'a str, encoding: &'a str) -> Body<'a> {
        Body {
            text,
            encoding,
            content_type: "image/png",
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_counted_and_told_to_be_so() {
        assert_eq!(
            body("AAECAw==", "base64").described(),
            "(image/png, 4 bytes that are no text; --json has them in base64)"
        );
        let line = |text| body(text, "base64").first_line();
        assert_eq!(line("AA==").as_deref(), Some("image/png, 1 byte"));
        assert_eq!(line("?").as_deref(), Some("image/png"));
        let line = body("Hello\nBob", "utf-8").first_line();
        assert_eq!(line.as_deref(), Some("“Hello”"));
    }
}
