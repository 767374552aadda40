//! Hosts and ports (RFC 3261 §25.1, `hostport`).

// From `core`, since nothing here can open a socket.
use core::net::{Ipv4Addr, Ipv6Addr};

use super::UriError;

/// RFC 1035 §2.3.4.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Cuts the port off.
pub(super) fn split_port(hostport: &str) -> Result<(&str, Option<u16>), UriError> {
    let end_of_host = match hostport.starts_with('[') {
        true => hostport.find(']').ok_or(UriError::Host)? + 1,
        false => hostport.find(':').unwrap_or(hostport.len()),
    };
    let (host, rest) = hostport.split_at(end_of_host);
    if rest.is_empty() {
        return Ok((host, None));
    }
    let digits = rest.strip_prefix(':').ok_or(UriError::Host)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UriError::Port);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(UriError::Port),
        Ok(port) => Ok((host, Some(port))),
    }
}

/// Appends the host in its canonical form: names in lower case, IPv6 as RFC 5952 writes it.
pub(super) fn push(out: &mut String, host: &str) -> Result<(), UriError> {
    if let Some(inside) = host.strip_prefix('[') {
        let address = inside
            .strip_suffix(']')
            .and_then(|text| text.parse::<Ipv6Addr>().ok());
        out.push_str(&format!("[{}]", address.ok_or(UriError::Host)?));
        return Ok(());
    }
    if !is_name(host) && host.parse::<Ipv4Addr>().is_err() {
        return Err(UriError::Host);
    }
    out.extend(host.chars().map(|char| char.to_ascii_lowercase()));
    Ok(())
}

/// `hostname`, with `_` and with `-` at the end of a label.
fn is_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let top = name.rsplit('.').next().unwrap_or_default();
    name.len() <= MAX_NAME
        && name.split('.').all(is_label)
        && top.starts_with(|first: char| first.is_ascii_alphabetic())
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
