//! `POST /messages`: takes a message in, and answers in one of three forms.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::access::Caller;
use super::error::ApiError;
use super::negotiate::Form;
use super::new_message::{Rules, Unaddressed};
use super::params::Query;
use super::replies::Replies;
use super::trace::TraceOf;
use super::until::{StreamEnd, Until};
use super::value::Value;
use super::view::MessageView;
use super::{Api, StreamPermit, answer, extract, json, negotiate, new_message, sse};
use crate::dispatch::Admission;
use crate::events::{CHUNK, Follower};
use crate::message::{
    AddressError, BodyRoom, Contents, Message, MessageId, Place, Recipient, Violations,
};
use crate::store::{Events, IdempotencyKey, ReceiptTimes, Stored};

/// How the client wants to be answered.
enum ResponseForm {
    /// 202, when the message is durable.
    Accepted,
    /// 200, when the message has ended in this time.
    Finished(Duration),
    /// 200, with the message's event stream.
    Stream(StreamPermit),
}

impl ResponseForm {
    /// What the client asks for; a stream only where there is room for one.
    fn preferred(
        api: &Api,
        caller: &Caller,
        form: Form,
        wait: Option<Duration>,
    ) -> Result<Self, ApiError> {
        match (form, wait) {
            (Form::Stream, _) => api.stream_permit(caller).map(Self::Stream),
            (Form::Json, Some(wait)) => Ok(Self::Finished(wait)),
            (Form::Json, None) => Ok(Self::Accepted),
        }
    }
}

/// What `POST /messages` can be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PostQuery {
    until: Option<String>,
}

/// Makes a message durable and sets it on its way.
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    TraceOf(trace): TraceOf,
    Query(query): Query<PostQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (form, wait) = (negotiate::form(&headers)?, negotiate::wait(&headers));
    let until = Until::read(query.until.as_deref(), form)?;
    let key = negotiate::idempotency_key(&headers)?;
    let bytes = extract::body(&api, &caller, &headers, body, api.settings.max_request).await?;
    let document = Value::document(&bytes)?;
    if document.is_list() {
        let words = "a message is an object; POST /messages/batch takes several";
        return Err(ApiError::invalid("", words));
    }
    let contents = read(&api, &caller, document).await?;
    // Not before the body is here: one that trickles in must not keep others from a stream.
    let answer = ResponseForm::preferred(&api, &caller, form, wait)?;
    let now = api.clock.now();
    let message = contents.accept(api.new_id(now), now, trace);
    let key = key.map(|key| self::key(&caller, &key, &bytes));
    drop(bytes);

    // Before it is handed over, so that none of its events is missed.
    let follower = match answer {
        ResponseForm::Accepted => None,
        ResponseForm::Finished(_) => Some(api.feed.follow_to_end(message.id)),
        ResponseForm::Stream(_) => Some(api.feed.follow(message.id)),
    };
    let room = api.answer_room(&caller, message.weight())?;
    let permits = caller.message_permits(1, api.settings.max_queued)?;
    let accepting = api.dispatch.accept(vec![message], key, permits);
    let message = match accepting.await? {
        Admission::Accepted(messages) => messages.into_iter().next(),
        Admission::Replayed(ids) => return replay(&api, ids.first(), answer, until).await,
    };
    let message = message.ok_or_else(|| ApiError::Internal("nothing was accepted".to_owned()))?;
    let mut response = match (answer, follower) {
        (ResponseForm::Stream(permit), Some(follower)) => {
            let end = StreamEnd::of(&api, &message, until);
            sse::of_message(&api, follower, Events::default(), end, permit)
        }
        (ResponseForm::Finished(wait), Some(follower)) => {
            wait_for_end(&api, &message, follower, wait, ReceiptTimes::default()).await
        }
        (ResponseForm::Accepted | ResponseForm::Finished(_) | ResponseForm::Stream(_), _) => {
            json::accepted(&MessageView::accepted(&message))
        }
    };
    locate(&mut response, message.id);
    Ok(answer::prepared(response, room))
}

