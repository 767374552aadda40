//! The conformance suite of the clients: the same cases in each language (../../conformance).

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::time::{Duration, Instant, SystemTime};

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use sipost_client::{
    Cause, Error, Event, EventQuery, EventType, ListQuery, MessageResult, MessageStatus,
    NewMessage, NewWebhook, ProblemError, ProblemUri, ReceiptKind, SendOptions, Sipost,
    WebhookHeaders, verify_webhook, verify_webhook_at,
};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn sipost() -> Sipost {
    Sipost::new(variable("SIPOST_URL")).with_token(variable("SIPOST_TOKEN"))
}

fn through(fault: &str, name: &str) -> Sipost {
    let proxy = variable("SIPOST_PROXY");
    Sipost::new(format!("{proxy}/{fault}/{name}")).with_token(variable("SIPOST_TOKEN"))
}

/// A name that no other run has used.
fn unique() -> String {
    format!("rs-{}", uuid::Uuid::new_v4())
}

/// What the proxy says at this path.
async fn proxy(path: &str) -> Vec<Value> {
    let answer = reqwest::get(format!("{}{path}", variable("SIPOST_PROXY"))).await;
    answer.unwrap().json().await.unwrap()
}

async fn collect<T>(all: impl Stream<Item = Result<T, Error>>) -> Vec<T> {
    all.try_collect().await.unwrap()
}

fn problem<T: std::fmt::Debug>(result: Result<T, Error>) -> ProblemError {
    match result {
        Err(Error::Problem(problem)) => *problem,
        other => panic!("no problem: {other:?}"),
    }
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    let kind = |event: &Event| match event {
        Event::Sending(_) => "sending",
        Event::Deferred(_) => "deferred",
        Event::Succeeded(_) => "succeeded",
        Event::Failed(_) => "failed",
        _ => "other",
    };
    events.iter().map(kind).collect()
}

fn wait() -> SendOptions {
    SendOptions {
        wait: Some(30),
        ..SendOptions::default()
    }
}

const TWICE: [&str; 4] = ["sending", "deferred", "sending", "succeeded"];

#[tokio::test]
async fn send_returns_the_accepted_message() {
    let metadata = [("order".to_owned(), "42".to_owned())];
    let new = NewMessage {
        metadata: Some(metadata.clone().into()),
        ..NewMessage::new("ok", "Hello!")
    };
    let message = sipost().send(&new).await.unwrap();
    assert_eq!(message.id.len(), 36);
    assert_eq!(message.body, "Hello!");
    assert_eq!(message.metadata, metadata.into());
}

#[tokio::test]
async fn send_waits_for_the_end() {
    let new = NewMessage::new("busy", "");
    let message = sipost().send_with(&new, &wait()).await.unwrap();
    assert_eq!(message.status, MessageStatus::Failed);
    let Some(MessageResult::Failed(failed)) = message.result else {
        panic!("{:?}", message.result);
    };
    assert_eq!(failed.cause, Cause::Busy);
    assert_eq!(failed.response.unwrap().status_code, 486);
}

#[tokio::test]
async fn follow_yields_every_event_to_the_end() {
    let sipost = sipost();
    let message = sipost.send(&NewMessage::new("overload", "")).await.unwrap();
    let events = collect(sipost.follow(&message.id)).await;
    assert_eq!(kinds(&events), TWICE);
}

#[tokio::test]
async fn follow_resumes_after_a_lost_connection() {
    let name = unique();
    let message = sipost()
        .send(&NewMessage::new("overload", ""))
        .await
        .unwrap();
    let events = collect(through("cut", &name).follow(&message.id)).await;
    assert_eq!(kinds(&events), TWICE);
    let seen = proxy(&format!("/log/{name}")).await;
    assert_eq!(seen[1]["headers"]["last-event-id"], events[0].id().unwrap());
}

