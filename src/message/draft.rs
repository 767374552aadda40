//! A message that was checked, and can be accepted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::accepted::{BodyEncoding, Message, Metadata, OnUnknown};
use super::addressing::{AddressError, Addressing, BodyRoom, Recipient};
use super::header::Header;
use super::id::MessageId;
use super::new_message::{Limits, NewMessage};
use super::time::Timestamp;
use super::trace::Trace;
use super::validate::Findings;
use super::violations::{Place, Violations};
use super::{validate, webhook};

/// A message that can be sent. There is no way to one but [`Draft::parse`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Draft {
    target: String,
    recipient: Recipient,
    body: Bytes,
    body_encoding: BodyEncoding,
    content_type: String,
    extra_headers: Vec<Header>,
    ttl: Duration,
    send_at: Option<Timestamp>,
    attempts: u32,
    on_unknown: OnUnknown,
    webhook: Option<Arc<str>>,
    metadata: Metadata,
}

impl Draft {
    /// Checks everything about a message that stands at this place. There is no draft when anything
    /// is wrong, be it with this message or with what was read before.
    ///
    /// Whether the body fits is not told here but by [`Draft::body_room`], because it has a status
    /// of its own (413); `now` is what `sendAt` is measured against.
    pub fn parse(
        new: NewMessage,
        addressing: &dyn Addressing,
        limits: &Limits,
        now: Timestamp,
        place: Place<'_>,
        violations: &mut Violations,
    ) -> Option<Self> {
        let findings = &mut Findings { place, violations };
        let recipient = resolve(&new, addressing, findings);
        let (body, body_encoding) = validate::body(new.body, new.body_encoding, findings);
        let content_type = validate::content_type(new.content_type, findings);
        let ttl = validate::ttl(new.ttl, limits, findings);
        let send_at = validate::send_at(new.send_at, limits, now, findings);
        let attempts = validate::attempts(new.attempts, limits, findings);
        let on_unknown = validate::on_unknown(new.on_unknown, limits, findings);
        let webhook = validate::webhook(new.webhook, limits, findings);
        validate::check_metadata(&new.metadata, findings);

        let (target, recipient) = (new.target?, recipient?);
        violations.is_empty().then(|| Self {
            target,
            recipient,
            body,
            body_encoding,
            content_type,
            extra_headers: new.extra_headers.into_headers(),
            ttl,
            send_at,
            attempts,
            on_unknown,
            webhook,
            metadata: new.metadata,
        })
    }

    /// The size of the body, decoded, in bytes.
    pub fn body_len(&self) -> usize {
        self.body.len()
    }

    /// How large the body may be.
    pub fn body_room(&self, addressing: &dyn Addressing) -> BodyRoom {
        addressing.body_room(&self.recipient, &self.extra_headers, &self.content_type)
    }

    /// The first of the extra headers that says who sends ([`Header::is_asserted`]).
    pub fn asserted(&self) -> Option<&Header> {
        self.extra_headers
            .iter()
            .find(|header| header.is_asserted())
    }

    /// Has what is posted to its webhook signed with the secret of this token.
    pub fn sign_as(&mut self, token: &str) {
        let signed = |url: Arc<str>| webhook::signed_by(&url, token);
        self.webhook = self.webhook.take().map(signed);
    }

    /// The account that must send it; `None` when any may.
    pub fn account(&self) -> Option<&Arc<str>> {
        self.recipient.account.as_ref()
    }

    /// Makes the draft a message: `id`, `now` and what led to it come from outside.
    pub fn accept(self, id: MessageId, now: Timestamp, trace: Option<Trace>) -> Message {
        Message {
            id,
            target: self.target,
            uri: self.recipient.uri,
            account: self.recipient.account,
            body: self.body,
            body_encoding: self.body_encoding,
            content_type: self.content_type,
            extra_headers: self.extra_headers,
            ttl: self.ttl,
            send_at: self.send_at,
            attempts: self.attempts,
            on_unknown: self.on_unknown,
            webhook: self.webhook,
            metadata: self.metadata,
            trace,
            created_at: now,
            expires_at: self.send_at.unwrap_or(now).max(now).plus(self.ttl),
        }
    }
}

