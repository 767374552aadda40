//! What comes in, as clients see it: lists, streams, webhooks, replies and receipts.

mod inbox;

use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use sipost::message::Contents;
use sipost::store::Submission;

use crate::harness::Answer;
use crate::harness::Stream;
use crate::harness::types_of;
use crate::webhooks::receiver::Receiver;
use crate::webhooks::receiver::Reply;
use inbox::ALICE;
use inbox::BOB;
use inbox::CAROL;
use inbox::Inbox;
use inbox::from_bob;
use inbox::now;

const STREAM: &str = "text/event-stream";

fn ids(page: &Value) -> Vec<&str> {
    let list = page["data"].as_array();
    let list = list.unwrap_or_else(|| panic!("no page: {page}")).iter();
    list.map(|one| one["messageId"].as_str().unwrap()).collect()
}

/// A stream with what the test has to say in headers.
async fn follow(inbox: &Inbox, path: &str, headers: &[(&str, &str)]) -> Stream {
    let mut request = inbox.client.request(Method::GET, path);
    for (name, value) in [("accept", STREAM)].iter().chain(headers) {
        request = request.header(*name, *value);
    }
    Stream::of(request.send().await.unwrap())
}

async fn as_token(inbox: &Inbox, method: Method, path: &str, token: &str) -> Answer {
    let request = inbox.client.request(method, path);
    inbox.client.send(request.bearer_auth(token)).await
}

#[tokio::test]
async fn a_received_message_is_in_streams_pages_and_lists() {
    let inbox = Inbox::open().await;
    let mut all = follow(&inbox, "/events", &[]).await;
    let mut of_carol = follow(&inbox, &format!("/events?from={CAROL}&type=received"), &[]).await;
    let first = inbox.receive(from_bob(ALICE, "Hello Alice")).await;
    let second = inbox.receive(from_bob(CAROL, "Hello Carol")).await;

    let event = all.next().await;
    assert_eq!(
        (event.name.as_str(), event.data["body"].as_str()),
        ("received", Some("Hello Alice"))
    );
    assert_eq!(of_carol.next().await.data["messageId"], *second);
    let shown = inbox.client.get(&format!("/received/{first}")).await;
    assert_eq!((shown.status, shown.body), (200, event.data.clone()));

    let page = inbox
        .client
        .get(&format!("/events?messageId={first}"))
        .await;
    assert_eq!(page.body["data"], json!([event.data]));
    let page = inbox.client.get("/events?target=bob@example.com").await;
    assert_eq!(ids(&page.body), [&*first, &*second]);
    let list = inbox.client.get("/received").await;
    assert_eq!(ids(&list.body), [&*second, &*first]);
    let list = inbox
        .client
        .get(&format!("/received?account={CAROL}&from=bob@example.com"))
        .await;
    assert_eq!(ids(&list.body), [&*second]);
    let list = inbox.client.get("/received?from=dave@example.com").await;
    assert_eq!(ids(&list.body), [""; 0]);
    assert_eq!(inbox.client.get("/received?from=").await.status, 400);
    // It is no message of ours.
    for path in [
        format!("/messages/{first}"),
        format!("/messages/{first}/events"),
    ] {
        assert_eq!(inbox.client.get(&path).await.status, 404);
    }
}

#[tokio::test]
async fn a_token_sees_what_came_to_its_accounts_and_nothing_else() {
    let inbox = Inbox::with_tokens(&[("alice", ALICE), ("carol", CAROL)]).await;
    let bearer = [("authorization", "Bearer carol")];
    let mut stream = follow(&inbox, "/events", &bearer).await;
    let hers = inbox.receive(from_bob(ALICE, "1")).await;
    let own = inbox.receive(from_bob(CAROL, "2")).await;
    assert_eq!(stream.next().await.data["messageId"], *own);
    for path in ["/received", "/events"] {
        let answer = as_token(&inbox, Method::GET, path, "carol").await;
        assert_eq!(ids(&answer.body), [&*own], "{path}");
    }
    let path = format!("/events?messageId={hers}");
    let answer = as_token(&inbox, Method::GET, &path, "carol").await;
    assert_eq!(ids(&answer.body), [""; 0]);
    let path = format!("/received?account={ALICE}");
    assert_eq!(
        as_token(&inbox, Method::GET, &path, "carol").await.status,
        403
    );
    for method in [Method::GET, Method::DELETE] {
        let path = format!("/received/{hers}");
        assert_eq!(as_token(&inbox, method, &path, "carol").await.status, 404);
    }
    let reply = json!({"inReplyTo": hers, "body": ""});
    let request = inbox
        .client
        .request(Method::POST, "/messages")
        .bearer_auth("carol");
    let answer = inbox.client.send(request.json(&reply)).await;
    assert_eq!(
        (answer.status, &answer.body["errors"][0]["pointer"]),
        (422, &json!("/inReplyTo"))
    );
    let path = format!("/received/{own}");
    assert_eq!(
        as_token(&inbox, Method::DELETE, &path, "carol")
            .await
            .status,
        204
    );
}

