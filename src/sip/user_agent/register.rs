//! How a user agent registers: RFC 3261 §10.2, RFC 5626 §4.2, RFC 3327, RFC 3608.

use std::io::Write as _;
use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::exchange::{Exchange, Purpose};
use super::{OutgoingRequest, UserAgent};
use crate::sip::digest::Rounds;
use crate::sip::headers::{Contact, NameAddr, find_outside, retry_after, split};
use crate::sip::output::{Event, Output, Response};
use crate::sip::parse::Message;
use crate::sip::registration::{RegistrationChange, RegistrationRefusal};
use crate::sip::{StatusCode, digest, parse, respond};

/// The longest registration believed: what a registrar grants beyond it is refreshed all the same.
const LONGEST_GRANT: Duration = Duration::from_secs(7 * 86_400);

/// Entries of a Service-Route that are kept: more hops than that no message needs.
const MAX_ROUTES: usize = 16;

/// The final response to a REGISTER.
pub(super) struct RegisterResponse<'a, 'm> {
    pub message: &'a Message<'m>,
    /// Why its challenge was not answered.
    pub refusal: Option<digest::Refusal>,
    /// Whether the REGISTER showed credentials.
    pub was_signed: bool,
}

impl UserAgent {
    /// Registers anew at once.
    pub fn reregister(&mut self, now: Instant) {
        self.registration.ask_now(now);
        self.register_if_due(now);
    }

    /// Leaves the registrar (RFC 3261 §10.2.2) until the next connection, also while a REGISTER is
    /// under way. [`Event::Left`] says when that is over.
    pub fn unregister(&mut self, now: Instant) {
        let asked = |exchange: &Exchange| exchange.purpose == Purpose::Register;
        let may_be_bound = self.registration.is_held() || self.exchanges.iter().any(asked);
        self.registration.leave();
        if self.transport.is_none() || !may_be_bound {
            return self.outputs.push_back(Output::Event(Event::Left));
        }
        self.register(now, Purpose::Leave, Duration::ZERO);
    }

    pub(super) fn register_if_due(&mut self, now: Instant) {
        let due = self.registration.wants_request() || self.registration.wants_refresh(now);
        if self.transport.is_some() && due {
            self.registration.asked();
            self.register(now, Purpose::Register, self.registration.expires());
        }
    }

    fn register(&mut self, now: Instant, purpose: Purpose, expires: Duration) {
        let cseq = self.next_register_cseq();
        let from_tag = self.token();
        let request = OutgoingRequest {
            method: "REGISTER",
            uri: self.settings.registrar.as_str().into(),
            call_id: self.register_call_id.clone(),
            head: self.register_head(&from_tag, expires.as_secs()),
            from_tag,
            cseq,
            body: bytes::Bytes::new(),
            fallback: None,
        };
        let exchange = Exchange {
            purpose,
            cseq,
            rounds: Rounds::default(),
            has_fallen_back: false,
            request: Box::new(request),
        };
        self.write(now, exchange);
    }

    /// RFC 3261 §10.2: each REGISTER of a Call-ID has a higher number than the one before.
    pub(super) fn next_register_cseq(&mut self) -> u32 {
        self.register_cseq += 1;
        self.register_cseq
    }

    fn register_head(&self, from_tag: &str, expires: u64) -> Vec<u8> {
        let settings = &self.settings;
        let (reg_id, supported) = if self.outbound {
            (format!("reg-id={};", settings.reg_id), "path, outbound")
        } else {
            (String::new(), "path")
        };
        let mut head = Vec::with_capacity(768);
        // Writing to memory cannot fail.
        let _ = write!(
            head,
            "Max-Forwards: 70\r\nTo: <{aor}>\r\nFrom: {from};tag={from_tag}\r\n\
             Call-ID: {call_id}\r\n\
             Contact: <sip:{user}@{host};transport=ws>;{reg_id}\
             +sip.instance=\"<urn:uuid:{instance}>\";expires={expires}\r\n\
             Expires: {expires}\r\nAllow: {allow}\r\nSupported: {supported}\r\n\
             User-Agent: {agent}\r\n",
            aor = settings.aor,
            from = settings.from,
            call_id = self.register_call_id,
            user = settings.contact_user,
            host = settings.via_host,
            reg_id = reg_id,
            supported = supported,
            instance = settings.instance_id,
            allow = respond::allow(settings),
            agent = settings.user_agent,
        );
        for (name, value) in &settings.extra_headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head
    }