#[tokio::test]
async fn follow_goes_on_to_a_receipt() {
    let sipost = sipost();
    let new = NewMessage {
        receipts: Some(vec![ReceiptKind::Displayed]),
        ..NewMessage::new("reader", "")
    };
    let message = sipost.send(&new).await.unwrap();
    let events = collect(sipost.follow(&message.id).until(ReceiptKind::Displayed)).await;
    assert!(
        matches!(events.last(), Some(Event::Receipt(_))),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_refused_message_tells_every_mistake() {
    let new = NewMessage {
        ttl: Some(0),
        ..NewMessage::new("", "")
    };
    let refused = problem(sipost().send(&new).await);
    assert_eq!(refused.status, 422);
    assert_eq!(refused.problem.kind, ProblemUri::InvalidMessage);
    let violations = refused.violations().iter();
    let mut pointers: Vec<_> = violations.map(|one| one.pointer.as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/target", "/ttl"]);
    assert!(refused.request_id.is_some());
}

#[tokio::test]
async fn a_full_gateway_is_asked_again_after_retry_after() {
    let (name, begun) = (unique(), Instant::now());
    let message = through("refuse", &name)
        .send(&NewMessage::new("ok", ""))
        .await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(message.unwrap().target, "ok");
    let seen = proxy(&format!("/log/{name}")).await;
    let key = |index: usize| &seen[index]["headers"]["idempotency-key"];
    assert_eq!(seen.len(), 2);
    assert!(key(0).is_string());
    assert_eq!(key(0), key(1));
}

#[tokio::test]
async fn a_lost_answer_does_not_send_twice() {
    let name = unique();
    let new = NewMessage::new(&name, "");
    let message = through("lose", &name).send(&new).await.unwrap();
    assert_eq!(proxy(&format!("/log/{name}")).await.len(), 2);
    let query = ListQuery {
        target: Some(name),
        ..ListQuery::default()
    };
    let sent = collect(sipost().list(query)).await;
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].id, message.id);
}

#[tokio::test]
async fn cancel_ends_a_message_and_then_says_why_not() {
    let sipost = sipost();
    // An hour ahead.
    let now = sipost.send(&NewMessage::new("ok", "")).await.unwrap();
    let new = NewMessage {
        send_at: Some(now.expires_at),
        ..NewMessage::new("ok", "")
    };
    let message = sipost.send(&new).await.unwrap();
    let canceled = sipost.cancel(&message.id).await.unwrap();
    let Some(MessageResult::Failed(failed)) = canceled.result else {
        panic!("{:?}", canceled.result);
    };
    assert_eq!(failed.cause, Cause::Canceled);
    let refused = problem(sipost.cancel(&message.id).await);
    assert_eq!(refused.problem.kind, ProblemUri::TooLate);
    assert_eq!(refused.to_string(), "the message was canceled already");
}

#[tokio::test]
async fn a_batch_is_sent_in_order() {
    let sipost = sipost();
    let messages = ["1", "2"].map(|body| NewMessage::new("ok", body));
    let sent = sipost.send_batch(messages.into(), None).await.unwrap();
    assert_eq!([&sent[0].body, &sent[1].body], ["1", "2"]);
    let first = collect(sipost.follow(&sent[0].id)).await;
    let second = collect(sipost.follow(&sent[1].id)).await;
    assert!(first.last().unwrap().id() < second[0].id());
}

#[tokio::test]
async fn list_goes_through_every_page() {
    let (sipost, target) = (sipost(), unique());
    let bodies = ["1", "2", "3", "4", "5"];
    let messages = bodies.map(|body| NewMessage::new(&target, body));
    sipost.send_batch(messages.into(), None).await.unwrap();
    let query = ListQuery {
        target: Some(target),
        limit: Some(2),
        ..ListQuery::default()
    };
    let listed = collect(sipost.list(query)).await;
    let listed: Vec<_> = listed.iter().rev().map(|one| one.body.as_str()).collect();
    assert_eq!(listed, bodies);
}

#[tokio::test]
async fn receive_yields_what_comes_in() {
    let (sipost, body) = (sipost(), unique());
    sipost.send(&NewMessage::new("echo", &body)).await.unwrap();
    let all = sipost.receive(None, Some("earliest"));
    let mut ours = all.try_filter(|one| std::future::ready(one.body == body));
    let received = ours.next().await.unwrap().unwrap();
    assert!(received.from.uri.starts_with("sip:echo@"), "{received:?}");
    let id = &received.message_id;
    assert_eq!(sipost.get_received(id).await.unwrap().body, body);
    sipost.erase_received(id).await.unwrap();
    assert_eq!(problem(sipost.get_received(id).await).status, 404);
}

#[tokio::test]
async fn events_begin_after_an_id() {
    let sipost = sipost();
    let new = NewMessage::new("ok", "");
    let message = sipost.send_with(&new, &wait()).await.unwrap();
    let events = collect(sipost.follow(&message.id)).await;
    let mut after = sipost.events(EventQuery {
        types: vec![EventType::Sending, EventType::Succeeded],
        message_id: Some(message.id),
        last_event_id: events[0].id().map(str::to_owned),
        ..EventQuery::default()
    });
    let next = after.next().await.unwrap().unwrap();
    assert!(matches!(next, Event::Succeeded(_)), "{next:?}");
}

#[tokio::test]
async fn a_gap_is_told() {
    let last = "7-0000000000000001";
    let mut events = sipost().events(EventQuery {
        last_event_id: Some(last.to_owned()),
        ..EventQuery::default()
    });
    match events.next().await.unwrap() {
        Err(Error::Gap(gap)) => assert_eq!(gap.requested, last),
        other => panic!("no gap: {other:?}"),
    }
}

/// A webhook's secret, and the first post to it.
async fn posted() -> (String, Value) {
    let (sipost, name) = (sipost(), unique());
    let webhook = NewWebhook {
        url: format!("{}/hook/{name}", variable("SIPOST_PROXY")),
        types: Some(Some(vec![EventType::Succeeded])),
        ..NewWebhook::default()
    };
    let webhook = sipost.create_webhook(&webhook).await.unwrap();
    sipost.send(&NewMessage::new("ok", "")).await.unwrap();
    let mut posts = proxy(&format!("/hooks/{name}")).await;
    sipost.delete_webhook(&webhook.id).await.unwrap();
    (webhook.secret, posts.remove(0))
}

fn headers(post: &Value) -> WebhookHeaders<'_> {
    WebhookHeaders::from_fn(|name| post["headers"][name].as_str())
}

