//! Registered users, and the connections that lead to them: REGISTER (RFC 3261 §10.3, RFC 5626 §6).

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::sip::headers::{Contact, param};
use crate::sip::uri::Uri;
use crate::sip::{StatusCode, parse};

use super::connection::ConnectionId;
use super::options::{Options, Reply};
use super::request::ServedRequest;

/// How long a binding lives that does not say (RFC 3261 §10.3 step 7).
const DEFAULT_EXPIRES: u32 = 3600;

/// Bindings of one user at most.
const MAX_BINDINGS: usize = 256;

/// The bindings of all users. The server has checked who registers.
pub(super) struct Bindings {
    /// The newest of a user is the last.
    by_user: HashMap<String, Vec<Binding>>,
    /// The users bound to a connection, and some that were since the last sweep.
    users: HashMap<ConnectionId, HashSet<String>>,
    count: usize,
    min_expires: Duration,
    max_expires: Duration,
    max_bindings: usize,
}

impl Bindings {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            by_user: HashMap::new(),
            users: HashMap::new(),
            count: 0,
            min_expires: options.min_expires,
            max_expires: options.max_expires,
            max_bindings: options.max_bindings,
        }
    }

    /// Serves a REGISTER for this user: `Ok` is the 200.
    pub(super) fn register(
        &mut self,
        now: Instant,
        request: &ServedRequest<'_>,
        user: &str,
    ) -> Result<Reply, Reply> {
        self.change(now, request, user)?;
        Ok(Reply::new(StatusCode::OK).with(self.bindings_of(now, request, user)))
    }

    /// The newest binding of a user.
    pub(super) fn newest(&self, user: &str, now: Instant) -> Option<&Binding> {
        self.of(user, now).next_back()
    }

    fn change(
        &mut self,
        now: Instant,
        request: &ServedRequest<'_>,
        user: &str,
    ) -> Result<(), Reply> {
        let message = request.message;
        let expires = message
            .first_text("Expires")
            .and_then(|text| text.trim().parse().ok());
        let lines: Vec<String> = message.all("Contact").map(parse::text).collect();
        if lines.iter().any(|line| line.trim() == "*") {
            // RFC 3261 §10.3 step 6: alone, and to end them all.
            if lines.len() != 1 || expires != Some(0) {
                return Err(Reply::new(StatusCode::BAD_REQUEST));
            }
            self.unbind_all(user);
            return Ok(());
        }
        for contact in lines.iter().flat_map(|line| Contact::list(line)) {
            if Uri::parse(contact.address.uri).is_err() {
                return Err(Reply::new(StatusCode::BAD_REQUEST));
            }
            let seconds = contact.expires().or(expires).unwrap_or(DEFAULT_EXPIRES);
            let lifetime = self.lifetime(seconds)?;
            let call_id = message.call_id.unwrap_or_default();
            let (connection, until) = (request.connection, now + lifetime);
            let binding = Binding::read(&contact, connection, until, call_id, request.cseq.number);
            if lifetime.is_zero() {
                self.unbind(user, &binding)?;
            } else {
                self.bind(user, binding)?;
            }
        }
        Ok(())
    }

    /// How long a binding lives that asks for so many seconds.
    fn lifetime(&self, seconds: u32) -> Result<Duration, Reply> {
        let (asked, min) = (Duration::from_secs(seconds.into()), self.min_expires);
        if seconds > 0 && asked < min {
            let line = format!("Min-Expires: {}\r\n", min.as_secs());
            return Err(Reply::new(StatusCode::INTERVAL_TOO_BRIEF).with(line));
        }
        Ok(asked.min(self.max_expires))
    }

    /// The headers of the 200: every binding, and what of RFC 5626 was done.
    fn bindings_of(&self, now: Instant, request: &ServedRequest<'_>, user: &str) -> String {
        let mut lines = String::new();
        let mut is_outbound = false;
        for binding in self.of(user, now) {
            lines.push_str(&binding.line(now));
            is_outbound |= binding.connection == request.connection && binding.flow.is_some();
        }
        lines.push_str("Supported: path, outbound\r\n");
        if is_outbound {
            // RFC 5626 §6: a flow was bound, and the client is to keep it alive.
            lines.push_str("Require: outbound\r\n");
        }
        lines
    }

    /// Every binding of a user that is not over, the newest last.
    pub(super) fn of(&self, user: &str, now: Instant) -> impl DoubleEndedIterator<Item = &Binding> {
        let all = self.by_user.get(user).into_iter().flatten();
        all.filter(move |binding| binding.until > now)
    }

    /// Makes a binding, or replaces the one it is a refreshment of.
    fn bind(&mut self, user: &str, binding: Binding) -> Result<(), Reply> {
        let known = self.by_user.get(user).map(Vec::as_slice);
        let known = known.unwrap_or_default();
        let replaced = known.iter().find(|known| known.is_same(&binding));
        if replaced.is_some_and(|replaced| replaced.is_newer_than(&binding)) {
            return Err(out_of_order());
        }
        if replaced.is_none() && (known.len() >= MAX_BINDINGS || self.count >= self.max_bindings) {
            let full = Reply::new(StatusCode::SERVICE_UNAVAILABLE);
            return Err(full.with("Retry-After: 30\r\n"));
        }
        self.keep(user, |known| !known.is_same(&binding));
        let users = self.users.entry(binding.connection).or_default();
        users.insert(user.to_owned());
        let bindings = self.by_user.entry(user.to_owned()).or_default();
        bindings.push(binding);
        self.count += 1;
        Ok(())
    }

    /// Ends the binding that this one names.
    fn unbind(&mut self, user: &str, binding: &Binding) -> Result<(), Reply> {
        let known = self.by_user.get(user).into_iter().flatten();
        let mut known = known.filter(|known| known.is_same(binding));
        if known.any(|known| known.is_newer_than(binding)) {
            return Err(out_of_order());
        }
        self.keep(user, |known| !known.is_same(binding));
        Ok(())
    }

    /// Ends every binding of a user.
    fn unbind_all(&mut self, user: &str) {
        if let Some(gone) = self.by_user.remove(user) {
            self.count -= gone.len();
        }
    }

    /// Ends every binding of a connection: without the connection it reaches no user agent.
    pub(super) fn disconnect(&mut self, connection: ConnectionId) {
        for user in self.users.remove(&connection).unwrap_or_default() {
            self.keep(&user, |binding| binding.connection != connection);
        }
    }

    pub(super) fn sweep(&mut self, now: Instant) {
        self.users.clear();
        self.count = 0;
        self.by_user.retain(|user, bindings| {
            bindings.retain(|binding| binding.until > now);
            self.count += bindings.len();
            for binding in &*bindings {
                let users = self.users.entry(binding.connection).or_default();
                users.insert(user.clone());
            }
            !bindings.is_empty()
        });
    }

    /// Keeps only those bindings of a user.
    fn keep(&mut self, user: &str, wanted: impl Fn(&Binding) -> bool) {
        let Some(bindings) = self.by_user.get_mut(user) else {
            return;
        };
        let before = bindings.len();
        bindings.retain(wanted);
        self.count -= before - bindings.len();
        if bindings.is_empty() {
            self.by_user.remove(user);
        }
    }
}