/// Whom the message goes to. A sender that is no account does not hide a mistake in the target.
fn resolve(
    new: &NewMessage,
    addressing: &dyn Addressing,
    findings: &mut Findings<'_>,
) -> Option<Recipient> {
    let target = new.target.as_deref()?;
    let resolved = match addressing.resolve(target, new.from.as_deref()) {
        Err(AddressError::From(detail)) => {
            findings.add("from", detail);
            addressing.resolve(target, None)
        }
        resolved => resolved,
    };
    match resolved {
        Ok(recipient) => Some(recipient),
        Err(AddressError::Target(detail)) => {
            findings.add("target", detail);
            None
        }
        // Said already: no account is configured.
        Err(AddressError::From(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Knows the account `sip:alice@a.example`, and refuses the target `nobody`.
    struct Book;

    impl Addressing for Book {
        fn resolve(&self, target: &str, from: Option<&str>) -> Result<Recipient, AddressError> {
            if from.is_some_and(|from| from != "sip:alice@a.example") {
                return Err(AddressError::From("no such account".to_owned()));
            }
            if target == "nobody" {
                return Err(AddressError::Target("no such target".to_owned()));
            }
            Ok(Recipient {
                uri: format!("sip:{target}@a.example").into(),
                account: from.map(Into::into),
            })
        }

        fn body_room(&self, _: &Recipient, _: &[Header], _: &str) -> BodyRoom {
            BodyRoom {
                left: None,
                max_message: 0,
                setting: "",
            }
        }

        fn account(&self, from: &str) -> Option<Arc<str>> {
            Some(from.into())
        }
    }

    fn limits() -> Limits {
        Limits {
            ttl: Duration::from_secs(3_600),
            max_ttl: Duration::from_secs(86_400),
            max_schedule: Duration::from_secs(30 * 86_400),
            attempts: 3,
            max_attempts: 10,
            on_unknown: OnUnknown::Resend,
            webhook_secret: true,
        }
    }

    fn now() -> Timestamp {
        "2026-11-22T05:00:00.000Z".parse().unwrap()
    }

    fn new() -> NewMessage {
        NewMessage {
            target: Some("bob".to_owned()),
            body: Some("Hello".to_owned()),
            ..NewMessage::default()
        }
    }

    fn parse(change: impl FnOnce(&mut NewMessage)) -> Result<Message, Vec<String>> {
        let mut message = new();
        change(&mut message);
        let draft = check(message, &limits());
        draft
            .map(|draft| draft.accept(MessageId::new(uuid::Uuid::from_u128(1)), now(), None))
            .map_err(|violations| {
                let told = violations.told().iter();
                told.map(|one| one.pointer.clone()).collect()
            })
    }

    fn check(message: NewMessage, limits: &Limits) -> Result<Draft, Violations> {
        let mut violations = Violations::default();
        let place = Place::Document;
        let draft = Draft::parse(message, &Book, limits, now(), place, &mut violations);
        draft.ok_or(violations)
    }

    fn refused(change: impl FnOnce(&mut NewMessage)) -> Vec<String> {
        parse(change).unwrap_err()
    }

    #[test]
    fn what_a_client_does_not_say_has_a_default() {
        let message = parse(|_| {}).unwrap();
        assert_eq!(message.content_type, "text/plain");
        assert_eq!(message.ttl, Duration::from_secs(3_600));
        assert_eq!(message.expires_at, now().plus(message.ttl));
        assert_eq!(
            (message.attempts, message.on_unknown),
            (3, OnUnknown::Resend)
        );
        assert_eq!((message.send_at, message.account), (None, None));
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_place() {
        let pointers = refused(|new| {
            new.target = Some("nobody".to_owned());
            new.body = Some("=".to_owned());
            new.body_encoding = Some("base64".to_owned());
            new.content_type = Some("text".to_owned());
            new.ttl = Some(0);
            new.send_at = Some("soon".to_owned());
            new.attempts = Some(11);
            new.on_unknown = Some("hope".to_owned());
            new.metadata = Metadata::from([("a/b~".to_owned(), "x".repeat(513))]);
        });
        let places = [
            "/target",
            "/body",
            "/contentType",
            "/ttl",
            "/sendAt",
            "/attempts",
            "/onUnknown",
            "/metadata/a~1b~0",
        ];
        assert_eq!(pointers, places);
    }

    #[test]
    fn a_sender_that_is_no_account_is_refused() {
        assert_eq!(
            refused(|new| new.from = Some("sip:eve@a.example".to_owned())),
            ["/from"]
        );
        let sender = Some("sip:alice@a.example".to_owned());
        assert!(parse(|new| new.from = sender).unwrap().account.is_some());
    }

    #[test]
    fn base64_is_any_bytes_and_comes_back_as_it_was_written() {
        let message = parse(|new| {
            new.body = Some("AP+A".to_owned());
            new.body_encoding = Some("base64".to_owned());
        })
        .unwrap();
        assert_eq!(&*message.body, [0x00, 0xff, 0x80]);
        assert_eq!(message.body_text(), "AP+A");
        for broken in ["AP+", "AP-A", "AP+A\n", "===="] {
            let pointers = refused(|new| {
                new.body = Some(broken.to_owned());
                new.body_encoding = Some("base64".to_owned());
            });
            assert_eq!(pointers, ["/body"], "{broken}");
        }
        assert_eq!(
            refused(|new| new.body_encoding = Some("utf8".to_owned())),
            ["/bodyEncoding"]
        );
    }

    #[test]
    fn m4_a_media_type_is_checked_and_kept_as_it_is() {
        for fits in [
            "text/plain",
            "text/plain;charset=utf-8",
            "text/plain; charset=\"utf-8\"",
            "application/im-iscomposing+xml",
            "multipart/mixed;boundary=\"a;b\\\"c\"",
            "application/x.y-z",
        ] {
            let message = parse(|new| new.content_type = Some(fits.to_owned())).unwrap();
            assert_eq!(message.content_type, fits);
        }
        for broken in [
            "",
            "text",
            "text/",
            "/plain",
            "text/plain;",
            "text/plain;charset",
            "text/plain;=x",
            "text/plain;charset=\"x",
            "te xt/plain",
            "text/plain\r\nX: y",
            " text/plain",
            "*/é",
        ] {
            let pointers = refused(|new| new.content_type = Some(broken.to_owned()));
            assert_eq!(pointers, ["/contentType"], "{broken:?}");
        }
    }

    #[test]
    fn times_lie_within_what_the_operator_allows() {
        let later = "2026-12-20T18:00:00Z";
        let message = parse(|new| new.send_at = Some(later.to_owned())).unwrap();
        assert_eq!(
            message.expires_at,
            later.parse::<Timestamp>().unwrap().plus(message.ttl)
        );
        // One that is over already is sent now.
        let past = parse(|new| new.send_at = Some("2020-01-01T00:00:00Z".to_owned())).unwrap();
        assert_eq!(past.expires_at, now().plus(past.ttl));
        assert_eq!(
            refused(|new| new.send_at = Some("2027-01-24T00:00:00Z".to_owned())),
            ["/sendAt"]
        );
        assert!(parse(|new| new.ttl = Some(86_400)).is_ok());
        for ttl in [0, 86_401, u64::MAX] {
            assert_eq!(refused(|new| new.ttl = Some(ttl)), ["/ttl"], "{ttl}");
        }
    }

    #[test]
    fn attempts_and_headers_and_metadata_are_bounded() {
        assert!(parse(|new| new.attempts = Some(10)).is_ok());
        for attempts in [0, 11, u64::MAX] {
            assert_eq!(refused(|new| new.attempts = Some(attempts)), ["/attempts"]);
        }
        let pair = |n: usize| (format!("k{n}"), "v".to_owned());
        assert!(parse(|new| new.metadata = (0..16).map(pair).collect()).is_ok());
        assert_eq!(
            refused(|new| new.metadata = (0..17).map(pair).collect()),
            ["/metadata"]
        );
    }

    #[test]
    fn a_sender_that_is_no_account_does_not_hide_a_target_that_is_none() {
        let pointers = refused(|new| {
            new.from = Some("sip:eve@a.example".to_owned());
            new.target = Some("nobody".to_owned());
        });
        assert_eq!(pointers, ["/from", "/target"]);
    }

    #[test]
    fn the_key_of_metadata_has_no_control_characters() {
        for key in ["a\0b", "\n", "\u{7f}", "\u{9b}"] {
            let pair = (key.to_owned(), "v".to_owned());
            let pointers = refused(|new| new.metadata = Metadata::from([pair]));
            assert_eq!(pointers, [format!("/metadata/{key}")]);
        }
    }

    #[test]
    fn a_webhook_is_signed() {
        let hook = || NewMessage {
            webhook: Some("https://app.example/hook?x=1".to_owned()),
            ..new()
        };
        assert!(check(hook(), &limits()).is_ok());
        let unsigned = Limits {
            webhook_secret: false,
            ..limits()
        };
        let violations = check(hook(), &unsigned).unwrap_err();
        assert!(violations.told()[0].detail.contains("webhooks.secret"));
    }
}
