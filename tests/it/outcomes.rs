//! What becomes of a message, for everything a SIP server can say or not say.

use serde_json::Value;
use serde_json::json;

use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::id_of;
use crate::harness::types_of;

/// The finished message and its events.
async fn outcome(peer: &Peer, setup: TestGateway, members: Value) -> (Value, Vec<Value>) {
    let gateway = setup.open().await;
    peer.registered(1).await;
    let mut message = json!({"target": "bob", "body": "Hello"});
    for (name, value) in members.as_object().unwrap() {
        message[name] = value.clone();
    }
    let finished = gateway.http.delivered(&message).await;
    let events = gateway.http.events_of(&id_of(&finished)).await;
    assert_eq!(events.last(), Some(&finished["result"]));
    gateway.stop().await;
    (finished, events)
}

#[tokio::test]
async fn any_2xx_is_success_and_its_status_is_told() {
    for (reply, status) in [
        (Reply::Status(200), 200),
        (Reply::Status(202), 202),
        (Reply::After(100, 200), 200),
        (Reply::Thrice(200), 200),
        (Reply::Noise(200), 200),
    ] {
        let peer = Peer::start().await;
        peer.script("bob", [reply.clone()]);
        let (finished, events) = outcome(&peer, TestGateway::at(&peer), json!({})).await;
        assert_eq!(finished["status"], "succeeded", "{reply:?}");
        assert_eq!(types_of(&events), ["sending", "succeeded"], "{reply:?}");
        assert_eq!(
            finished["result"]["response"]["statusCode"], status,
            "{reply:?}"
        );
        assert_eq!(peer.got("bob").len(), 1);
    }
}

#[tokio::test]
async fn a_refusal_fails_at_once_with_its_cause() {
    for (status, cause) in [
        (302, "Redirected"),
        (400, "SIP Failure Code"),
        (403, "Rejected"),
        (404, "Not Found"),
        (408, "Request Timeout"),
        (410, "Unavailable"),
        (480, "Unavailable"),
        (484, "Address Incomplete"),
        (486, "Busy"),
        (488, "Incompatible SDP"),
        (501, "SIP Failure Code"),
        (600, "Busy"),
        (603, "Rejected"),
        (604, "Not Found"),
    ] {
        let peer = Peer::start().await;
        peer.script("bob", [Reply::Status(status)]);
        let (finished, events) = outcome(&peer, TestGateway::at(&peer), json!({})).await;
        assert_eq!(types_of(&events), ["sending", "failed"], "{status}");
        let result = &finished["result"];
        assert_eq!(
            (&result["cause"], &result["originator"]),
            (&json!(cause), &json!("remote"))
        );
        assert_eq!(result["response"]["statusCode"], status);
        assert_eq!(result["ambiguous"], false);
    }
}

#[tokio::test]
async fn not_now_is_tried_again_with_one_call_id_and_rising_cseq() {
    for status in [429, 500, 502, 503, 504] {
        let peer = Peer::start().await;
        peer.script(
            "bob",
            [
                Reply::Status(status),
                Reply::Status(status),
                Reply::Status(200),
            ],
        );
        let (finished, events) = outcome(&peer, TestGateway::at(&peer), json!({})).await;
        assert_eq!(
            (&finished["status"], &finished["attempt"]),
            (&json!("succeeded"), &json!(3))
        );
        let types = [
            "sending",
            "deferred",
            "sending",
            "deferred",
            "sending",
            "succeeded",
        ];
        assert_eq!(types_of(&events), types, "{status}");
        assert_eq!(events[1]["response"]["statusCode"], status);
        assert!(events[1]["nextAttemptAt"].as_str() <= events[2]["time"].as_str());
        let got = peer.got("bob");
        assert!(got.iter().all(|one| one.call_id == got[0].call_id));
        let number = |one: &crate::harness::Got| one.cseq.split(' ').next().unwrap().parse::<u32>();
        assert!(
            got.windows(2)
                .all(|two| number(&two[0]).unwrap() < number(&two[1]).unwrap())
        );
    }
}

#[tokio::test]
async fn attempts_are_bounded_and_one_is_one() {
    for attempts in [1, 2, 5] {
        let peer = Peer::start().await;
        peer.script("bob", [Reply::Status(503)]);
        let members = json!({"attempts": attempts});
        let (finished, _) = outcome(&peer, TestGateway::at(&peer), members).await;
        assert_eq!(
            (&finished["status"], &finished["attempt"]),
            (&json!("failed"), &json!(attempts))
        );
        let result = &finished["result"];
        assert_eq!(result["cause"], "SIP Failure Code");
        assert_eq!(result["response"]["statusCode"], 503);
        assert_eq!(peer.got("bob").len(), attempts);
    }
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let peer = Peer::start().await;
    peer.script(
        "bob",
        [Reply::With(503, "Retry-After: 1\r\n"), Reply::Status(200)],
    );
    let (_, events) = outcome(&peer, TestGateway::at(&peer), json!({})).await;
    let time = |event: &Value, member: &str| -> sipost::message::Timestamp {
        event[member].as_str().unwrap().parse().unwrap()
    };
    let deferred = &events[1];
    let wait = time(deferred, "nextAttemptAt").since(time(deferred, "time"));
    assert_eq!(wait.as_millis(), 1_000);
    assert!(time(&events[2], "time") >= time(deferred, "nextAttemptAt"));
}

