//! `POST /messages/batch`: up to a thousand messages, all or none.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;

use super::access::Caller;
use super::answer::prepared;
use super::error::ApiError;
use super::params::{Nothing, Query};
use super::replies::Replies;
use super::trace::TraceOf;
use super::value::{Shape, Value};
use super::view::MessageView;
use super::{Api, extract, json, negotiate, post};
use crate::dispatch::Admission;
use crate::message::{Contents, Message, Trace, Violations};

/// Messages in one batch at most.
const MAX_BATCH: usize = 1_000;

/// Messages of a batch that are read at once, when it is repeated: others look things up meanwhile.
const LOADED: usize = 32;

const BATCH: Shape = Shape {
    noun: "a batch",
    members: &["messages"],
    required: &["messages"],
    null_is_absent: true,
};

#[derive(Serialize)]
struct BatchView<'a> {
    data: Vec<MessageView<'a>>,
}

/// Takes in every message of the batch, or none when one is not accepted.
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    TraceOf(trace): TraceOf,
    _: Query<Nothing>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let key = negotiate::idempotency_key(&headers)?;
    let bytes = extract::body(
        &api,
        &caller,
        &headers,
        body,
        extract::Limit::of_batch(&api),
    )
    .await?;
    let messages = read(&api, &caller, &bytes, trace).await?;
    let key = key.map(|key| post::key(&caller, &key, &bytes));
    drop(bytes);
    caller.charge(messages.len().saturating_sub(1));
    let weight = messages.iter().map(Message::weight).sum();
    let room = api.answer_room(&caller, weight)?;
    let permits = caller.message_permits(messages.len(), api.settings.max_queued)?;
    let accepting = api.dispatch.accept(messages, key, permits);
    match accepting.await? {
        Admission::Accepted(accepted) => Ok(prepared(answer(&accepted), room)),
        Admission::Replayed(ids) => {
            let mut messages = Vec::with_capacity(ids.len());
            for some in ids.chunks(LOADED) {
                messages.extend(api.store.load(some.to_vec()).await?);
            }
            let mut response = answer(&messages);
            post::mark_replayed(&mut response);
            Ok(prepared(response, room))
        }
    }
}

/// Reads every message; a second time when those that they answer had to be looked for.
async fn read(
    api: &Api,
    caller: &Caller,
    bytes: &[u8],
    trace: Option<Trace>,
) -> Result<Vec<Message>, ApiError> {
    let mut replies = Replies::default();
    loop {
        let messages = messages(api, caller, bytes, trace, &mut replies);
        if !replies.look(api, caller).await? {
            return messages;
        }
    }
}

/// Reads every message, or lists the mistakes of all.
fn messages(
    api: &Api,
    caller: &Caller,
    bytes: &[u8],
    trace: Option<Trace>,
    replies: &mut Replies,
) -> Result<Vec<Message>, ApiError> {
    let now = api.clock.now();
    let mut violations = Violations::default();
    let mut messages = Vec::new();
    let mut refusal = None;
    let document = Value::document(bytes)?;
    if document.is_list() {
        let words = "a batch is an object: {\"messages\": [ … ]}";
        return Err(ApiError::invalid("", words));
    }
    document.object(&BATCH, &mut violations, |_, list, violations| {
        let mut count = 0;
        let is_list = list.items(
            "an array of messages",
            violations,
            |_, value, violations| {
                count += 1;
                if count > MAX_BATCH {
                    return ControlFlow::Break(());
                }
                match post::contents(api, caller, value, replies, violations) {
                    Ok(contents) => {
                        let accept =
                            |contents: Contents| contents.accept(api.new_id(now), now, trace);
                        messages.extend(contents.map(accept));
                        ControlFlow::Continue(())
                    }
                    Err(error) => {
                        refusal = Some(error);
                        ControlFlow::Break(())
                    }
                }
            },
        );
        if is_list && !(1..=MAX_BATCH).contains(&count) {
            violations.add(
                list.place(),
                format_args!("expected 1 to {MAX_BATCH} messages"),
            );
        }
    });
    match refusal {
        Some(error) => Err(error),
        None if violations.is_empty() => Ok(messages),
        None => Err(ApiError::Invalid(violations)),
    }
}

/// The messages as they were accepted, in their order.
fn answer(messages: &[Arc<Message>]) -> Response {
    json::accepted(&BatchView {
        data: messages
            .iter()
            .map(|message| MessageView::accepted(message))
            .collect(),
    })
}
