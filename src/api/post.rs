//! `POST /messages`: takes a message in, and answers in one of three forms.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::{HeaderValue, header};
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
use crate::dispatch::{AcceptError, Admission, Awaited, QuotaPermit};
use crate::events::{CHUNK, MessageEnd};
use crate::message::{
    AddressError, BodyRoom, Contents, Message, MessageId, Place, Recipient, Violations,
};
use crate::store::{Events, IdempotencyKey, Stored};

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
pub(super) async fn create(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &api).await?;
    let Ok(TraceOf(trace)) = TraceOf::from_request_parts(&mut parts, &api).await;
    let Query(query) = Query::<PostQuery>::from_request_parts(&mut parts, &api).await?;
    let headers = parts.headers;
    let (form, wait) = (negotiate::form(&headers)?, negotiate::wait(&headers));
    let until = Until::read(query.until.as_deref(), form)?;
    let key = negotiate::idempotency_key(&headers)?;
    let bytes = extract::body(
        &api,
        &caller,
        &headers,
        body,
        extract::Limit::of_request(&api),
    )
    .await?;
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

    let room = api.answer_room(&caller, message.weight())?;
    let permits = caller.message_permits(1, api.settings.max_queued)?;
    let submission = Submission {
        message: Arc::new(message),
        key,
        permits,
    };
    let response = match answer {
        ResponseForm::Accepted => accept(&api, submission).await?,
        ResponseForm::Finished(wait) => accept_to_end(&api, submission, wait).await?,
        ResponseForm::Stream(permit) => accept_to_follow(&api, submission, permit, until).await?,
    };
    Ok(answer::prepared(response, room))
}

/// A message that was checked, on its way to the dispatcher.
struct Submission {
    message: Arc<Message>,
    key: Option<IdempotencyKey>,
    permits: Vec<QuotaPermit>,
}

impl Submission {
    /// Ready when the message is durable, or known from before.
    async fn hand_over(self, api: &Api) -> Result<Admission, AcceptError> {
        let messages = vec![self.message];
        api.dispatch.accept(messages, self.key, self.permits).await
    }
}

/// 202 when the message is durable.
async fn accept(api: &Api, submission: Submission) -> Result<Response, ApiError> {
    let message = submission.message.clone();
    match submission.hand_over(api).await? {
        Admission::Accepted(_) => Ok(located(
            json::accepted(&MessageView::accepted(&message)),
            message.id,
        )),
        Admission::Replayed(ids) => {
            replay(api, ids, ResponseForm::Accepted, Until::default()).await
        }
    }
}

/// 200 when the message ends in time, else 202.
async fn accept_to_end(
    api: &Api,
    submission: Submission,
    wait: Duration,
) -> Result<Response, ApiError> {
    let Submission {
        message,
        key,
        permits,
    } = submission;
    // Before it is handed over, so that its end is not missed.
    let end = api.feed.follow_to_end(message.id).end();
    let accepting = api
        .dispatch
        .accept_to_end(message.clone(), key, permits, wait, end);
    let id = message.id;
    let response = match accepting.await? {
        Awaited::Ended(end) => ended(api, message, end, wait),
        Awaited::Accepted => unfinished(api, &message, wait).await,
        Awaited::Replayed(ids) => {
            let form = ResponseForm::Finished(wait);
            return replay(api, ids, form, Until::default()).await;
        }
    };
    Ok(located(response, id))
}

/// 200 with the message's event stream.
async fn accept_to_follow(
    api: &Api,
    submission: Submission,
    permit: StreamPermit,
    until: Until,
) -> Result<Response, ApiError> {
    let message = submission.message.clone();
    // Before it is handed over, so that none of its events is missed.
    let follower = api.feed.follow(message.id);
    match submission.hand_over(api).await? {
        Admission::Accepted(_) => {
            let end = StreamEnd::of(api, &message, until);
            let stream = sse::of_message(api, follower, Events::default(), end, permit);
            Ok(located(stream, message.id))
        }
        Admission::Replayed(ids) => replay(api, ids, ResponseForm::Stream(permit), until).await,
    }
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

/// Reads and checks a message. Collects every mistake, up to a bound; there are no contents when
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

/// The response, which says where the message is from now on.
fn located(mut response: Response, id: MessageId) -> Response {
    // An id has only characters that a header may have.
    if let Ok(location) = HeaderValue::try_from(format!("/messages/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Says that the request was known, and its answer is the first one again.
pub(super) fn mark_replayed(response: &mut Response) {
    let yes = HeaderValue::from_static("true");
    response.headers_mut().insert("idempotent-replayed", yes);
}

/// The first answer again, in the form that is asked for now.
async fn replay(
    api: &Api,
    ids: Vec<MessageId>,
    answer: ResponseForm,
    until: Until,
) -> Result<Response, ApiError> {
    let gone = || ApiError::NotFound("the message of this Idempotency-Key is not kept any more");
    let id = *ids.first().ok_or_else(gone)?;
    // Before the look, so that what happens meanwhile is not missed.
    let end = api.feed.follow_to_end(id);
    let follower = api.feed.follow(id);
    let stored = api.store.message(id).await?.ok_or_else(gone)?;
    let response = match answer {
        ResponseForm::Accepted => json::accepted(&MessageView::accepted(&stored.message)),
        ResponseForm::Finished(wait) if stored.status.is_final() => finished(api, &stored, wait),
        ResponseForm::Finished(wait) => {
            // The store knows of receipts before the look, too.
            let _ = tokio::time::timeout(wait, end.end()).await;
            unfinished(api, &stored.message, wait).await
        }
        ResponseForm::Stream(permit) => {
            let before = api.store.events_of(id, 0, CHUNK).await?;
            let end = StreamEnd::of(api, &stored.message, until);
            sse::of_message(api, follower, before, end, permit)
        }
    };
    let mut response = located(response, id);
    mark_replayed(&mut response);
    Ok(response)
}

/// The message with its end.
fn ended(api: &Api, message: Arc<Message>, end: MessageEnd, wait: Duration) -> Response {
    let (attempt, completed_at) = end.event.facts();
    let stored = Stored {
        message,
        account: end.event.account.clone(),
        status: end.status,
        attempt,
        completed_at,
        not_before: None,
        result: Some(end.event),
        receipts: end.receipts,
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
