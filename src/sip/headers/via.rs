//! Via (RFC 3261 §20.42): where the answer goes, and whose it is.

use super::params::{find_byte_outside, last_param, param, split};

/// The topmost entry of a Via line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Via<'a> {
    /// `WS`, `WSS`, `UDP` …
    pub transport: &'a str,
    /// Host and port, as written.
    pub sent_by: &'a str,
    /// Names the transaction (RFC 3261 §17.1.3).
    pub branch: Option<&'a str>,
}

impl<'a> Via<'a> {
    /// Reads the first entry of a line.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let entry = split(text, ',').next()?;
        let (head, params) = entry.split_at(entry.find(';').unwrap_or(entry.len()));
        let mut protocol = head.splitn(3, '/');
        let (sip, _version) = (protocol.next()?.trim(), protocol.next()?);
        let (transport, sent_by) = protocol
            .next()?
            .trim()
            .split_once([' ', '\t', '\r', '\n'])?;
        if !sip.eq_ignore_ascii_case("SIP") {
            return None;
        }
        let branch = param(params, "branch").filter(|branch| !branch.is_empty());
        Some(Self {
            transport,
            sent_by: sent_by.trim(),
            branch,
        })
    }
}

/// The branch of the first entry of a line, whatever else is wrong with it.
pub fn branch(value: &[u8]) -> Option<&[u8]> {
    let end = find_byte_outside(value, b',').unwrap_or(value.len());
    last_param(&value[..end], "branch")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_branch_is_read_where_the_rest_cannot_be() {
        let text = b"SIP/2.0/WS h;x=\xff;Branch=z9hG4bK7;received=::1, SIP/2.0/UDP x;branch=no";
        assert_eq!(branch(text), Some(&b"z9hG4bK7"[..]));
        assert_eq!(branch(b"SIP/2.0/WS h"), None);
    }

    #[test]
    fn blanks_and_folds_do_not_hide_the_branch() {
        let via = Via::parse(b"SIP / 2.0 / WSS\r\n abc.invalid : 5060 ; received=1.2.3.4; branch = z9hG4bK7 ,SIP/2.0/UDP x");
        let via = via.unwrap();
        assert_eq!((via.transport, via.sent_by), ("WSS", "abc.invalid : 5060"));
        assert_eq!(via.branch, Some("z9hG4bK7"));
    }

    #[test]
    fn what_is_no_via_is_none() {
        for text in ["", "SIP/2.0", "SIP/2.0/WS", "HTTP/1.1/WS host", ";branch=1"] {
            assert_eq!(Via::parse(text.as_bytes()), None, "{text}");
        }
    }
}
