//! Requests of peers in our words: a message that came in, or a receipt.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::agent::arrival::Inbound;
use crate::agent::identity::Identity;
use crate::agent::observer::NotTaken;
use crate::message::{
    Disposition, Envelope, MessageId, Receipt, ReceiptRequest, Received, RequestView, Sender,
    Timestamp, UndeliveredStatus,
};
use crate::sip::headers::{CSeq, NameAddr, split, unquote};
use crate::sip::imdn::{Imdn, NotificationKind, NotificationStatus};
use crate::sip::uri::{AnyUri, Uri};
use crate::sip::{Content, IncomingRequest, cpim};

/// What a request is translated with.
#[derive(Clone, Copy, Debug)]
pub(in crate::agent) struct InboundContext<'a> {
    /// The agent at which it came in.
    pub identity: &'a Identity,
    /// Our name for it, if it is a message.
    pub id: MessageId,
    pub now: Timestamp,
    /// Whether P-Asserted-Identity is believed.
    pub trust_asserted: bool,
}

/// What a request brings; or why it only needs a 200.
pub(in crate::agent) fn inbound(
    request: IncomingRequest,
    context: InboundContext<'_>,
) -> Result<Inbound, NotTaken> {
    match request.content {
        Content::Receipt(ref imdn) => receipt(imdn, &request, context).map(Inbound::Receipt),
        Content::Message { .. } => Ok(Inbound::Message(Box::new(received(request, context)))),
    }
}

fn received(mut request: IncomingRequest, context: InboundContext<'_>) -> Received {
    let InboundContext {
        identity,
        id,
        now,
        trust_asserted,
    } = context;
    let first = |name| request.first(name).unwrap_or_default();
    let cseq = CSeq::parse(first("CSeq").as_bytes()).map_or(0, |cseq| cseq.number);
    let from = NameAddr::parse(first("From"));
    let from_tag = from.and_then(|from| from.tag()).unwrap_or_default();
    let from_tag = from_tag.to_owned();
    let sender = Sender {
        uri: from.map_or_else(String::new, |from| canonical(from.uri)),
        display_name: from.and_then(|from| unquote(from.display_name)),
        asserted: asserted(&request).filter(|_| trust_asserted),
    };
    let to = NameAddr::parse(first("To")).map_or_else(String::new, |to| canonical(to.uri));
    let answers = answers(&request);
    let expired = is_expired(&request, now);
    let call_id = first("Call-ID").to_owned();
    let view = RequestView::cut(request.uri.as_str().into(), call_id, cseq, &request.headers);
    let envelope = request.envelope.take().map(envelope);
    let (content_type, body) = match request.content {
        Content::Message { content_type, body } => (content_type, body),
        // `inbound` takes these before.
        Content::Receipt(_) => (String::new(), Vec::new()),
    };
    Received {
        id,
        time: now,
        account: identity.account.clone(),
        agent: identity.id.clone(),
        from: sender,
        to,
        content_type,
        body,
        request: view,
        from_tag,
        answers,
        in_reply_to: None,
        envelope,
        expired,
    }
}

/// A URI in the one spelling that it has here; unchanged where it is no SIP URI.
fn canonical(uri: &str) -> String {
    AnyUri::parse(uri).map_or_else(|_| uri.to_owned(), |uri| uri.as_str().to_owned())
}

/// The first identity that the server asserts (RFC 3325 §9.1).
fn asserted(request: &IncomingRequest) -> Option<String> {
    let mut identities = request
        .all("P-Asserted-Identity")
        .flat_map(|line| split(line, ','));
    let address = NameAddr::parse(identities.next()?)?;
    Some(canonical(address.uri))
}

/// What In-Reply-To (RFC 3261 §20.21) names that can be an id of ours: our Call-IDs are those.
fn answers(request: &IncomingRequest) -> Vec<MessageId> {
    let names = request.all("In-Reply-To").flat_map(|line| line.split(','));
    let ids = names.filter_map(|name| name.trim().parse().ok());
    ids.take(Received::MAX_ANSWERS).collect()
}

