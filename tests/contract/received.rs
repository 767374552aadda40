//! What is answered about received messages and receipts.

use axum::http::Method;
use serde_json::Value;
use serde_json::json;
use sipost::message::Contents;
use sipost::message::Disposition;
use sipost::message::Envelope;
use sipost::message::MessageId;
use sipost::message::Receipt;
use sipost::message::ReceiptRequest;
use sipost::message::Received;
use sipost::message::RequestView;
use sipost::message::Sender;
use sipost::message::Timestamp;
use sipost::message::UndeliveredStatus;
use sipost::store::Arrived;
use sipost::store::Reported;
use sipost::store::Submission;

use crate::answers::Seen;
use crate::running;
use crate::staged::ApiFixture;

const ALICE: &str = "sip:alice@example.com";
const BOB: &str = "sip:bob@example.com";

fn now() -> Timestamp {
    sipost::clock::Clock::system().now()
}

fn new_id() -> MessageId {
    MessageId::new(uuid::Uuid::now_v7())
}

/// A message from Bob to Alice.
fn received(call_id: &str) -> Received {
    let headers = [("Subject".to_owned(), "x".repeat(9_000))];
    Received {
        id: new_id(),
        time: now(),
        account: ALICE.into(),
        agent: "alice-1".into(),
        from: Sender {
            uri: BOB.to_owned(),
            display_name: Some("Bob".to_owned()),
            asserted: Some(BOB.to_owned()),
        },
        to: ALICE.to_owned(),
        content_type: "text/plain".to_owned(),
        body: b"Yes, at noon.".to_vec(),
        request: RequestView::cut(ALICE.into(), call_id.to_owned(), 1, &headers),
        from_tag: "49583".to_owned(),
        answers: Vec::new(),
        in_reply_to: None,
        envelope: None,
        expired: false,
    }
}

impl ApiFixture {
    async fn take_in(&self, received: Received) -> String {
        let path = format!("/received/{}", received.id);
        let arrived = self.store.receive(vec![received]).await.unwrap();
        assert!(matches!(arrived[..], [Arrived::Appended(_)]), "{arrived:?}");
        path
    }

    /// A message of Alice's, and each receipt for it.
    async fn message_with_receipts(&self) -> MessageId {
        let contents = Contents {
            target: "bob".to_owned(),
            uri: BOB.into(),
            account: Some(ALICE.into()),
            receipts: ReceiptRequest::ALL.to_vec(),
            ..Contents::default()
        };
        let id = new_id();
        let message = contents.accept(id, now(), None);
        let submission = Submission {
            messages: vec![message.into()],
            key: None,
        };
        self.store.accept(vec![submission]).await.unwrap();
        let receipt = |disposition| Receipt {
            message_id: id,
            time: now(),
            account: ALICE.into(),
            agent: "alice-1".into(),
            recipient: BOB.into(),
            disposition,
        };
        let receipts = vec![
            receipt(Disposition::Delivered),
            receipt(Disposition::Displayed),
            receipt(Disposition::Undelivered {
                status: UndeliveredStatus::Error,
                reason: None,
            }),
        ];
        let reported = self.store.report(receipts).await.unwrap();
        let is_new = |one: &Reported| matches!(one, Reported::Appended(_));
        assert!(reported.iter().all(is_new), "{reported:?}");
        id
    }
}

pub(crate) async fn answer_everything(seen: &mut Seen) {
    let api = ApiFixture::new();
    let plain = api.take_in(received("1@example.com")).await;
    let mut wrapped = received("2@example.com");
    wrapped.body = vec![0, 255];
    wrapped.envelope = Some(Envelope {
        from: Some(BOB.to_owned()),
        receipts: ReceiptRequest::ALL.to_vec(),
        ..Envelope::default()
    });
    wrapped.expired = true;
    let wrapped = api.take_in(wrapped).await;
    for path in [&plain, &wrapped] {
        seen.note("getReceived", 200, &api.get(path).await);
    }
    let nobody = "/received/01930000-0000-7000-8000-000000000001";
    seen.note("getReceived", 404, &api.get(nobody).await);
    let answer = api.get(&format!("{plain}?x=1")).await;
    seen.note("getReceived", 400, &answer);
    sip(&api, seen, &plain).await;

    let filter = format!("/received?account={ALICE}&from=bob@example.com&limit=1");
    let page = api.get(&filter).await;
    seen.note("listReceived", 200, &page);
    let cursor = page.json()["nextCursor"].as_str().unwrap().to_owned();
    let rest = api.get(&format!("/received?cursor={cursor}")).await;
    seen.note("listReceived", 200, &rest);
    assert_eq!(rest.json()["nextCursor"], Value::Null);
    for query in ["account=x", "cursor=x", "limit=0", "x=1"] {
        let answer = api.get(&format!("/received?{query}")).await;
        seen.note("listReceived", 400, &answer);
    }

    let message = api.message_with_receipts().await;
    let answer = api.get(&format!("/messages/{message}")).await;
    seen.note("getMessage", 200, &answer);
    assert!(answer.json()["receipts"]["displayed"].is_string());
    let answer = api.get(&format!("/messages/{message}/events")).await;
    seen.note("listMessageEvents", 200, &answer);
    erased(&api, seen, &plain).await;
    mistakes(&api, seen, &plain, &wrapped).await;
}

