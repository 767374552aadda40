//! What scripted users send back: `echo` the body that came, `reader` its receipts (RFC 5438).

use std::time::Duration;

use crate::sip::parse;
use crate::sip::parse::Message;
use crate::sip::write::header;

/// How long `reader` takes to look at a message.
const READING: Duration = Duration::from_secs(1);

/// A MESSAGE that a scripted user sends to a user who wrote to it.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct ScriptedMessage {
    /// How long after the answer it is sent.
    pub(super) after: Duration,
    /// Header lines, from Content-Type on.
    headers: Vec<u8>,
    body: Vec<u8>,
}

impl ScriptedMessage {
    /// The body that came, as a reply to its request.
    pub(super) fn echo(request: &Message<'_>) -> Self {
        let mut headers = Vec::new();
        if let Some(call_id) = request.call_id {
            header(&mut headers, "In-Reply-To", call_id);
        }
        for name in ["Content-Type", "Content-Encoding"] {
            if let Some(value) = request.first(name) {
                header(&mut headers, name, value);
            }
        }
        Self {
            after: Duration::ZERO,
            headers,
            body: request.body.to_vec(),
        }
    }

    /// What a phone reports of a message that it got and a person read.
    pub(super) fn receipts(request: &Message<'_>) -> [Self; 2] {
        let id = message_id(request);
        [
            Self::receipt(Duration::ZERO, &id, "delivery", "delivered"),
            Self::receipt(READING, &id, "display", "displayed"),
        ]
    }

    fn receipt(after: Duration, id: &str, notification: &str, status: &str) -> Self {
        let mut headers = Vec::new();
        header(&mut headers, "Content-Type", b"message/imdn+xml");
        header(&mut headers, "Content-Disposition", b"notification");
        let id = id.replace('&', "&amp;").replace('<', "&lt;");
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">\r\n\
             <message-id>{id}</message-id>\r\n\
             <{notification}-notification><status><{status}/></status>\
             </{notification}-notification>\r\n</imdn>\r\n"
        );
        Self {
            after,
            headers,
            body: body.into_bytes(),
        }
    }

    /// The request that takes it to a binding. `random` is where its tag and Call-ID come from:
    /// the same for every binding of the recipient, as a proxy forks a request.
    pub(super) fn frame(&self, destination: &Destination<'_>) -> Vec<u8> {
        let Destination {
            contact,
            domain,
            from,
            to,
            random,
            branch,
        } = destination;
        let mut frame = format!(
            "MESSAGE {contact} SIP/2.0\r\n\
             Via: SIP/2.0/WS {domain};branch=z9hG4bK-sandbox-{branch:016x}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:{from}@{domain}>;tag={:016x}\r\n\
             To: <sip:{to}@{domain}>\r\n\
             Call-ID: {random:032x}\r\n\
             CSeq: 1 MESSAGE\r\n",
            random >> 64
        )
        .into_bytes();
        frame.extend_from_slice(&self.headers);
        let length = self.body.len().to_string();
        header(&mut frame, "Content-Length", length.as_bytes());
        frame.extend_from_slice(b"\r\n");
        frame.extend_from_slice(&self.body);
        frame
    }
}

/// The sender and the recipient of a message, and the binding that it goes to.
pub(super) struct Destination<'a> {
    pub(super) contact: &'a str,
    pub(super) domain: &'a str,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    /// Of the request.
    pub(super) random: u128,
    /// Of the request to this binding.
    pub(super) branch: u64,
}

/// The id that receipts name: what the CPIM wrapper says (RFC 5438 §6.3), or the Call-ID, as phones
/// do for messages without one.
fn message_id(request: &Message<'_>) -> String {
    let is_wrapped = request
        .first_text("Content-Type")
        .is_some_and(|value| value.to_ascii_lowercase().starts_with("message/cpim"));
    let wrapper = String::from_utf8_lossy(request.body);
    let mut lines = wrapper.lines().filter(|_| is_wrapped);
    lines
        .find_map(|line| line.strip_prefix("imdn.Message-ID:"))
        .map_or_else(
            || request.call_id.map(parse::text).unwrap_or_default(),
            |id| id.trim().to_owned(),
        )
}