/// Reads and checks a message; a second time when the one that it answers had to be looked for.
async fn read(api: &Api, caller: &Caller, document: Value<'_>) -> Result<Contents, ApiError> {
    let mut replies = Replies::default();
    loop {
        let mut violations = Violations::default();
        let contents = contents(api, caller, document, &mut replies, &mut violations)?;
        if !replies.look(api, caller).await? {
            return contents.ok_or(ApiError::Invalid(violations));
        }
    }
}

/// Reads and checks a message. Every mistake is told, up to a bound; there are no contents when
/// there is any, be it in what was read before, or when `replies` has to look for the message that
/// it answers.
pub(super) fn contents(
    api: &Api,
    caller: &Caller,
    value: Value<'_>,
    replies: &mut Replies,
    violations: &mut Violations,
) -> Result<Option<Contents>, ApiError> {
    let place = value.place();
    let limits = api.limits.borrow().clone();
    let refuse_url = |url: &str| {
        let checked = api.webhooks.check_url(url);
        checked.err().map(|refusal| refusal.to_string())
    };
    let rules = Rules {
        limits: &limits,
        now: api.clock.now(),
        signer: caller.webhook_signer(),
        refuse_url: &refuse_url,
    };
    let Unaddressed {
        mut contents,
        mut target,
        mut from,
        in_reply_to,
    } = new_message::read(value, &rules, violations);
    if let Some(id) = in_reply_to {
        let Some(answered) = replies.address(id, &mut target, &mut from, api, place, violations)
        else {
            return Ok(None);
        };
        contents.in_reply_to = Some(answered);
    }
    let from = caller.sender(api, from)?;
    let Some(target) = target else {
        return Ok(None);
    };
    if let Some(recipient) = recipient(api, &target, from.as_deref(), place, violations) {
        contents.uri = recipient.uri;
        contents.account = recipient.account;
    }
    contents.target = target;
    if !violations.is_empty() {
        return Ok(None);
    }
    check_size(api, &contents, place)?;
    let mut headers = contents.extra_headers.iter();
    if caller.accounts().is_some()
        && let Some(header) = headers.find(|header| header.is_asserted())
    {
        let words = format!(
            "{} says who sends, and is not for a token with accounts of its own",
            header.name
        );
        violations.add(place.member("extraHeaders"), words);
        return Ok(None);
    }
    Ok(Some(contents))
}

/// Whom the message goes to. A sender that is no account does not hide a mistake in the target.
fn recipient(
    api: &Api,
    target: &str,
    from: Option<&str>,
    place: Place<'_>,
    violations: &mut Violations,
) -> Option<Recipient> {
    let resolved = match api.accounts.resolve(target, from) {
        Err(AddressError::From(detail)) => {
            violations.add(place.member("from"), detail);
            api.accounts.resolve(target, None)
        }
        resolved => resolved,
    };
    match resolved {
        Ok(recipient) => Some(recipient),
        Err(AddressError::Target(detail)) => {
            violations.add(place.member("target"), detail);
            None
        }
        // Said already: no account is configured.
        Err(AddressError::From(_)) => None,
    }
}

/// Refuses what no server is to be sent: one that closes the connection over it would take what
/// else is in flight with it.
fn check_size(api: &Api, contents: &Contents, place: Place<'_>) -> Result<(), ApiError> {
    let BodyRoom {
        left,
        max_message,
        setting,
    } = api.accounts.body_room(contents);
    if left.is_some_and(|left| contents.body.len() <= left) {
        return Ok(());
    }
    Err(ApiError::TooLarge(format!(
        "{}: the whole SIP message may have {max_message} bytes ({setting}), and its headers leave \
         {} of them for the body, decoded",
        place.member("body"),
        left.unwrap_or(0),
    )))
}