#[tokio::test]
async fn a_reply_goes_to_the_sender_from_the_account_that_received() {
    let inbox = Inbox::open().await;
    let received = from_bob(CAROL, "Noon?");
    let call_id = received.request.call_id.clone();
    let id = inbox.receive(received).await;

    let answer = inbox
        .client
        .post(&json!({"inReplyTo": id, "body": "Yes."}))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let told = [
        &answer.body["target"],
        &answer.body["from"],
        &answer.body["inReplyTo"],
    ];
    assert_eq!(told, [BOB, CAROL, &*id]);
    let message = answer.body["id"].as_str().unwrap().parse().unwrap();
    let stored = inbox.store.message(message).await.unwrap().unwrap();
    let contents = &stored.message.contents;
    assert_eq!(
        (&*contents.uri, contents.account.as_deref()),
        (BOB, Some(CAROL))
    );
    assert_eq!(contents.in_reply_to.as_ref().unwrap().call_id, call_id);

    let elsewhere =
        json!({"inReplyTo": id, "target": "dave@example.com", "body": "", "from": CAROL});
    let answer = inbox.client.post(&elsewhere).await;
    assert_eq!(
        (answer.status, &answer.body["target"]),
        (202, &json!("dave@example.com"))
    );
    let batch = [
        json!({"inReplyTo": id, "body": ""}),
        json!({"target": "dave", "body": ""}),
    ];
    let answer = inbox.client.post_batch(&batch).await;
    assert_eq!(
        (answer.status, &answer.body["data"][0]["from"]),
        (202, &json!(CAROL))
    );

    let other_account = json!({"inReplyTo": id, "body": "", "from": ALICE});
    let unknown = json!({"inReplyTo": "01930000-0000-7000-8000-000000000001", "body": ""});
    let refused = async |message: &Value, pointer: &str| {
        let alone = inbox.client.post(message).await;
        assert_eq!(
            (alone.status, &alone.body["errors"][0]["pointer"]),
            (422, &json!(pointer))
        );
        let batch = [json!({"inReplyTo": id, "body": ""}), message.clone()];
        let answer = inbox.client.post_batch(&batch).await;
        let pointer = format!("/messages/1{pointer}");
        let errors = answer.body["errors"].as_array().unwrap();
        assert_eq!(errors.last().unwrap()["pointer"], pointer, "{errors:?}");
    };
    refused(&other_account, "/from").await;
    refused(&unknown, "/inReplyTo").await;
    assert_eq!(
        inbox.client.delete(&format!("/received/{id}")).await.status,
        204
    );
    refused(&json!({"inReplyTo": id, "body": ""}), "/inReplyTo").await;
}

#[tokio::test]
async fn an_erased_message_is_a_tombstone_for_every_reader() {
    let inbox = Inbox::open().await;
    let id = inbox.receive(from_bob(ALICE, "A secret")).await;
    let path = format!("/received/{id}");
    assert_eq!(inbox.client.delete(&path).await.status, 204);
    assert_eq!(inbox.client.get(&path).await.status, 404);
    assert_eq!(inbox.client.delete(&path).await.status, 404);
    assert_eq!(ids(&inbox.client.get("/received").await.body), [""; 0]);
    let mut stream = follow(&inbox, "/events?lastEventId=earliest", &[]).await;
    let event = stream.next().await.data;
    let names: Vec<_> = event
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut expected = ["id", "type", "time", "messageId", "account", "erased"];
    expected.sort_unstable();
    assert_eq!(names, expected);
    let page = inbox.client.get(&format!("/events?messageId={id}")).await;
    assert_eq!(page.body["data"], json!([event]));
}

#[tokio::test]
async fn a_webhook_is_posted_what_comes_in_and_nothing_that_was_erased() {
    let inbox = Inbox::open().await;
    let receiver = Receiver::answering(|_| Reply::Held(500)).await;
    let webhook = json!({"url": receiver.url("/"), "from": [ALICE]});
    let request = inbox.client.request(Method::POST, "/webhooks");
    let created = inbox.client.send(request.json(&webhook)).await;
    // All that there are, by name.
    assert_eq!(created.body["types"].as_array().unwrap().len(), 8);

    inbox.receive(from_bob(CAROL, "Not for it")).await;
    let id = inbox.receive(from_bob(ALICE, "A secret")).await;
    let posts = receiver.posted(1).await;
    assert_eq!(posts[0].event()["body"], "A secret");
    assert_eq!(
        inbox.client.delete(&format!("/received/{id}")).await.status,
        204
    );
    receiver.answer(|_| Reply::Status(200, "thanks"));
    receiver.release();
    let posts = receiver.posted(2).await;
    assert_eq!(posts[1].event()["erased"], true);
    assert_eq!(posts[1].header("webhook-id"), posts[0].header("webhook-id"));
    assert!(!String::from_utf8_lossy(&posts[1].body).contains("secret"));
}

