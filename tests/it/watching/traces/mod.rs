//! One message as one trace: from the request, through the queue and SIP, to the webhook.

mod collector;

use std::collections::BTreeSet;
use std::collections::HashMap;

use collector::Behaviour;
use collector::Collector;
use collector::Told;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::harness::Client;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::id_of;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// A gateway that tells this collector, and may post to this machine.
fn traced(peer: &Peer, collector: &Collector) -> TestGateway {
    TestGateway::at(peer)
        .with(&collector.setting())
        .with("webhooks.allowed_networks = ['127.0.0.0/8']")
        .with("webhooks.secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'")
}

fn message(collector: &Collector) -> Value {
    json!({"target": "bob", "body": "secret-body", "webhook": collector.webhook()})
}

/// Posts it as part of the client's trace; its id.
async fn post(http: &Client, path: &str, body: &Value, flags: &str) -> Value {
    let request = http.request(Method::POST, path).json(body);
    let traceparent = format!("00-{TRACE}-{CLIENT}-{flags}");
    let answer = http.send(request.header("traceparent", traceparent)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.body
}

/// The spans of a message in their order, as what leads to what. None begins before its parent.
fn shape(spans: &[Told]) -> Vec<(&str, &str)> {
    let names: HashMap<&str, &str> = spans
        .iter()
        .map(|span| (span.id.as_str(), span.name.as_str()))
        .collect();
    assert_eq!(names.len(), spans.len(), "names of spans are their own");
    for span in spans {
        let parent = spans.iter().find(|other| other.id == span.parent);
        let is_later = parent.is_none_or(|parent| parent.begun <= span.begun);
        assert!(is_later, "{span:?} begins before {parent:?}");
    }
    let parent = |span: &Told| match span.parent.as_str() {
        "" => "nothing",
        CLIENT => "the client",
        parent => names[parent],
    };
    let mut shape: Vec<_> = spans
        .iter()
        .map(|span| (span.name.as_str(), parent(span)))
        .collect();
    shape.sort_unstable();
    shape
}

#[tokio::test]
async fn a_message_is_one_trace_from_the_request_to_the_webhook() {
    let (peer, collector) = (Peer::start().await, Collector::start().await);
    peer.script("bob", [Reply::Status(503), Reply::Status(200)]);
    let setup = traced(&peer, &collector)
        .with("telemetry.otlp_headers = ['X-Key: secret-key']")
        .with("telemetry.log_level = 'trace'");
    let gateway = setup.launch().await;
    let id = id_of(&post(&gateway.http, "/messages", &message(&collector), "01").await);
    assert_eq!(gateway.http.finished(&id).await["status"], "succeeded");
    let spans = collector.spans(9).await;
    let expected = [
        ("POST /messages", "the client"),
        ("POST webhook", "SIP MESSAGE"),
        ("POST webhook", "SIP MESSAGE"),
        ("POST webhook", "queue"),
        ("POST webhook", "queue"),
        ("SIP MESSAGE", "queue"),
        ("SIP MESSAGE", "queue"),
        ("queue", "POST /messages"),
        ("queue", "POST /messages"),
    ];
    assert_eq!(shape(&spans), expected);
    for span in &spans {
        assert_eq!(span.trace, TRACE);
        assert!(span.begun <= span.ended, "{span:?}");
        if span.name != "POST /messages" {
            assert_eq!(span.attribute("sipost.message.id"), id);
        }
    }

    let seen = collector.seen();
    let [call] = seen.named("POST /messages")[..] else {
        panic!("{seen:?}");
    };
    assert_eq!((call.kind, &call.error), (2, &None));
    assert_eq!(call.attribute("http.response.status_code"), "202");
    assert_eq!(call.attribute("http.route"), "/messages");
    let attempts = seen.named("SIP MESSAGE");
    for (at, (span, code)) in attempts.iter().zip(["503", "200"]).enumerate() {
        assert_eq!(span.kind, 3);
        assert_eq!(span.attribute("sip.response.status_code"), code);
        assert_eq!(span.attribute("sip.call_id"), peer.got("bob")[at].call_id);
        assert_eq!(span.attribute("sipost.agent.id"), "alice-1");
        assert_eq!(span.attribute("sipost.attempt"), (at + 1).to_string());
        assert_eq!(span.error.as_deref(), (code == "503").then_some("503"));
    }

    // Each post tells of itself. That of `sending` follows from the wait that is over, the other
    // from the attempt.
    let posts = seen.named("POST webhook");
    let of_post = |span: &&Told| {
        let event = span.attribute("sipost.event.id").to_owned();
        (format!("00-{TRACE}-{}-01", span.id), event)
    };
    let told: BTreeSet<_> = posts.iter().map(of_post).collect();
    let received = seen.hooks.iter().map(|headers| {
        let value = |name: &str| headers[name].to_str().unwrap().to_owned();
        (value("traceparent"), value("webhook-id"))
    });
    assert_eq!(received.collect::<BTreeSet<_>>(), told);
    for (number, (wait, attempt)) in (1..).zip(seen.named("queue").iter().zip(attempts)) {
        let number = number.to_string();
        let its = posts
            .iter()
            .filter(|post| post.attribute("sipost.attempt") == number);
        let parents: BTreeSet<_> = its.map(|post| post.parent.as_str()).collect();
        assert_eq!(parents, [&*wait.id, &*attempt.id].into());
    }
    for span in posts {
        assert_eq!(span.attribute("http.response.status_code"), "200");
    }

    // The spans name their gateway, and no secret.
    assert_eq!(seen.headers["x-key"], "secret-key");
    assert_eq!(seen.resource["service.name"], "sipost");
    assert!(seen.resource.contains_key("service.instance.id"));
    let text = String::from_utf8_lossy(&seen.bytes);
    for secret in ["secret", "bob", "whsec"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let exit = gateway.stop().await;
    for secret in ["secret-key", "secret-body", "secret-path", "secret-query"] {
        let found = exit.said.lines().find(|line| line.contains(secret));
        assert_eq!(found, None, "{secret} is printed");
    }
    // A line of the log leads to the trace.
    let line = exit.said.lines().find(|line| line.contains("succeeded"));
    assert!(line.is_some_and(|line| line.contains(TRACE)), "{line:?}");
    assert!(!exit.said.contains("failed to export"), "{exit:?}");
}

#[tokio::test]
async fn a_message_that_waits_for_another_life_of_the_gateway_stays_in_its_trace() {
    for is_killed in [false, true] {
        let (peer, collector) = (Peer::start().await, Collector::start().await);
        peer.answer_registers(503);
        let setup = traced(&peer, &collector);
        let gateway = setup.launch().await;
        let id = id_of(&post(&gateway.http, "/messages", &message(&collector), "01").await);
        if is_killed {
            // What was not handed over yet is gone with the process.
            collector.spans(1).await;
            gateway.kill().await;
        } else {
            gateway.stop().await;
            assert_eq!(
                collector.seen().spans.len(),
                1,
                "handed over before the end"
            );
        }
        peer.answer_registers(200);
        let gateway = setup.launch().await;
        gateway.http.finished(&id).await;
        let expected = [
            ("POST /messages", "the client"),
            ("POST webhook", "SIP MESSAGE"),
            ("POST webhook", "queue"),
            ("SIP MESSAGE", "queue"),
            ("queue", "POST /messages"),
        ];
        assert_eq!(shape(&collector.spans(5).await), expected);
        assert!(
            collector
                .seen()
                .spans
                .iter()
                .all(|span| span.trace == TRACE)
        );
        gateway.stop().await;
    }
}

#[tokio::test]
async fn an_attempt_that_the_gateway_did_not_live_to_see_the_end_of_is_told_of_all_the_same() {
    let (peer, collector) = (Peer::start().await, Collector::start().await);
    peer.script("bob", [Reply::Held(200), Reply::Status(200)]);
    let setup = traced(&peer, &collector);
    let gateway = setup.launch().await;
    let id = id_of(&post(&gateway.http, "/messages", &message(&collector), "01").await);
    peer.wait_for("bob", 1).await;
    // The call, the wait, and the post of `sending`.
    collector.spans(3).await;
    gateway.kill().await;
    let gateway = setup.launch().await;
    gateway.http.finished(&id).await;
    collector.spans(9).await;
    let seen = collector.seen();
    let attempts = seen.named("SIP MESSAGE");
    let errors: Vec<_> = attempts.iter().map(|span| span.error.as_deref()).collect();
    assert_eq!(errors, [Some("gateway ended"), None]);
    shape(&seen.spans);
    gateway.stop().await;
}

#[tokio::test]
async fn what_ends_without_an_attempt_has_waited_in_vain() {
    let (peer, collector) = (Peer::start().await, Collector::start().await);
    peer.answer_registers(503);
    let setup = traced(&peer, &collector);
    let gateway = setup.open().await;
    let body = json!({"messages": [message(&collector), message(&collector)]});
    let batch = post(&gateway.http, "/messages/batch", &body, "01").await;
    for one in batch["data"].as_array().unwrap() {
        let answer = gateway
            .http
            .delete(&format!("/messages/{}", id_of(one)))
            .await;
        assert_eq!(answer.status, 200);
    }
    let expected = [
        ("POST /messages/batch", "the client"),
        ("POST webhook", "queue"),
        ("POST webhook", "queue"),
        ("queue", "POST /messages/batch"),
        ("queue", "POST /messages/batch"),
    ];
    assert_eq!(shape(&collector.spans(5).await), expected);
    let seen = collector.seen();
    let waits = seen.named("queue");
    assert!(
        waits
            .iter()
            .all(|span| span.error.as_deref() == Some("Canceled"))
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_trace_begins_here_where_no_client_began_one_and_what_nobody_keeps_is_not_told_of() {
    let (peer, collector) = (Peer::start().await, Collector::start().await);
    let setup = traced(&peer, &collector).with("telemetry.targets = 'plain'");
    let gateway = setup.open().await;
    // Not kept by the client.
    let dropped = id_of(&post(&gateway.http, "/messages", &message(&collector), "00").await);
    gateway.http.finished(&dropped).await;
    // Of no client, and of one that does not know how to write it.
    let request = gateway.http.request(Method::POST, "/messages");
    let request = request.json(&message(&collector));
    let answer = gateway
        .http
        .send(request.header("traceparent", "00-x"))
        .await;
    gateway.http.finished(&id_of(&answer.body)).await;
    let refused = gateway.http.post(&json!({"target": 7})).await;
    assert_eq!(refused.status, 422);
    gateway.http.get("/messages").await;
    let seen = collector
        .sees("six spans and four posts", |seen| {
            seen.spans.len() == 6 && seen.hooks.len() == 4
        })
        .await;
    let mut calls = seen.named("POST /messages");
    calls.sort_by_key(|span| span.attribute("http.response.status_code"));
    let statuses: Vec<_> = calls
        .iter()
        .map(|span| {
            (
                span.attribute("http.response.status_code"),
                span.parent.as_str(),
            )
        })
        .collect();
    assert_eq!(statuses, [("202", ""), ("422", "")]);
    assert!(seen.spans.iter().all(|span| span.trace != TRACE));
    assert_ne!(calls[0].trace, calls[1].trace);
    let [wait] = seen.named("queue")[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(wait.trace, calls[0].trace);
    assert_eq!(
        wait.attribute("sipost.message.target"),
        "sip:bob@example.com"
    );
    // Receivers are told of the first trace too, and that it is not kept.
    let of_first = |flags: &str| {
        let is_it =
            |value: &str| value.starts_with(&format!("00-{TRACE}-")) && value.ends_with(flags);
        let told = seen
            .hooks
            .iter()
            .map(|headers| headers["traceparent"].to_str().unwrap());
        told.filter(|value| is_it(value)).count()
    };
    assert_eq!((of_first("-00"), of_first("")), (2, 2));
    gateway.stop().await;
}

#[tokio::test]
async fn of_the_traces_begun_here_a_share_is_kept() {
    let (peer, collector) = (Peer::start().await, Collector::start().await);
    let setup = traced(&peer, &collector).with("telemetry.trace_ratio = 0");
    let gateway = setup.open().await;
    gateway.http.delivered(&message(&collector)).await;
    let seen = collector
        .sees("two posts", |seen| seen.hooks.len() == 2)
        .await;
    for headers in &seen.hooks {
        assert!(headers["traceparent"].to_str().unwrap().ends_with("-00"));
    }
    // What a client keeps is kept, whatever the share.
    let id = id_of(&post(&gateway.http, "/messages", &message(&collector), "01").await);
    gateway.http.finished(&id).await;
    let spans = collector.spans(5).await;
    assert!(spans.iter().all(|span| span.trace == TRACE));
    gateway.stop().await;
}

#[tokio::test]
async fn a_collector_that_hangs_or_refuses_or_is_not_there_holds_up_nothing() {
    for behaviour in [Some(Behaviour::Hangs), Some(Behaviour::Refuses), None] {
        let (peer, collector) = (Peer::start().await, Collector::start().await);
        let setup = match behaviour {
            Some(behaviour) => {
                collector.behave(behaviour);
                traced(&peer, &collector)
            }
            None => {
                traced(&peer, &collector).with("telemetry.otlp_endpoint = 'http://127.0.0.1:1'")
            }
        };
        let gateway = setup.launch().await;
        let mut last = String::new();
        for _ in 0..50 {
            last = id_of(&post(&gateway.http, "/messages", &message(&collector), "01").await);
        }
        gateway.http.finished(&last).await;
        collector
            .sees("all posts", |seen| seen.hooks.len() == 100)
            .await;
        if behaviour == Some(Behaviour::Hangs) {
            let exit = gateway.stop().await;
            assert_eq!(exit.code, Some(0), "{exit:?}");
            assert!(
                exit.said.contains("failed to export the last spans"),
                "{exit:?}"
            );
            continue;
        }
        gateway
            .says("failed to export spans; they are dropped until the collector takes them")
            .await;
        let request = gateway.http.request(Method::GET, "/metrics");
        let figures = request.send().await.unwrap().text().await.unwrap();
        let failed = figures
            .lines()
            .find(|line| line.starts_with("sipost_spans_total{outcome=\"failed\""));
        assert!(
            failed.is_some_and(|line| !line.ends_with(" 0")),
            "{figures}"
        );
        if behaviour == Some(Behaviour::Refuses) {
            collector.behave(Behaviour::Takes);
            gateway.http.delivered(&message(&collector)).await;
            gateway.says("spans are exported again").await;
        }
        let exit = gateway.stop().await;
        assert_eq!(exit.said.matches("failed to export").count(), 1, "{exit:?}");
    }
}

#[tokio::test]
async fn a_collector_is_told_over_tls_when_its_certificate_is_trusted() {
    let (peer, collector) = (Peer::start().await, Collector::start_tls().await);
    let setup = TestGateway::at(&peer).with(&collector.setting());
    let stranger = setup.launch().await;
    let message = json!({"target": "bob", "body": "Hello"});
    stranger.http.delivered(&message).await;
    stranger.says("failed to export spans").await;
    stranger.stop().await;
    assert_eq!(collector.seen().spans.len(), 0);

    let authority = format!("telemetry.otlp_ca_file = '{}'", collector::authority());
    let gateway = setup.with(&authority).open().await;
    gateway.http.delivered(&message).await;
    let spans = collector.spans(3).await;
    let expected = [
        ("POST /messages", "nothing"),
        ("SIP MESSAGE", "queue"),
        ("queue", "POST /messages"),
    ];
    assert_eq!(shape(&spans), expected);
    gateway.stop().await;
}
