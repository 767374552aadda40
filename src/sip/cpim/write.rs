//! An envelope that asks for receipts (RFC 5438 §7.1.1).

use super::IMDN_NAMESPACE;
use crate::sip::headers::NameAddr;
use crate::sip::uri::Uri;
use crate::sip::write;

/// A body to be put into an envelope.
///
/// Phones compare From and To with those of the SIP request, and without ports; they read
/// notifications only where a blank follows the comma.
#[derive(Clone, Copy, Debug)]
pub struct WrappedBody<'a> {
    /// From of the SIP request, without its tag.
    pub from: &'a str,
    /// To of the SIP request.
    pub to: &'a str,
    /// RFC 3339.
    pub date_time: &'a str,
    /// What receipts will name.
    pub message_id: &'a str,
    /// Whether a receipt for its delivery is wanted, or for its failure.
    pub wants_delivered: bool,
    /// Whether a receipt is wanted when it is shown.
    pub wants_displayed: bool,
    /// Of the body.
    pub content_type: &'a str,
    /// Any bytes.
    pub body: &'a [u8],
}

impl WrappedBody<'_> {
    /// The envelope with the body.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.body.len());
        let from = without_port(self.from);
        let to = without_port(self.to);
        let notifications = match (self.wants_delivered, self.wants_displayed) {
            (true, true) => "positive-delivery, negative-delivery, display",
            (true, false) => "positive-delivery, negative-delivery",
            (false, true) => "display",
            (false, false) => "",
        };
        let namespace = ["imdn <", IMDN_NAMESPACE, ">"].concat();
        for (name, value) in [
            ("From", from.as_str()),
            ("To", &to),
            ("DateTime", self.date_time),
            ("NS", &namespace),
            ("imdn.Message-ID", self.message_id),
            ("imdn.Disposition-Notification", notifications),
        ] {
            write::header(&mut out, name, value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        write::header(&mut out, "Content-Type", self.content_type.as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.body);
        out
    }
}

/// An address whose URI has no port; unchanged where that is no SIP URI.
pub fn without_port(address: &str) -> String {
    let uri = NameAddr::parse(address).map(|address| address.uri);
    let parsed = uri.and_then(|uri| Uri::parse(uri).ok());
    let (Some(uri), Some(parsed)) = (uri, parsed) else {
        return address.to_owned();
    };
    address.replacen(uri, &parsed.without_port(), 1)
}