/// A message of Alice's, posted by a client that follows it.
async fn posted(inbox: &Inbox, query: &str) -> (String, Stream) {
    let message = json!({"target": BOB, "body": "", "from": ALICE, "receipts": ["displayed", "delivered", "displayed"]});
    let request = inbox
        .client
        .request(Method::POST, &format!("/messages{query}"));
    let response = request
        .header("accept", STREAM)
        .json(&message)
        .send()
        .await
        .unwrap();
    let location = response.headers()["location"].to_str().unwrap();
    let id = location.trim_start_matches("/messages/").to_owned();
    (id, Stream::of(response))
}

async fn kinds(stream: Stream) -> (Vec<String>, String) {
    let events = stream.rest().await;
    let last = events.last().map(|event| event.id.clone());
    let kinds = events.into_iter().map(|event| event.name).collect();
    (kinds, last.unwrap_or_default())
}

const LIFE: [&str; 4] = ["sending", "delivered", "succeeded", "displayed"];

#[tokio::test]
async fn the_stream_of_a_message_ends_where_the_client_says() {
    let inbox = Inbox::open().await;
    for (query, length) in [("", 3), ("?until=delivered", 2), ("?until=displayed", 4)] {
        let (id, stream) = posted(&inbox, query).await;
        inbox.tell(&id, &LIFE).await;
        let (told, last) = kinds(stream).await;
        assert_eq!(told, LIFE[..length], "{query}");
        // What there was, for one that comes later.
        let path = format!("/messages/{id}/events{query}");
        let (told, again) = kinds(follow(&inbox, &path, &[]).await).await;
        assert_eq!((told.len(), &again), (length, &last), "{query}");
        // And nothing for one that has seen the end, whatever follows.
        let seen = inbox
            .client
            .request(Method::GET, &path)
            .header("accept", STREAM);
        let response = seen.header("last-event-id", &last).send().await.unwrap();
        assert_eq!(response.status(), 204, "{query}");
        let all = inbox.client.get(&format!("/messages/{id}/events")).await;
        assert_eq!(types_of(all.body["data"].as_array().unwrap()), LIFE);
    }
}

#[tokio::test]
async fn a_stream_that_waits_for_a_receipt_ends_with_the_time_of_its_message() {
    let inbox = Inbox::open().await;
    let contents = Contents {
        target: BOB.to_owned(),
        uri: BOB.into(),
        account: Some(ALICE.into()),
        ..Contents::default()
    };
    // Its hour was over long ago.
    let id = sipost::message::MessageId::new(uuid::Uuid::now_v7());
    let long_ago = now().minus(std::time::Duration::from_secs(7_200));
    let message = contents.accept(id, long_ago, None);
    let submission = Submission {
        messages: vec![message.into()],
        key: None,
    };
    inbox.store.accept(vec![submission]).await.unwrap();
    let path = format!("/messages/{id}/events?until=displayed");
    let stream = follow(&inbox, &path, &[]).await;
    inbox.tell(&id.to_string(), &["sending", "succeeded"]).await;
    let (told, last) = kinds(stream).await;
    assert_eq!(told, ["sending", "succeeded"]);
    let seen = inbox
        .client
        .request(Method::GET, &path)
        .header("accept", STREAM);
    let response = seen.header("last-event-id", &last).send().await.unwrap();
    assert_eq!(response.status(), 204);
}

#[tokio::test]
async fn receipts_are_shown_with_their_message() {
    let inbox = Inbox::open().await;
    let (id, stream) = posted(&inbox, "").await;
    let shown = inbox.client.get(&format!("/messages/{id}")).await.body;
    assert_eq!(
        (&shown["receipts"], &shown["receiptsAsked"]),
        (&Value::Null, &json!(["displayed", "delivered"]))
    );
    inbox.tell(&id, &LIFE[..3]).await;
    let events = stream.rest().await;
    assert_eq!(events[1].data["metadata"], json!({}));
    let shown = inbox.client.get(&format!("/messages/{id}")).await.body;
    assert_eq!(shown["receipts"]["delivered"], events[1].data["time"]);
    assert_eq!(shown["receipts"]["displayed"], Value::Null);
    assert_eq!(shown["result"]["type"], "succeeded");
    inbox.tell(&id, &LIFE[3..]).await;
    let shown = inbox.client.get("/messages?status=succeeded").await.body;
    assert!(shown["data"][0]["receipts"]["displayed"].is_string());
    assert_eq!(shown["data"][0]["result"]["type"], "succeeded");
}

#[tokio::test]
async fn a_client_that_waits_for_the_end_is_told_of_receipts_before_it() {
    let inbox = Inbox::open().await;
    let message = json!({"target": BOB, "body": "", "from": ALICE});
    let request = inbox.client.request(Method::POST, "/messages");
    let waiting = inbox
        .client
        .send(request.header("prefer", "wait=30").json(&message));
    let telling = async {
        loop {
            let page = inbox.client.get("/messages").await.body;
            if let Some(id) = page["data"][0]["id"].as_str() {
                inbox.tell(id, &LIFE[..3]).await;
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let (answer, ()) = tokio::join!(waiting, telling);
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (200, &json!("succeeded"))
    );
    assert!(
        answer.body["receipts"]["delivered"].is_string(),
        "{}",
        answer.body
    );
}
