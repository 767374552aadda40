//! Writes a URI in its canonical form, part by part; its host and port as RFC 3261 §25.1 has them.

// From `core`: this room opens no socket.
use core::net::{Ipv4Addr, Ipv6Addr};

use super::{Scheme, TextSpan, Uri, UriError, escape, split_at_char};

/// The canonical text while it grows.
pub(super) struct CanonicalWriter {
    pub(super) text: String,
}

impl CanonicalWriter {
    pub(super) fn new(scheme: Scheme, capacity: usize) -> Self {
        let mut text = String::with_capacity(capacity);
        text.push_str(scheme.as_str());
        text.push(':');
        Self { text }
    }

    pub(super) fn userinfo(
        &mut self,
        userinfo: Option<&str>,
    ) -> Result<(Option<TextSpan>, Option<TextSpan>), UriError> {
        let Some(userinfo) = userinfo else {
            return Ok((None, None));
        };
        let (user, password) = split_at_char(userinfo, ':');
        if user.is_empty() {
            return Err(UriError::User);
        }
        let user = self.escaped(user, escape::in_user)?;
        let password = match password {
            None => None,
            Some(password) => {
                self.text.push(':');
                Some(self.escaped(password, escape::in_password)?)
            }
        };
        self.text.push('@');
        Ok((Some(user), password))
    }

    pub(super) fn hostport(&mut self, hostport: &str) -> Result<(TextSpan, Option<u16>), UriError> {
        let (host, port) = split_port(hostport)?;
        let start = self.position();
        push_host(&mut self.text, host)?;
        let host = self.span_from(start);
        self.port(port);
        Ok((host, port))
    }

    pub(super) fn port(&mut self, port: Option<u16>) {
        if let Some(port) = port {
            self.text.push(':');
            self.text.push_str(&port.to_string());
        }
    }

    pub(super) fn params(&mut self, params: &str) -> Result<TextSpan, UriError> {
        self.text.push(';');
        let start = self.position();
        for (index, param) in params.split(';').enumerate() {
            if index == Uri::MAX_PARAMETERS {
                return Err(UriError::TooMany);
            }
            if index > 0 {
                self.text.push(';');
            }
            let (name, value) = split_at_char(param, '=');
            if name.is_empty() {
                return Err(UriError::Parameter);
            }
            let name = self.lower_case(name, escape::in_param)?;
            if let Some(value) = value {
                self.text.push('=');
                match self.slice(name) {
                    "transport" | "user" => self.lower_case(value, escape::in_param)?,
                    _ => self.escaped(value, escape::in_param)?,
                };
            }
        }
        Ok(self.span_from(start))
    }

    pub(super) fn headers(&mut self, headers: &str) -> Result<TextSpan, UriError> {
        self.text.push('?');
        let start = self.position();
        for (index, header) in headers.split('&').enumerate() {
            if index == Uri::MAX_PARAMETERS {
                return Err(UriError::TooMany);
            }
            if index > 0 {
                self.text.push('&');
            }
            let (name, value) = header.split_once('=').ok_or(UriError::Header)?;
            if name.is_empty() {
                return Err(UriError::Header);
            }
            self.escaped(name, escape::in_header)?;
            self.text.push('=');
            self.escaped(value, escape::in_header)?;
        }
        Ok(self.span_from(start))
    }

    pub(super) fn finish(self) -> Result<Box<str>, UriError> {
        if self.text.len() > Uri::MAX_LENGTH {
            return Err(UriError::TooLong);
        }
        Ok(self.text.into_boxed_str())
    }

    fn escaped(&mut self, part: &str, literal: fn(u8) -> bool) -> Result<TextSpan, UriError> {
        let start = self.position();
        escape::push(&mut self.text, part, literal)?;
        Ok(self.span_from(start))
    }

    fn lower_case(&mut self, part: &str, literal: fn(u8) -> bool) -> Result<TextSpan, UriError> {
        let start = self.position();
        escape::push(&mut self.text, part, literal)?;
        let written = self.text.split_off(usize::from(start));
        // Letters that stood there as escapes are letters by now; the digits of those that still
        // do stay in upper case.
        let mut digits = 0_u8;
        for c in written.chars() {
            let is_digit = digits > 0;
            digits = if c == '%' {
                2
            } else {
                digits.saturating_sub(1)
            };
            self.text
                .push(if is_digit { c } else { c.to_ascii_lowercase() });
        }
        Ok(self.span_from(start))
    }

    pub(super) fn push(&mut self, part: &str) -> TextSpan {
        let start = self.position();
        self.text.push_str(part);
        self.span_from(start)
    }

    fn slice(&self, span: TextSpan) -> &str {
        &self.text[usize::from(span.start)..usize::from(span.end)]
    }

    fn span_from(&self, start: u16) -> TextSpan {
        TextSpan {
            start,
            end: self.position(),
        }
    }

    fn position(&self) -> u16 {
        // An escape triples a byte at most, so `MAX_LENGTH` keeps this far below the limit.
        u16::try_from(self.text.len()).unwrap_or(u16::MAX)
    }
}

/// RFC 1035 §2.3.4.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Cuts the port off.
fn split_port(hostport: &str) -> Result<(&str, Option<u16>), UriError> {
    let end_of_host = if hostport.starts_with('[') {
        hostport.find(']').ok_or(UriError::Host)? + 1
    } else {
        hostport.find(':').unwrap_or(hostport.len())
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
fn push_host(out: &mut String, host: &str) -> Result<(), UriError> {
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
