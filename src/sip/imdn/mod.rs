//! Receipts: `message/imdn+xml` (RFC 5438 §11.1).
//!
//! ```xml
//! <imdn xmlns="urn:ietf:params:xml:ns:imdn">
//!   <message-id>34jk324j</message-id>
//!   <datetime>2026-11-22T05:00:00Z</datetime>
//!   <delivery-notification><status><delivered/></status></delivery-notification>
//! </imdn>
//! ```
//!
//! Elements are known by their local names, whatever namespace they are put in. Linphone adds
//! `<reason code="415">…</reason>` to a status. What else there is, is passed over. A document with
//! a DTD or with an entity other than XML's own five is none.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

/// The media type of a receipt.
pub const MEDIA_TYPE: &str = "message/imdn+xml";

/// The largest receipt that is read, in bytes; real ones have a few hundred.
const MAX_LENGTH: usize = 16 * 1024;

/// The longest text of an element that is kept, in bytes.
const MAX_TEXT: usize = 512;

/// Why a body is no receipt.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ImdnError {
    /// Larger than is read.
    #[error("it is too large")]
    TooLarge,
    /// Not XML in UTF-8, or with a DTD.
    #[error("it is no XML")]
    Xml,
    /// Without the id of a message, or without a status that is known.
    #[error("it says nothing of a message")]
    Incomplete,
}

/// A receipt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Imdn {
    /// The message that it is for.
    pub message_id: String,
    /// What the notification is about.
    pub kind: NotificationKind,
    /// What it says.
    pub status: NotificationStatus,
    /// Why, as `415 Unsupported Media Type`, where the peer says so.
    pub reason: Option<String>,
}

/// What a notification is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotificationKind {
    /// Whether the message arrived.
    Delivery,
    /// Whether it was shown.
    Display,
    /// What a server on the way did with it.
    Processing,
}

/// What a notification says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotificationStatus {
    /// It arrived.
    Delivered,
    /// It was shown.
    Displayed,
    /// A server processed it.
    Processed,
    /// A server keeps it for later.
    Stored,
    /// It could not be delivered.
    Failed,
    /// The recipient does not say.
    Forbidden,
    /// Something went wrong.
    Error,
}

impl NotificationKind {
    const ALL: [Self; 3] = [Self::Delivery, Self::Display, Self::Processing];

    fn element(self) -> &'static str {
        match self {
            Self::Delivery => "delivery-notification",
            Self::Display => "display-notification",
            Self::Processing => "processing-notification",
        }
    }
}

impl NotificationStatus {
    const ALL: [Self; 7] = [
        Self::Delivered,
        Self::Displayed,
        Self::Processed,
        Self::Stored,
        Self::Failed,
        Self::Forbidden,
        Self::Error,
    ];

    fn element(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Displayed => "displayed",
            Self::Processed => "processed",
            Self::Stored => "stored",
            Self::Failed => "failed",
            Self::Forbidden => "forbidden",
            Self::Error => "error",
        }
    }
}

/// Reads a receipt.
pub fn parse(body: &[u8]) -> Result<Imdn, ImdnError> {
    if body.len() > MAX_LENGTH {
        return Err(ImdnError::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| ImdnError::Xml)?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut found = ImdnElements::default();
    loop {
        match reader.read_event().map_err(|_| ImdnError::Xml)? {
            Event::Start(element) => found.begin(&element)?,
            Event::Empty(element) => {
                found.begin(&element)?;
                found.end();
            }
            Event::End(_) => found.end(),
            Event::Text(text) => found.add(&text),
            Event::CData(text) => found.add(&text),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(c)) => found.add(c.encode_utf8(&mut [0; 4])),
                Ok(None) => {
                    found.add(resolve_predefined_entity(&reference).ok_or(ImdnError::Xml)?);
                }
                Err(_) => return Err(ImdnError::Xml),
            },
            Event::DocType(_) => return Err(ImdnError::Xml),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => return found.finish(),
        }
    }
}