/// Whether Date and Expires say that it is out of date (RFC 3428 §7).
fn is_expired(request: &IncomingRequest, now: Timestamp) -> bool {
    let sent = request.first("Date").map(httpdate::parse_http_date);
    let lifetime = request
        .first("Expires")
        .map(|text| text.trim().parse::<u32>());
    let (Some(Ok(sent)), Some(Ok(seconds))) = (sent, lifetime) else {
        return false;
    };
    let now = SystemTime::UNIX_EPOCH + now.since(Timestamp::EPOCH);
    let end = sent.checked_add(Duration::from_secs(seconds.into()));
    end.is_some_and(|end| end < now)
}

fn envelope(envelope: cpim::Envelope) -> Envelope {
    let asked = [
        (envelope.wants_delivered, ReceiptRequest::Delivered),
        (envelope.wants_displayed, ReceiptRequest::Displayed),
    ];
    let asked = asked.into_iter().filter(|(is_wanted, _)| *is_wanted);
    Envelope {
        from: envelope.from,
        to: envelope.to,
        date_time: envelope.date_time,
        subject: envelope.subject,
        message_id: envelope.message_id,
        receipts: asked.map(|(_, receipt)| receipt).collect(),
    }
}

/// A receipt that can be for a message of ours, and of a kind that is reported.
fn receipt(
    imdn: &Imdn,
    request: &IncomingRequest,
    context: InboundContext<'_>,
) -> Result<Receipt, NotTaken> {
    let message_id = imdn.message_id.parse();
    let message_id = message_id.map_err(|_| NotTaken::UnknownReceipt)?;
    let disposition = disposition(imdn).ok_or(NotTaken::OtherReceipt)?;
    let recipient = recipient(request).ok_or(NotTaken::UnknownReceipt)?;
    Ok(Receipt {
        message_id,
        time: context.now,
        account: context.identity.account.clone(),
        agent: context.identity.id.clone(),
        recipient,
        disposition,
    })
}

/// The events of a receipt; none of what servers on the way did, and of displays only that
/// there was one.
fn disposition(imdn: &Imdn) -> Option<Disposition> {
    let undelivered = |status| Disposition::Undelivered {
        status,
        reason: imdn.reason.clone(),
    };
    match (imdn.kind, imdn.status) {
        (NotificationKind::Delivery, NotificationStatus::Delivered) => Some(Disposition::Delivered),
        (NotificationKind::Delivery, NotificationStatus::Failed) => {
            Some(undelivered(UndeliveredStatus::Failed))
        }
        (NotificationKind::Delivery, NotificationStatus::Forbidden) => {
            Some(undelivered(UndeliveredStatus::Forbidden))
        }
        (NotificationKind::Delivery, NotificationStatus::Error) => {
            Some(undelivered(UndeliveredStatus::Error))
        }
        (NotificationKind::Display, NotificationStatus::Displayed) => Some(Disposition::Displayed),
        (
            NotificationKind::Delivery | NotificationKind::Display | NotificationKind::Processing,
            _,
        ) => None,
    }
}

/// The sender of a receipt, without what its device adds to the address; `None` where it is longer
/// than any that a message can be sent to.
fn recipient(request: &IncomingRequest) -> Option<Arc<str>> {
    let uri = NameAddr::parse(request.first("From")?)?.uri;
    if uri.len() > Uri::MAX_LENGTH {
        return None;
    }
    Some(match AnyUri::parse(uri) {
        Ok(AnyUri::Sip(uri)) => uri.address_of_record().as_str().into(),
        Ok(AnyUri::Other(_)) | Err(_) => uri.split(';').next().unwrap_or_default().into(),
    })
}

#[cfg(test)]
mod tests;
