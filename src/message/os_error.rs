//! Texts of errors, without the error numbers of the operating system, and in plain words where a
//! library says only what it read.

use std::fmt::Display;

const NUMBER: &str = " (os error ";
/// What rustls says of an answer that is not TLS: a port of plain HTTP, as a rule.
const NO_TLS: &str = "received corrupt message of type InvalidContentType";

/// The text of an error without error numbers: `Connection refused (os error 111)` becomes
/// `Connection refused`.
pub fn without_os_error(error: impl Display) -> String {
    let text = error
        .to_string()
        .replace(NO_TLS, "what answers does not speak TLS");
    let mut parts = text.split(NUMBER);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.parse::<i32>().is_ok() => plain.push_str(rest),
            Some(_) | None => {
                plain.push_str(NUMBER);
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_removed_and_nothing_else() {
        for (text, plain) in [
            ("Connection refused (os error 111)", "Connection refused"),
            (
                "a.db: No such file or directory (os error 2); accepted: a path (os error -1)!",
                "a.db: No such file or directory; accepted: a path!",
            ),
            (
                "tls: received corrupt message of type InvalidContentType",
                "tls: what answers does not speak TLS",
            ),
            ("the server closed (os error", "the server closed (os error"),
            ("it is (os error x) odd", "it is (os error x) odd"),
            ("", ""),
        ] {
            assert_eq!(without_os_error(text), plain);
        }
    }
}