    /// Takes the registrar's final response.
    pub(super) fn registered(
        &mut self,
        now: Instant,
        status: StatusCode,
        answer: RegisterResponse<'_, '_>,
    ) {
        let message = answer.message;
        let jitter = self.rng.random();
        if status == StatusCode::FIRST_HOP_LACKS_OUTBOUND_SUPPORT && self.outbound {
            // RFC 5626 §4.2.1: register again without it.
            self.outbound = false;
            self.registration.ask_again(now);
            return self.register_if_due(now);
        }
        let change = if status.is_success() {
            let granted = self.granted(message);
            if !granted.is_zero() {
                self.service_route = service_route(message);
            }
            self.registration.handle_granted(now, granted, jitter)
        } else {
            let seconds = |name| message.first(name).map(parse::text);
            let refusal = RegistrationRefusal {
                status: Some(status),
                retry_after: seconds("Retry-After").and_then(|text| retry_after(&text)),
                min_expires: seconds("Min-Expires").and_then(|text| retry_after(&text)),
            };
            self.registration.handle_refused(now, refusal, jitter)
        };
        if let Some(change) = change {
            self.tell(change, Some(answer));
        }
        self.register_if_due(now);
    }

    /// The registrar has not answered.
    pub(super) fn register_unanswered(&mut self, now: Instant) {
        let jitter = self.rng.random();
        let change = self
            .registration
            .handle_refused(now, RegistrationRefusal::default(), jitter);
        if let Some(change) = change {
            self.tell(change, None);
        }
    }

    /// How long our own binding lives, of all that the registrar lists (RFC 3261 §10.2.4): its
    /// `expires`, else the Expires header, else what was asked; zero when it is not listed.
    fn granted(&self, message: &Message<'_>) -> Duration {
        let instance = format!("urn:uuid:{}", self.settings.instance_id);
        let lines: Vec<_> = message.all("Contact").map(parse::text).collect();
        let user = |contact: &Contact<'_>| {
            let ours = self.settings.contact_user.as_str();
            contact.user() == Some(ours)
        };
        let of_this_flow = |contact: &Contact<'_>| {
            if contact.has_instance() {
                contact.is_flow(&instance, self.settings.reg_id)
            } else {
                user(contact)
            }
        };
        let bindings = || lines.iter().flat_map(|line| Contact::list(line));
        let flows = || bindings().filter(of_this_flow);
        // A registrar that does not know instances also lists what we were before a restart, and
        // some rewrite the address of what we are now.
        let Some(ours) = flows().find(user).or_else(|| flows().next()) else {
            return Duration::ZERO;
        };
        let header = || {
            let text = message.first("Expires").map(parse::text)?;
            retry_after(&text)
        };
        match ours.expires() {
            Some(seconds) => Duration::from_secs(seconds.into()),
            None => header().unwrap_or_else(|| self.registration.expires()),
        }
        .min(LONGEST_GRANT)
    }

    pub(super) fn tell(
        &mut self,
        change: RegistrationChange,
        answer: Option<RegisterResponse<'_, '_>>,
    ) {
        let failed = |retry_at| Event::RegistrationFailed {
            response: answer.as_ref().map(|answer| Response::of(answer.message)),
            was_signed: answer.as_ref().is_some_and(|answer| answer.was_signed),
            refusal: answer.and_then(|answer| answer.refusal),
            retry_at,
        };
        let events = match change {
            RegistrationChange::Registered { until } => [Some(Event::Registered { until }), None],
            RegistrationChange::Lost => [Some(Event::Unregistered), None],
            RegistrationChange::Failed { retry_at } => [Some(failed(retry_at)), None],
            RegistrationChange::Dropped { retry_at } => {
                [Some(Event::Unregistered), Some(failed(retry_at))]
            }
        };
        let events = events.into_iter().flatten().map(Output::Event);
        self.outputs.extend(events);
    }
}

/// RFC 3608 §5: where a request of ours goes first. Entries that are no addresses are left out.
fn service_route(message: &Message<'_>) -> Vec<String> {
    let lines: Vec<_> = message.all("Service-Route").map(parse::text).collect();
    let entries = lines.iter().flat_map(|line| split(line, ','));
    entries
        .map(str::trim)
        .filter(|entry| find_outside(entry, '<').is_some() && NameAddr::parse(entry).is_some())
        .take(MAX_ROUTES)
        .map(str::to_owned)
        .collect()
}
