//! A message that was checked, and can be accepted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::accepted::BodyEncoding;
use super::accepted::Message;
use super::accepted::Metadata;
use super::accepted::OnUnknown;
use super::addressing::AddressError;
use super::addressing::Addressing;
use super::addressing::BodyRoom;
use super::addressing::Recipient;
use super::header::Header;
use super::id::MessageId;
use super::members;
use super::members::Findings;
use super::new_message::Limits;
use super::new_message::NewMessage;
use super::new_message::Violation;
use super::time::Timestamp;
use super::trace::Trace;

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
    /// Checks everything about a message, or lists everything that is wrong with it.
    ///
    /// Whether the body fits is not told here but by [`Draft::body_room`], because it has a status
    /// of its own (413); `now` is what `sendAt` is measured against.
    pub fn parse(
        new: NewMessage,
        addressing: &dyn Addressing,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Self, Vec<Violation>> {
        let mut findings = Findings::default();
        let recipient = match addressing.resolve(&new.target, new.from.as_deref()) {
            Ok(recipient) => Some(recipient),
            Err(AddressError::Target(detail)) => {
                findings.add("/target", detail);
                None
            }
            Err(AddressError::From(detail)) => {
                findings.add("/from", detail);
                None
            }
        };
        let (body, body_encoding) = members::body(new.body, new.body_encoding, &mut findings);
        let content_type = members::content_type(new.content_type, &mut findings);
        let extra_headers = members::headers(new.extra_headers, &mut findings);
        let ttl = members::ttl(new.ttl, limits, &mut findings);
        let send_at = members::send_at(new.send_at, limits, now, &mut findings);
        let attempts = members::attempts(new.attempts, limits, &mut findings);
        let on_unknown = members::on_unknown(new.on_unknown, limits, &mut findings);
        let webhook = members::webhook(new.webhook, limits, &mut findings);
        members::check_metadata(&new.metadata, &mut findings);

        match recipient {
            Some(recipient) if findings.is_empty() => Ok(Self {
                target: new.target,
                recipient,
                body,
                body_encoding,
                content_type,
                extra_headers,
                ttl,
                send_at,
                attempts,
                on_unknown,
                webhook,
                metadata: new.metadata,
            }),
            _ => Err(findings.into_violations()),
        }
    }

    /// The size of the body, decoded, in bytes.
    pub fn body_len(&self) -> usize {
        self.body.len()
    }

    /// How large the body may be.
    pub fn body_room(&self, addressing: &dyn Addressing) -> BodyRoom {
        addressing.body_room(&self.recipient, &self.extra_headers, &self.content_type)
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

#[cfg(test)]
mod tests {
    use super::super::new_message::HeaderLine;
    use super::super::new_message::NewHeader;
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
            target: "bob".to_owned(),
            body: "Hello".to_owned(),
            ..NewMessage::default()
        }
    }

    fn parse(change: impl FnOnce(&mut NewMessage)) -> Result<Message, Vec<String>> {
        let mut message = new();
        change(&mut message);
        match Draft::parse(message, &Book, &limits(), now()) {
            Ok(draft) => Ok(draft.accept(MessageId::new(uuid::Uuid::from_u128(1)), now(), None)),
            Err(violations) => Err(violations.into_iter().map(|one| one.pointer).collect()),
        }
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
            new.target = "nobody".to_owned();
            new.body = "=".to_owned();
            new.body_encoding = Some("base64".to_owned());
            new.content_type = Some("text".to_owned());
            new.extra_headers = vec![NewHeader {
                pointer: "/extraHeaders/0".to_owned(),
                line: HeaderLine::Whole("Via: x".to_owned()),
            }];
            new.ttl = Some(0);
            new.send_at = Some("soon".to_owned());
            new.attempts = Some(11);
            new.on_unknown = Some("hope".to_owned());
            new.webhook = Some("ftp://a.example".to_owned());
            new.metadata = Metadata::from([("a/b~".to_owned(), "x".repeat(513))]);
        });
        let places = [
            "/target",
            "/body",
            "/contentType",
            "/extraHeaders/0",
            "/ttl",
            "/sendAt",
            "/attempts",
            "/onUnknown",
            "/webhook",
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
            new.body = "AP+A".to_owned();
            new.body_encoding = Some("base64".to_owned());
        })
        .unwrap();
        assert_eq!(&*message.body, [0x00, 0xff, 0x80]);
        assert_eq!(message.body_text(), "AP+A");
        for broken in ["AP+", "AP-A", "AP+A\n", "===="] {
            let pointers = refused(|new| {
                new.body = broken.to_owned();
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
        let header = |n: usize| NewHeader {
            pointer: format!("/extraHeaders/{n}"),
            line: HeaderLine::Pair(format!("X-{n}"), "v".to_owned()),
        };
        assert!(parse(|new| new.extra_headers = (0..64).map(header).collect()).is_ok());
        assert_eq!(
            refused(|new| new.extra_headers = (0..65).map(header).collect()),
            ["/extraHeaders"]
        );
    }

    #[test]
    fn a_webhook_is_a_url_without_a_user_and_is_signed() {
        let hook = |url: &str| parse(|new| new.webhook = Some(url.to_owned()));
        assert!(hook("https://app.example/hook?x=1").is_ok());
        for broken in [
            "app.example",
            "ftp://a.example/",
            "https://",
            "https://u:p@a.example/",
        ] {
            assert_eq!(hook(broken).unwrap_err(), ["/webhook"], "{broken}");
        }
        let unsigned = Limits {
            webhook_secret: false,
            ..limits()
        };
        let mut message = new();
        message.webhook = Some("https://app.example/hook".to_owned());
        let violations = Draft::parse(message, &Book, &unsigned, now()).unwrap_err();
        assert!(violations[0].detail.contains("webhooks.secret"));
    }
}