/// What of a document has been found so far.
#[derive(Debug, Default)]
struct ImdnElements {
    depth: usize,
    /// Whether an element is read whose text is wanted, and which.
    reading: Option<Wanted>,
    /// The depth of that element.
    reading_depth: usize,
    message_id: String,
    /// The first notification, while and after it is read.
    kind: Option<NotificationKind>,
    is_in_notification: bool,
    status: Option<NotificationStatus>,
    code: String,
    reason: String,
}

/// An element whose text is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wanted {
    MessageId,
    Reason,
}

impl ImdnElements {
    fn begin(&mut self, element: &BytesStart<'_>) -> Result<(), ImdnError> {
        self.depth += 1;
        let name = element.local_name();
        let name = name.into_inner();
        match self.depth {
            1 if name == "imdn" => {}
            1 => return Err(ImdnError::Incomplete),
            2 if name == "message-id" && self.message_id.is_empty() => {
                self.read(Wanted::MessageId);
            }
            2 if self.kind.is_none() => {
                let mut kinds = NotificationKind::ALL.into_iter();
                self.kind = kinds.find(|kind| kind.element() == name);
                self.is_in_notification = self.kind.is_some();
            }
            4 if self.is_in_notification && self.status.is_none() => {
                let mut all = NotificationStatus::ALL.into_iter();
                self.status = all.find(|status| status.element() == name);
            }
            _ => {}
        }
        if name == "reason" && self.reading.is_none() {
            self.read(Wanted::Reason);
            let code = element.try_get_attribute("code");
            let code = code.map_err(|_| ImdnError::Xml)?;
            if let Some(code) =
                code.and_then(|code| code.normalized_value(XmlVersion::Implicit1_0).ok())
            {
                self.code.clear();
                push(&mut self.code, &code);
            }
        }
        Ok(())
    }

    fn read(&mut self, wanted: Wanted) {
        self.reading = Some(wanted);
        self.reading_depth = self.depth;
    }

    fn end(&mut self) {
        if self.reading.is_some() && self.reading_depth == self.depth {
            self.reading = None;
        }
        if self.depth == 2 {
            self.is_in_notification = false;
        }
        self.depth = self.depth.saturating_sub(1);
    }

    fn add(&mut self, text: &str) {
        match self.reading {
            Some(Wanted::MessageId) => push(&mut self.message_id, text),
            Some(Wanted::Reason) => push(&mut self.reason, text),
            None => {}
        }
    }

    fn finish(self) -> Result<Imdn, ImdnError> {
        if self.depth > 0 {
            return Err(ImdnError::Xml);
        }
        let message_id = self.message_id.trim();
        let (Some(kind), Some(status)) = (self.kind, self.status) else {
            return Err(ImdnError::Incomplete);
        };
        if message_id.is_empty() {
            return Err(ImdnError::Incomplete);
        }
        let mut reason = self.code.trim().to_owned();
        if !reason.is_empty() {
            push(&mut reason, " ");
        }
        push(&mut reason, self.reason.trim());
        let reason = reason.trim();
        Ok(Imdn {
            message_id: message_id.to_owned(),
            kind,
            status,
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
        })
    }
}

/// Adds what there is room for.
fn push(text: &mut String, more: &str) {
    let room = MAX_TEXT.saturating_sub(text.len());
    text.push_str(&more[..more.floor_char_boundary(room)]);
}

impl Imdn {
    /// The document, with this time of the message that it is for (RFC 3339).
    pub fn write(&self, datetime: &str) -> String {
        let reason = match &self.reason {
            Some(reason) => format!("<reason>{}</reason>", quick_xml::escape::escape(reason)),
            None => String::new(),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">\r\n\
             <message-id>{id}</message-id>\r\n<datetime>{datetime}</datetime>\r\n\
             <{kind}><status><{status}/>{reason}</status></{kind}>\r\n</imdn>\r\n",
            id = quick_xml::escape::escape(&self.message_id),
            kind = self.kind.element(),
            status = self.status.element(),
        )
    }
}

#[cfg(test)]
mod tests;