pub(super) fn key(caller: &Caller, key: &str, body: &[u8]) -> IdempotencyKey {
    IdempotencyKey {
        owner: caller.name(),
        key: key.into(),
        fingerprint: Sha256::digest(body).into(),
    }
}

/// Says where the message is from now on.
fn locate(response: &mut Response, id: MessageId) {
    // An id has only characters that a header may have.
    if let Ok(location) = HeaderValue::try_from(format!("/messages/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
}

/// Says that the request was known, and its answer is the first one again.
pub(super) fn mark_replayed(response: &mut Response) {
    let yes = HeaderValue::from_static("true");
    response.headers_mut().insert("idempotent-replayed", yes);
}

/// The first answer again, in the form that is asked for now.
async fn replay(
    api: &Api,
    id: Option<&MessageId>,
    answer: ResponseForm,
    until: Until,
) -> Result<Response, ApiError> {
    let gone = || ApiError::NotFound("the message of this Idempotency-Key is not kept any more");
    let id = *id.ok_or_else(gone)?;
    // Before the look, so that what happens meanwhile is not missed.
    let follower = api.feed.follow(id);
    let stored = api.store.message(id).await?.ok_or_else(gone)?;
    let mut response = match answer {
        ResponseForm::Accepted => json::accepted(&MessageView::accepted(&stored.message)),
        ResponseForm::Finished(wait) if stored.status.is_final() => finished(api, &stored, wait),
        ResponseForm::Finished(wait) => {
            wait_for_end(api, &stored.message, follower, wait, stored.receipts).await
        }
        ResponseForm::Stream(permit) => {
            let before = api.store.events_of(id, 0, CHUNK).await?;
            let end = StreamEnd::of(api, &stored.message, until);
            sse::of_message(api, follower, before, end, permit)
        }
    };
    locate(&mut response, id);
    mark_replayed(&mut response);
    Ok(response)
}

/// 200 when the message ends in time, else 202. The message was taken in, so this cannot fail.
async fn wait_for_end(
    api: &Api,
    message: &Arc<Message>,
    mut follower: Follower,
    wait: Duration,
    mut receipts: ReceiptTimes,
) -> Response {
    let ended = tokio::select! {
        // What is there already needs neither a timer nor a place among those who wait for a stop.
        biased;
        ended = tokio::time::timeout(wait, follower.terminal(&mut receipts)) => {
            ended.ok().flatten()
        }
        // A stop is no reason to keep a client waiting.
        () = api.closing.cancelled() => None,
    };
    let ended = ended.and_then(|event| Some((event.kind.status()?, event)));
    let Some((status, event)) = ended else {
        return unfinished(api, message, wait).await;
    };
    let (attempt, completed_at) = event.facts();
    let stored = Stored {
        message: message.clone(),
        account: event.account.clone(),
        status,
        attempt,
        completed_at,
        not_before: None,
        result: Some(event),
        receipts,
    };
    finished(api, &stored, wait)
}

/// The message as it stands when the client has waited long enough.
async fn unfinished(api: &Api, message: &Arc<Message>, wait: Duration) -> Response {
    let mut response = match api.store.message(message.id).await {
        Ok(Some(stored)) if stored.status.is_final() => return finished(api, &stored, wait),
        Ok(Some(stored)) => json::accepted(&MessageView::stored(&stored, api.clock.now())),
        // It was taken in all the same.
        Ok(None) | Err(_) => json::accepted(&MessageView::accepted(message)),
    };
    apply_wait(&mut response, wait);
    response
}

fn finished(api: &Api, stored: &Stored, wait: Duration) -> Response {
    let mut response = json::ok_written(MessageView::stored_json(stored, api.clock.now()));
    apply_wait(&mut response, wait);
    response
}

/// RFC 7240 §3.
fn apply_wait(response: &mut Response, wait: Duration) {
    // A number has only characters that a header may have.
    if let Ok(applied) = HeaderValue::try_from(format!("wait={}", wait.as_secs())) {
        response.headers_mut().insert("preference-applied", applied);
    }
}
