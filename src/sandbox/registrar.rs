//! REGISTER (RFC 3261 §10.3, RFC 5626 §6).

use std::time::{Duration, Instant};

use crate::sip::headers::Contact;
use crate::sip::uri::Uri;
use crate::sip::{StatusCode, parse};

use super::location::{Binding, Unbound};
use super::request::{Reply, Request, address, plain};
use super::server::Server;

/// How long a binding lives that says nothing about it (RFC 3261 §10.3 step 7).
const DEFAULT_EXPIRES: u32 = 3600;

impl Server {
    /// Serves a REGISTER: `Ok` is the 200.
    pub(super) fn register(&mut self, now: Instant, request: &Request<'_>) -> Result<Reply, Reply> {
        let bad = || plain(StatusCode::BAD_REQUEST);
        let record = address(request.message.to).ok_or_else(bad)?;
        let user = record.user().ok_or_else(bad)?;
        if !self.is_ours(&record) {
            return Err(plain(StatusCode::NOT_FOUND));
        }
        let names = ("Authorization", "WWW-Authenticate");
        self.check_user(now, request, &record, names, StatusCode::UNAUTHORIZED)?;
        // Those who always answer the same cannot be registered over.
        if self.options.users.contains_key(user) {
            return Err(plain(StatusCode::FORBIDDEN));
        }
        self.change(now, request, user)?;
        self.remember(user);
        Ok((StatusCode::OK, self.bindings_of(now, request, user)))
    }

    fn change(&mut self, now: Instant, request: &Request<'_>, user: &str) -> Result<(), Reply> {
        let message = request.message;
        let expires = message
            .first_text("Expires")
            .and_then(|text| text.trim().parse().ok());
        let lines: Vec<String> = message.all("Contact").map(parse::text).collect();
        if lines.iter().any(|line| line.trim() == "*") {
            // RFC 3261 §10.3 step 6: alone, and to end them all.
            if lines.len() != 1 || expires != Some(0) {
                return Err(plain(StatusCode::BAD_REQUEST));
            }
            self.location.unbind_all(user);
            return Ok(());
        }
        for contact in lines.iter().flat_map(|line| Contact::list(line)) {
            if Uri::parse(contact.address.uri).is_err() {
                return Err(plain(StatusCode::BAD_REQUEST));
            }
            let seconds = contact.expires().or(expires).unwrap_or(DEFAULT_EXPIRES);
            let lifetime = self.lifetime(seconds)?;
            let call_id = message.call_id.unwrap_or_default();
            let (connection, until) = (request.connection, now + lifetime);
            let binding = Binding::read(&contact, connection, until, call_id, request.cseq.number);
            let max = self.options.max_bindings;
            let changed = match lifetime.is_zero() {
                true => self.location.unbind(user, &binding),
                false => self.location.bind(user, binding, max),
            };
            changed.map_err(refusal)?;
        }
        Ok(())
    }

    /// How long a binding lives that asks for so many seconds.
    fn lifetime(&self, seconds: u32) -> Result<Duration, Reply> {
        let (asked, min) = (
            Duration::from_secs(seconds.into()),
            self.options.min_expires,
        );
        if seconds > 0 && asked < min {
            let line = format!("Min-Expires: {}\r\n", min.as_secs());
            return Err((StatusCode::INTERVAL_TOO_BRIEF, line.into_bytes()));
        }
        Ok(asked.min(self.options.max_expires))
    }

    /// The headers of the 200: every binding, and what of RFC 5626 was done.
    fn bindings_of(&self, now: Instant, request: &Request<'_>, user: &str) -> Vec<u8> {
        let mut lines = String::new();
        let mut is_outbound = false;
        for binding in self.location.of(user, now) {
            lines.push_str(&binding.line(now));
            is_outbound |= binding.connection == request.connection && binding.flow.is_some();
        }
        lines.push_str("Supported: path, outbound\r\n");
        if is_outbound {
            // RFC 5626 §6: a flow was bound, and the client is to keep it alive.
            lines.push_str("Require: outbound\r\n");
        }
        lines.into_bytes()
    }
}

fn refusal(unbound: Unbound) -> Reply {
    match unbound {
        Unbound::OutOfOrder => plain(StatusCode::SERVER_INTERNAL_ERROR),
        Unbound::Full => (
            StatusCode::SERVICE_UNAVAILABLE,
            b"Retry-After: 30\r\n".to_vec(),
        ),
    }
}