#[tokio::test]
async fn a_retry_after_beyond_the_time_to_live_is_not_waited_for() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::With(503, "Retry-After: 600\r\n")]);
    let (finished, events) = outcome(&peer, TestGateway::at(&peer), json!({"ttl": 60})).await;
    assert_eq!(types_of(&events), ["sending", "failed"]);
    assert_eq!(finished["result"]["response"]["statusCode"], 503);
}

#[tokio::test]
async fn another_agent_tries_where_there_is_one() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(503), Reply::Status(200)]);
    let setup = TestGateway::at(&peer).with_agents(2);
    let gateway = setup.open().await;
    peer.registered(2).await;
    soon_registered(&gateway.http).await;
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "x"}))
        .await;
    let got = peer.got("bob");
    assert_ne!(got[0].connection, got[1].connection);
    gateway.stop().await;
}

async fn soon_registered(http: &crate::harness::Client) {
    crate::harness::soon("every agent is registered", async {
        loop {
            let agents = http.get("/agents").await.body;
            let mut agents = agents["data"].as_array().unwrap().iter();
            if agents.all(|agent| agent["state"] == "registered") {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn lost_after_the_write_is_sent_again_with_the_same_call_id() {
    for reply in [Reply::Cut, Reply::Close] {
        let peer = Peer::start().await;
        peer.script("bob", [reply.clone(), Reply::Status(200)]);
        let (finished, events) = outcome(&peer, TestGateway::at(&peer), json!({})).await;
        assert_eq!(finished["status"], "succeeded", "{reply:?}");
        assert_eq!(
            types_of(&events),
            ["sending", "deferred", "sending", "succeeded"]
        );
        assert_eq!(events[1]["cause"], "Connection Error");
        assert_eq!(
            (&events[1]["originator"], &events[1]["response"]),
            (&json!("system"), &Value::Null)
        );
        let got = peer.got("bob");
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].call_id, got[1].call_id);
        assert_eq!(got[0].header("From"), got[1].header("From"));
    }
}

#[tokio::test]
async fn lost_after_the_write_with_fail_is_ambiguous_and_not_sent_again() {
    for reply in [Reply::Cut, Reply::Close] {
        let peer = Peer::start().await;
        peer.script("bob", [reply]);
        let members = json!({"onUnknown": "fail"});
        let (finished, events) = outcome(&peer, TestGateway::at(&peer), members).await;
        assert_eq!(types_of(&events), ["sending", "failed"]);
        let result = &finished["result"];
        assert_eq!(
            (&result["cause"], &result["ambiguous"]),
            (&json!("Connection Error"), &json!(true))
        );
        assert_eq!(peer.got("bob").len(), 1);
    }
}

#[tokio::test]
async fn silence_is_unknown_after_timer_f() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Silence, Reply::Status(200)]);
    let setup = TestGateway::at(&peer).with("sip.timer_f = '300ms'");
    let (finished, events) = outcome(&peer, setup, json!({})).await;
    assert_eq!(finished["status"], "succeeded");
    assert_eq!(
        types_of(&events),
        ["sending", "deferred", "sending", "succeeded"]
    );
    assert_eq!(events[1]["cause"], "Request Timeout");
    assert_eq!(events[1]["originator"], "system");

    let peer = Peer::start().await;
    peer.script("bob", [Reply::Silence]);
    let setup = TestGateway::at(&peer).with("sip.timer_f = '300ms'");
    let (finished, _) = outcome(&peer, setup, json!({"onUnknown": "fail"})).await;
    let result = &finished["result"];
    assert_eq!(
        (&result["cause"], &result["ambiguous"]),
        (&json!("Request Timeout"), &json!(true))
    );
    assert_eq!(peer.got("bob").len(), 1);
}

#[tokio::test]
async fn silence_to_the_last_attempt_is_ambiguous_too() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Silence]);
    let setup = TestGateway::at(&peer).with("sip.timer_f = '200ms'");
    let (finished, events) = outcome(&peer, setup, json!({"attempts": 2})).await;
    assert_eq!(
        types_of(&events),
        ["sending", "deferred", "sending", "failed"]
    );
    assert_eq!(finished["result"]["ambiguous"], true);
    assert_eq!(peer.got("bob").len(), 2);
}

#[tokio::test]
async fn a_challenge_that_cannot_be_answered_is_an_authentication_error() {
    let peer = Peer::start().await;
    let challenge =
        "WWW-Authenticate: Digest realm=\"x\", nonce=\"n\", algorithm=MD5, qop=\"auth\"\r\n";
    peer.script("bob", [Reply::With(401, challenge)]);
    let (finished, events) = outcome(&peer, TestGateway::at(&peer), json!({})).await;
    assert_eq!(types_of(&events), ["sending", "failed"]);
    let result = &finished["result"];
    assert_eq!(
        (&result["cause"], &result["originator"]),
        (&json!("Authentication Error"), &json!("remote"))
    );
    assert_eq!(result["response"]["statusCode"], 401);
}

#[tokio::test]
async fn a_message_accepted_while_nobody_is_registered_goes_out_when_somebody_is() {
    let peer = Peer::start().await;
    peer.answer_registers(503);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let id = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "x"}))
        .await;
    let shown = gateway.http.get(&format!("/messages/{id}")).await.body;
    assert_eq!(
        (&shown["status"], &shown["attempt"]),
        (&json!("queued"), &json!(0))
    );
    peer.answer_registers(200);
    let finished = gateway.http.finished(&id).await;
    assert_eq!(
        (&finished["status"], &finished["attempt"]),
        (&json!("succeeded"), &json!(1))
    );
    gateway.stop().await;
}