/// What is answered about the SIP of a received message.
async fn sip(api: &ApiFixture, seen: &mut Seen, path: &str) {
    let (path, call) = (format!("{path}/sip"), "getReceivedSip");
    for form in running::sip_forms() {
        let accept = [("accept", form)];
        let answer = api.call(Method::GET, &path, &accept, "").await;
        seen.note(call, 200, &answer);
    }
    let html = [("accept", "text/html")];
    let answer = api.call(Method::GET, &path, &html, "").await;
    seen.note(call, 406, &answer);
    let answer = api.get(&format!("{path}?x=1")).await;
    seen.note(call, 400, &answer);
    let nobody = "/received/01930000-0000-7000-8000-000000000001/sip";
    seen.note(call, 404, &api.get(nobody).await);
}

async fn erased(api: &ApiFixture, seen: &mut Seen, path: &str) {
    let erase = async |path: &str| api.call(Method::DELETE, path, &[], "").await;
    let answer = erase(&format!("{path}?x=1")).await;
    seen.note("eraseReceived", 400, &answer);
    seen.note("eraseReceived", 204, &erase(path).await);
    seen.note("eraseReceived", 404, &erase(path).await);
    seen.note("getReceived", 404, &api.get(path).await);
    let events = api.get("/events").await;
    seen.note("listEvents", 200, &events);
    let events = events.json();
    let events = events["data"].as_array().unwrap();
    let types: Vec<_> = events.iter().map(|event| &event["type"]).collect();
    let expected = [
        "received",
        "received",
        "delivered",
        "displayed",
        "undelivered",
    ];
    assert_eq!(types, expected);
    assert_eq!(events[0]["erased"], true);
}

async fn mistakes(api: &ApiFixture, seen: &mut Seen, erased: &str, other: &str) {
    let id = |path: &str| path.trim_start_matches("/received/").to_owned();
    let receipts = json!(["delivered"]);
    for (message, pointer) in [
        (json!({"body": ""}), "/target"),
        (json!({"body": "", "inReplyTo": "x"}), "/inReplyTo"),
        (json!({"body": "", "inReplyTo": id(erased)}), "/inReplyTo"),
        (
            json!({"body": "", "inReplyTo": id(other), "from": BOB}),
            "/from",
        ),
        (
            json!({"target": "bob", "body": "", "receipts": ["read"]}),
            "/receipts/0",
        ),
        (
            json!({"target": "bob", "body": "", "receipts": receipts, "contentType": "message/CPIM"}),
            "/receipts",
        ),
    ] {
        let answer = api.post("/messages", message.to_string()).await;
        seen.note("sendMessage", 422, &answer);
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{message}");
        let batch = json!({"messages": [{"target": "bob", "body": ""}, message]});
        let answer = api.post("/messages/batch", batch.to_string()).await;
        seen.note("sendBatch", 422, &answer);
        let pointer = format!("/messages/1{pointer}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{batch}");
    }
    let answer = api
        .post(
            "/messages?until=delivered",
            json!({"target": "bob", "body": ""}).to_string(),
        )
        .await;
    seen.note("sendMessage", 400, &answer);
    let stream = [("accept", "text/event-stream")];
    let path = "/messages/01930000-0000-7000-8000-000000000001/events?until=read";
    let answer = api.call(Method::GET, path, &stream, "").await;
    seen.note("listMessageEvents", 400, &answer);
}