fn body(post: &Value) -> &str {
    post["body"].as_str().unwrap()
}

const ANOTHER: &str = "whsec_b3RoZXI=";

#[tokio::test]
async fn a_webhook_is_verified() {
    let (secret, post) = posted().await;
    let secrets = [ANOTHER, &secret];
    let event = verify_webhook(body(&post).as_bytes(), headers(&post), &secrets).unwrap();
    assert!(matches!(event, Event::Succeeded(_)), "{event:?}");
    assert_eq!(event.id(), headers(&post).id);
}

#[tokio::test]
async fn a_forged_webhook_is_refused() {
    let (secret, post) = posted().await;
    let forged = body(&post).replace("succeeded", "failed");
    let unsigned = WebhookHeaders {
        signature: None,
        ..headers(&post)
    };
    for (body, headers, secret) in [
        (forged.as_str(), headers(&post), secret.as_str()),
        (body(&post), headers(&post), ANOTHER),
        (body(&post), unsigned, secret.as_str()),
    ] {
        assert!(verify_webhook(body.as_bytes(), headers, &[secret]).is_err());
    }
}

#[tokio::test]
async fn an_old_webhook_is_refused() {
    let (secret, post) = posted().await;
    let later = SystemTime::now() + Duration::from_secs(360);
    let body = body(&post).as_bytes();
    assert!(verify_webhook_at(body, headers(&post), &[&secret], later).is_err());
}

#[tokio::test]
async fn a_missing_token_is_an_error() {
    let stranger = Sipost::new(variable("SIPOST_URL")).with_token("wrong");
    let refused = problem(stranger.send(&NewMessage::new("ok", "")).await);
    assert_eq!(refused.status, 401);
    assert_eq!(refused.problem.kind, ProblemUri::Unauthorized);
}