/// The REGISTER was sent before the one that made the binding (RFC 3261 §10.3 step 7).
fn out_of_order() -> Reply {
    Reply::new(StatusCode::SERVER_INTERNAL_ERROR)
}

/// A registered address of a user, with the connection that leads there.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    /// The Contact's URI, as written: a user agent knows itself by it.
    pub contact: String,
    /// `+sip.instance`, as written, quotes and all.
    pub instance: Option<String>,
    /// `reg-id`.
    pub flow: Option<u32>,
    /// Where it came from, and requests go to.
    pub connection: ConnectionId,
    /// When it is over.
    pub until: Instant,
    /// Of the REGISTER: a later one of the same Call-ID must have a higher CSeq.
    pub call_id: Vec<u8>,
    pub cseq: u32,
}

impl Binding {
    /// Reads one of the Contacts of a REGISTER. What it asks for may be shortened.
    fn read(
        contact: &Contact<'_>,
        connection: ConnectionId,
        until: Instant,
        call_id: &[u8],
        cseq: u32,
    ) -> Self {
        let params = contact.address.params;
        Self {
            contact: contact.address.uri.to_owned(),
            instance: param(params, "+sip.instance").map(str::to_owned),
            flow: param(params, "reg-id").and_then(|id| id.parse().ok()),
            connection,
            until,
            call_id: call_id.to_vec(),
            cseq,
        }
    }

    /// The Contact of the response.
    fn line(&self, now: Instant) -> String {
        let left = self.until.saturating_duration_since(now);
        let seconds = (left + Duration::from_millis(500)).as_secs();
        let mut line = format!("Contact: <{}>;expires={seconds}", self.contact);
        if let Some(instance) = &self.instance {
            line.push_str(&format!(";+sip.instance=\"{instance}\""));
        }
        if let Some(flow) = self.flow {
            line.push_str(&format!(";reg-id={flow}"));
        }
        line + "\r\n"
    }

    /// RFC 5626 §6: the same flow of the same instance, else the same address.
    fn is_same(&self, other: &Self) -> bool {
        match (&self.instance, self.flow, &other.instance, other.flow) {
            (Some(ours), Some(flow), Some(theirs), Some(other)) => ours == theirs && flow == other,
            _ => match (Uri::parse(&self.contact), Uri::parse(&other.contact)) {
                (Ok(ours), Ok(theirs)) => ours.is_equivalent(&theirs),
                _ => self.contact == other.contact,
            },
        }
    }

    fn is_newer_than(&self, other: &Self) -> bool {
        self.call_id == other.call_id && self.cseq >= other.cseq
    }
}
