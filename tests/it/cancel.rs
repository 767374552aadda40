//! `DELETE /messages/{id}`.

use serde_json::json;

use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::types_of;
use crate::schedule::in_millis;

#[tokio::test]
async fn a_message_that_waits_is_canceled_and_never_sent() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200), Reply::Status(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let first = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "1"}))
        .await;
    peer.wait_for("bob", 1).await;
    let second = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "2"}))
        .await;
    let third = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "3"}))
        .await;

    let canceled = gateway.http.delete(&format!("/messages/{second}")).await;
    assert_eq!(
        (canceled.status, &canceled.body["status"]),
        (200, &json!("failed"))
    );
    let result = &canceled.body["result"];
    assert_eq!(
        (&result["cause"], &result["originator"]),
        (&json!("Canceled"), &json!("local"))
    );
    assert_eq!(
        (&result["attempt"], &result["ambiguous"]),
        (&json!(0), &json!(false))
    );
    peer.release("bob");
    gateway.http.finished(&first).await;
    gateway.http.finished(&third).await;
    let bodies: Vec<_> = peer.got("bob").into_iter().map(|got| got.body).collect();
    assert_eq!(bodies, ["1", "3"]);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_being_sent_or_has_ended_cannot_be_canceled() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let id = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "1"}))
        .await;
    peer.wait_for("bob", 1).await;
    let refused = gateway.http.delete(&format!("/messages/{id}")).await;
    assert_eq!((refused.status, refused.problem()), (409, "too-late"));
    peer.release("bob");
    assert_eq!(gateway.http.finished(&id).await["status"], "succeeded");
    let refused = gateway.http.delete(&format!("/messages/{id}")).await;
    assert_eq!((refused.status, refused.problem()), (409, "too-late"));

    let unknown = "/messages/0193a000-0000-7000-8000-000000000000";
    assert_eq!(gateway.http.delete(unknown).await.status, 404);
    assert_eq!(gateway.http.delete("/messages/nonsense").await.status, 404);
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_deferred_or_scheduled_is_canceled_also_after_a_restart() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::With(503, "Retry-After: 600\r\n")]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let deferred = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "1"}))
        .await;
    let mut stream = gateway
        .http
        .stream(&format!("/messages/{deferred}/events"))
        .await;
    while stream.next().await.name != "deferred" {}
    let later = in_millis(600_000);
    let scheduled = json!({"target": "carol", "body": "2", "sendAt": later});
    let scheduled = gateway.http.accepted(&scheduled).await;
    gateway.stop().await;

    let gateway = setup.open().await;
    for (id, types) in [
        (&deferred, vec!["sending", "deferred", "failed"]),
        (&scheduled, vec!["failed"]),
    ] {
        let answer = gateway.http.delete(&format!("/messages/{id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body["result"]["cause"], "Canceled");
        assert_eq!(types_of(&gateway.http.events_of(id).await), types);
    }
    gateway.stop().await;
}

/// After a restart the gateway knows only the name of a message until it is due: it learns that the
/// message is gone when it reads it for the cancellation.
#[tokio::test]
async fn a_message_that_is_gone_from_the_store_is_answered_as_unknown_when_it_is_canceled() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let later = in_millis(600_000);
    let scheduled = json!({"target": "carol", "body": "2", "sendAt": later});
    let id = gateway.http.accepted(&scheduled).await;
    gateway.stop().await;

    let gateway = setup.open().await;
    let database = rusqlite::Connection::open(setup.store()).unwrap();
    for table in ["states", "messages"] {
        let gone = database.execute(&format!("DELETE FROM {table}"), []);
        assert_eq!(gone, Ok(1), "{table}");
    }
    let path = format!("/messages/{id}");
    for _ in 0..2 {
        let answer = gateway.http.delete(&path).await;
        assert_eq!((answer.status, answer.problem()), (404, "not-found"));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn of_many_who_cancel_at_once_one_is_told_that_it_did() {
    let peer = Peer::start().await;
    peer.answer_registers(503);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let id = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "1"}))
        .await;
    let path = format!("/messages/{id}");
    let answers = futures_util::future::join_all((0..20).map(|_| gateway.http.delete(&path))).await;
    let granted = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.status == 409).count();
    assert_eq!((granted, refused), (1, 19));
    assert_eq!(types_of(&gateway.http.events_of(&id).await), ["failed"]);
    gateway.stop().await;
}
