//! The names of headers: long and compact (RFC 3261 §7.3.3).

/// The long name of a compact form, or the name itself.
pub fn long_name(name: &str) -> &str {
    match name.as_bytes() {
        [byte] => match byte.to_ascii_lowercase() {
            b'c' => "Content-Type",
            b'e' => "Content-Encoding",
            b'f' => "From",
            b'i' => "Call-ID",
            b'k' => "Supported",
            b'l' => "Content-Length",
            b'm' => "Contact",
            b's' => "Subject",
            b't' => "To",
            b'v' => "Via",
            _ => name,
        },
        _ => name,
    }
}

/// The compact form of a long name, written as RFC 3261 writes it.
pub(super) fn compact_form(name: &str) -> Option<u8> {
    match name {
        "Call-ID" => Some(b'i'),
        "Contact" => Some(b'm'),
        "Content-Encoding" => Some(b'e'),
        "Content-Length" => Some(b'l'),
        "Content-Type" => Some(b'c'),
        "From" => Some(b'f'),
        "Subject" => Some(b's'),
        "Supported" => Some(b'k'),
        "To" => Some(b't'),
        "Via" => Some(b'v'),
        _ => None,
    }
}
