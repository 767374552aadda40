//! What is posted, to whom, in which order, and how often.

use std::collections::BTreeMap;
use std::collections::HashMap;

use serde_json::Value;
use serde_json::json;

use super::*;
use receiver::Reply;

#[tokio::test]
async fn events_are_posted_as_the_log_has_them_signed_and_in_order() {
    let receiver = Receiver::start().await;
    let gateway = Running::start(&configuration("")).await;
    let before = finish(&gateway, &message("ok")).await;
    let webhook = create(&gateway, json!({"url": receiver.url("/hook?a=b")})).await;
    let secret = webhook["secret"].as_str().unwrap();
    let ids = [
        finish(&gateway, &message("ok")).await,
        finish(&gateway, &message("busy")).await,
    ];

    let posts = receiver.posted(4).await;
    let mut by_message: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for post in &posts {
        assert_eq!(post.uri, "/hook?a=b");
        assert!(post.is_signed_with(secret), "{post:?}");
        let event = post.event();
        assert_eq!(post.header("webhook-id"), event["id"].as_str().unwrap());
        assert_eq!(event["metadata"], json!({"order": "42"}));
        let of = event["messageId"].as_str().unwrap().to_owned();
        let body = String::from_utf8(post.body.to_vec()).unwrap();
        by_message.entry(of).or_default().push(body);
    }
    // Every byte is that of the log, and events from before the webhook are not posted.
    for id in &ids {
        let page = gateway.get(&format!("/messages/{id}/events")).send().await;
        let page = page.unwrap().text().await.unwrap();
        let events = by_message[id].join(",");
        assert_eq!(
            page,
            format!("{{\"data\":[{events}],\"nextCursor\":null}}\n")
        );
    }
    assert!(!by_message.contains_key(&before));
    let known = until("all delivered", async || {
        let known = deliveries(&gateway, &webhook, "").await;
        let delivered = |one: &Value| one["status"] == "delivered";
        known.iter().all(delivered).then_some(known)
    })
    .await;
    assert_eq!(known.len(), 4);
    assert_eq!(known[3]["id"], posts[0].header("webhook-id"));
    let attempt = &known[3]["attempts"][0];
    assert_eq!(
        (attempt["status"].clone(), attempt["answer"].clone()),
        (json!(200), json!("thanks"))
    );
    assert_eq!(
        (attempt["number"].clone(), attempt["error"].clone()),
        (json!(1), Value::Null)
    );
}

#[tokio::test]
async fn a_webhook_that_names_them_is_told_when_agents_come_and_go() {
    let receiver = Receiver::start().await;
    let gateway = Running::start(&configuration("")).await;
    finish(&gateway, &message("ok")).await;
    create(&gateway, json!({"url": receiver.url("/all")})).await;
    let types = json!(["agentDown", "agentUp"]);
    create(
        &gateway,
        json!({"url": receiver.url("/agents"), "types": types}),
    )
    .await;
    let (_, agents) = json_of(gateway.get("/agents")).await;
    let agent = agents["data"][0]["id"].as_str().unwrap().to_owned();
    for (order, posts) in [("drain", 1), ("resume", 2)] {
        let told = gateway
            .post(&format!("/agents/{agent}/{order}"))
            .send()
            .await;
        assert!(told.unwrap().status().is_success());
        receiver.posted(posts).await;
    }
    finish(&gateway, &message("ok")).await;

    let posts = receiver.posted(4).await;
    let of = |path: &str| {
        let posts = posts.iter().filter(|post| post.uri == path);
        let types = posts.map(|post| post.event()["type"].as_str().unwrap().to_owned());
        types.collect::<Vec<_>>()
    };
    assert_eq!(of("/agents"), ["agentDown", "agentUp"]);
    assert_eq!(of("/all"), ["sending", "succeeded"]);
}

#[tokio::test]
async fn a_webhook_sees_the_types_and_accounts_it_asks_for() {
    let receiver = Receiver::start().await;
    let gateway = Running::start(&configuration("")).await;
    let own = "sip:sipost@sandbox.invalid";
    let (_, agents) = json_of(gateway.get("/agents")).await;
    let own = agents["data"][0]["account"]
        .as_str()
        .unwrap_or(own)
        .to_owned();
    for (path, filter) in [
        ("/ends", json!({"types": ["succeeded", "failed"]})),
        ("/failures", json!({"types": ["failed"], "from": [own]})),
        ("/paused", json!({"enabled": false})),
    ] {
        let mut webhook = filter;
        webhook["url"] = receiver.url(path).into();
        create(&gateway, webhook).await;
    }
    finish(&gateway, &message("busy")).await;
    finish(&gateway, &message("ok")).await;
    let posts = receiver.posted(3).await;
    let mut seen: Vec<_> = posts
        .iter()
        .map(|post| format!("{} {}", post.uri, post.event()["type"].as_str().unwrap()))
        .collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        ["/ends failed", "/ends succeeded", "/failures failed"]
    );
}

#[tokio::test]
async fn a_message_can_name_a_webhook_of_its_own() {
    let receiver = Receiver::start().await;
    let gateway = Running::start(&configuration("")).await;
    let mut own = message("ok");
    own["webhook"] = receiver.url("/own?order=42").into();
    let id = finish(&gateway, &own).await;
    finish(&gateway, &message("ok")).await;
    let posts = receiver.posted(2).await;
    for (post, kind) in posts.iter().zip(["sending", "succeeded"]) {
        assert_eq!(post.uri, "/own?order=42");
        assert!(post.is_signed_with(OWN_SECRET));
        let event = post.event();
        assert_eq!(
            (&event["messageId"], &event["type"]),
            (&json!(id), &json!(kind))
        );
    }
    assert_eq!(receiver.posts().len(), 2);
}

#[tokio::test]
async fn the_trace_of_a_request_goes_on_in_what_is_posted() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let receiver = Receiver::start().await;
    let gateway = Running::start(&configuration("")).await;
    let mut own = message("ok");
    own["webhook"] = receiver.url("/own").into();
    for (value, path, body) in [
        (trace, "/messages", own.clone()),
        ("00-this-is-no-trace", "/messages", own.clone()),
        (trace, "/messages/batch", json!({"messages": [own, own]})),
    ] {
        let request = gateway.post(path).header("traceparent", value);
        let (status, answer) = json_of(request.json(&body)).await;
        assert_eq!(status, 202, "{answer}");
    }
    let posts = receiver.posted(8).await;
    let told = |post: &&receiver::Posted| post.headers.contains_key("traceparent");
    let traced: Vec<_> = posts.iter().filter(told).collect();
    assert_eq!(traced.len(), 6);
    assert!(
        traced
            .iter()
            .all(|post| post.header("traceparent") == trace)
    );
}

#[tokio::test]
async fn what_fails_is_tried_again_under_the_same_name_and_the_next_event_waits() {
    let mut failures = 3;
    let receiver = Receiver::answering(move |_| {
        failures -= 1;
        match failures {
            0.. => Reply::Status(500, "not now"),
            _ => Reply::Status(200, ""),
        }
    })
    .await;
    let gateway = Running::start(&configuration(SOON)).await;
    let webhook = create(&gateway, json!({"url": receiver.url("/")})).await;
    finish(&gateway, &message("ok")).await;
    let posts = receiver.posted(5).await;
    let seen: Vec<_> = posts
        .iter()
        .map(|post| post.event()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        seen,
        ["sending", "sending", "sending", "sending", "succeeded"]
    );
    let first = posts[0].header("webhook-id");
    assert!(
        posts[..4]
            .iter()
            .all(|post| post.header("webhook-id") == first)
    );

    let known = until("both delivered", async || {
        let known = deliveries(&gateway, &webhook, "?status=delivered").await;
        (known.len() == 2).then_some(known)
    })
    .await;
    let attempts = known[1]["attempts"].as_array().unwrap();
    let statuses: Vec<_> = attempts.iter().map(|one| one["status"].clone()).collect();
    assert_eq!(statuses, [500, 500, 500, 200]);
    assert_eq!(attempts[0]["answer"], "not now");
    assert_eq!(show(&gateway, &webhook).await["failingSince"], Value::Null);
    let figures = gateway.get("/metrics").send().await.unwrap();
    let figures = figures.text().await.unwrap();
    for line in [
        "sipost_webhook_attempts_total{outcome=\"delivered\"} 2\n",
        "sipost_webhook_attempts_total{outcome=\"rejected\"} 3\n",
        "sipost_webhook_attempts_total{outcome=\"unanswered\"} 0\n",
        "sipost_webhook_pending ",
    ] {
        assert!(figures.contains(line), "{line}\n{figures}");
    }
}

#[tokio::test]
async fn a_webhook_that_does_not_answer_delays_no_other() {
    let receiver = Receiver::answering(|post| match post.uri.as_str() {
        "/well" => Reply::Status(204, ""),
        _ => Reply::Held(200),
    })
    .await;
    let gateway = Running::start(&configuration("concurrency = 4\ntimeout = \"60s\"")).await;
    for path in ["/hangs", "/hangs-too"] {
        create(&gateway, json!({"url": receiver.url(path)})).await;
    }
    for _ in 0..20 {
        finish(&gateway, &message("ok")).await;
    }
    create(&gateway, json!({"url": receiver.url("/well")})).await;
    for _ in 0..20 {
        finish(&gateway, &message("ok")).await;
    }
    let well = |posts: &[receiver::Posted]| posts.iter().filter(|one| one.uri == "/well").count();
    let posts = receiver
        .wait_for("40 posts that pass", |posts| well(posts) >= 40)
        .await;
    assert!(posts.len() - well(&posts) <= 2, "{}", posts.len());
    receiver.release();
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_410_disables() {
    let elsewhere = Receiver::start().await;
    let to = elsewhere.url("/");
    let receiver = Receiver::answering(move |_| Reply::Redirect(to.clone())).await;
    let mut gateway = Running::start(&configuration("schedule = [\"20ms\"]")).await;
    let webhook = create(&gateway, json!({"url": receiver.url("/")})).await;
    finish(&gateway, &message("ok")).await;
    // Two attempts at each of two events, and neither went anywhere.
    receiver.posted(4).await;
    let failed = until("both failed", async || {
        let failed = deliveries(&gateway, &webhook, "?status=failed").await;
        (failed.len() == 2).then_some(failed)
    })
    .await;
    assert_eq!(failed[0]["attempts"][0]["status"], 307);
    assert!(elsewhere.posts().is_empty());
    assert_ne!(show(&gateway, &webhook).await["failingSince"], Value::Null);

    receiver.answer(|_| Reply::Held(410));
    finish(&gateway, &message("ok")).await;
    // The answer comes when the end of the message waits behind its beginning.
    let held_back = until("both are planned", async || {
        let mut pending = deliveries(&gateway, &webhook, "?status=pending").await;
        (pending.len() == 2).then(|| pending.remove(0))
    })
    .await;
    receiver.posted(5).await;
    receiver.release();
    let shown = until("it is disabled", async || {
        let shown = show(&gateway, &webhook).await;
        (shown["enabled"] == false).then_some(shown)
    })
    .await;
    assert_eq!(shown["disabled"]["reason"], "gone");
    assert!(shown["disabled"]["at"].is_string());
    let line = gateway.line("webhook disabled").await;
    assert!(
        line.contains("gone") && line.contains(webhook["id"].as_str().unwrap()),
        "{line}"
    );

    // What waited goes out when a client enables it again; what happened meanwhile does not.
    finish(&gateway, &message("ok")).await;
    let count = receiver.posts().len();
    receiver.answer(|_| Reply::Status(200, ""));
    let (status, enabled) = change(&gateway, &webhook, json!({"enabled": true})).await;
    assert_eq!((status, &enabled["disabled"]), (200, &Value::Null));
    assert_eq!(enabled["failingSince"], Value::Null);
    let posts = receiver.posted(count + 1).await;
    assert_eq!(
        posts[count].header("webhook-id"),
        held_back["id"].as_str().unwrap()
    );
}

#[tokio::test]
async fn a_webhook_that_only_fails_is_disabled_in_the_end() {
    let receiver = Receiver::answering(|_| Reply::Status(500, "")).await;
    let more = format!(
        "disable_after = \"1s\"\nschedule = [{}]",
        ["\"100ms\""; 200].join(",")
    );
    let mut gateway = Running::start(&configuration(&more)).await;
    let webhook = create(&gateway, json!({"url": receiver.url("/secret-path")})).await;
    finish(&gateway, &message("ok")).await;
    let line = gateway.line("webhook disabled").await;
    assert!(
        line.contains("failing") && !line.contains("secret-path"),
        "{line}"
    );
    let shown = show(&gateway, &webhook).await;
    assert_eq!(shown["disabled"]["reason"], "failing");
    assert_eq!(shown["enabled"], false);
}

#[tokio::test]
async fn what_failed_and_what_was_missed_is_sent_again_when_asked_for() {
    let receiver = Receiver::answering(|_| Reply::Status(500, "")).await;
    let gateway = Running::start(&configuration("schedule = [\"20ms\"]")).await;
    let early = finish(&gateway, &message("ok")).await;
    let webhook = create(
        &gateway,
        json!({"url": receiver.url("/"), "types": ["succeeded"]}),
    )
    .await;
    let failed = finish(&gateway, &message("ok")).await;
    until("it failed", async || {
        let failed = deliveries(&gateway, &webhook, "?status=failed").await;
        (failed.len() == 1).then_some(())
    })
    .await;
    change(&gateway, &webhook, json!({"enabled": false})).await;
    let missed = finish(&gateway, &message("ok")).await;
    change(&gateway, &webhook, json!({"enabled": true})).await;
    receiver.answer(|_| Reply::Status(200, ""));
    let count = receiver.posts().len();

    let path = format!("{}/recover", path_of(&webhook));
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let (status, recovering) = json_of(gateway.post(&path).json(&since)).await;
    assert_eq!(status, 202, "{recovering}");
    assert_eq!(recovering["recovery"]["since"], "2020-01-01T00:00:00.000Z");
    let posts = receiver.posted(count + 3).await;
    let mut again: Vec<_> = posts[count..]
        .iter()
        .map(|post| post.event()["messageId"].as_str().unwrap().to_owned())
        .collect();
    again.sort_unstable();
    // Also what happened before there was a webhook: it was asked for.
    let mut expected = [early, failed, missed];
    expected.sort_unstable();
    assert_eq!(again, expected);
    until("the recovery is over", async || {
        let shown = show(&gateway, &webhook).await;
        (shown["recovery"] == Value::Null).then_some(())
    })
    .await;
    // What arrived is not sent again.
    json_of(gateway.post(&path).json(&since)).await;
    until("the recovery is over", async || {
        let shown = show(&gateway, &webhook).await;
        (shown["recovery"] == Value::Null).then_some(())
    })
    .await;
    assert_eq!(receiver.posts().len(), count + 3);
}

#[tokio::test]
async fn what_waits_for_its_next_attempt_is_posted_at_once_when_the_receiver_is_said_to_be_back() {
    let receiver = Receiver::answering(|_| Reply::Status(500, "")).await;
    let gateway = Running::start(&configuration("schedule = [\"1h\"]")).await;
    let url = receiver.url("/");
    let mut webhooks = Vec::new();
    for _ in 0..4 {
        webhooks.push(create(&gateway, json!({"url": url})).await);
    }
    finish(&gateway, &message("busy")).await;
    for webhook in &webhooks {
        until("the first attempt failed", async || {
            let waiting = deliveries(&gateway, webhook, "?status=pending").await;
            let attempts = waiting
                .iter()
                .map(|one| one["attempts"].as_array().unwrap());
            (attempts.flatten().count() == 1).then_some(())
        })
        .await;
    }
    receiver.answer(|_| Reply::Status(200, ""));

    let [enabled, moved, recovered, left] = webhooks.as_slice() else {
        panic!("{webhooks:?}");
    };
    change(&gateway, enabled, json!({"enabled": false})).await;
    change(&gateway, enabled, json!({"enabled": true})).await;
    change(&gateway, moved, json!({"url": receiver.url("/moved")})).await;
    // Also what waits from before this time.
    let now = jiff::Timestamp::now() - jiff::SignedDuration::from_millis(1);
    let since = json!({"since": now.to_string()});
    let path = format!("{}/recover", path_of(recovered));
    let (status, recovering) = json_of(gateway.post(&path).json(&since)).await;
    assert_eq!(status, 202, "{recovering}");
    for webhook in [enabled, moved, recovered] {
        until("both events arrived", async || {
            let arrived = deliveries(&gateway, webhook, "?status=delivered").await;
            (arrived.len() == 2).then_some(())
        })
        .await;
    }
    let waiting = deliveries(&gateway, left, "?status=pending").await;
    assert_eq!(waiting.len(), 2, "one that was not asked for waits");
}

#[tokio::test]
async fn one_delivery_is_sent_again_when_asked_for() {
    let receiver = Receiver::answering(|_| Reply::Status(500, "")).await;
    let gateway = Running::start(&configuration("schedule = [\"20ms\"]")).await;
    let webhook = create(
        &gateway,
        json!({"url": receiver.url("/"), "types": ["failed"]}),
    )
    .await;
    finish(&gateway, &message("busy")).await;
    let failed = until("it failed", async || {
        let mut failed = deliveries(&gateway, &webhook, "?status=failed").await;
        failed.pop()
    })
    .await;
    receiver.answer(|_| Reply::Status(202, ""));
    let id = failed["id"].as_str().unwrap();
    let path = format!("{}/deliveries/{id}/retry", path_of(&webhook));
    let (status, again) = json_of(gateway.post(&path)).await;
    assert_eq!((status, &again["status"]), (202, &json!("pending")));
    let delivered = until("it was delivered", async || {
        let mut known = deliveries(&gateway, &webhook, "?status=delivered").await;
        known.pop()
    })
    .await;
    let statuses: HashMap<_, _> = delivered["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| {
            (
                attempt["number"].as_u64().unwrap(),
                attempt["status"].clone(),
            )
        })
        .collect();
    assert_eq!(
        statuses,
        HashMap::from([(1, json!(500)), (2, json!(500)), (3, json!(202))])
    );
}

#[tokio::test]
async fn posts_under_way_end_before_the_gateway_does() {
    let receiver = Receiver::answering(|_| Reply::Held(200)).await;
    let mut gateway = Running::start(&configuration("timeout = \"60s\"")).await;
    let webhook = create(&gateway, json!({"url": receiver.url("/")})).await;
    let path = path_of(&webhook);
    finish(&gateway, &message("ok")).await;
    receiver.posted(1).await;
    gateway.signal(rustix::process::Signal::TERM);
    gateway.line("stopping").await;
    receiver.answer(|_| Reply::Status(200, ""));
    receiver.release();
    assert_eq!(gateway.ended().await, Some(0), "{}", gateway.output());
    assert!(
        !gateway.output().contains("are still open"),
        "{}",
        gateway.output()
    );

    // The first was taken, and is not posted again; the second came in time, or comes now.
    let gateway = Running::start_in(gateway.kill().await, &configuration("")).await;
    let posts = receiver.posted(2).await;
    assert_eq!(posts[0].event()["type"], "sending");
    assert_eq!(posts[1].event()["type"], "succeeded");
    let (_, page) = json_of(gateway.get(&format!("{path}/deliveries"))).await;
    assert_eq!(page["data"][1]["attempts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_thousand_urls_at_a_silent_host_delay_no_other_endpoint() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = silent.local_addr().unwrap();
    let receiver = Receiver::start().await;
    let gateway = Running::start(&configuration("")).await;
    create(&gateway, json!({"url": receiver.url("/standing")})).await;
    let messages: Vec<_> = (0..1_000)
        .map(|number| {
            let mut own = message("ok");
            own["webhook"] = format!("http://{host}/{number}").into();
            own
        })
        .collect();
    let batch = gateway.post("/messages/batch");
    let (status, answer) = json_of(batch.json(&json!({"messages": messages}))).await;
    assert_eq!(status, 202, "{answer}");
    // Every one of them has something to post now: its events are in the log.
    let standing = |posts: &[receiver::Posted]| posts.len() >= 2_000;
    receiver.wait_for("events of the batch", standing).await;

    let mut own = message("ok");
    own["webhook"] = receiver.url("/own").into();
    finish(&gateway, &own).await;
    let own = |post: &&receiver::Posted| post.uri == "/own";
    let both = |posts: &[receiver::Posted]| posts.iter().filter(own).count() == 2;
    receiver.wait_for("posts to the other endpoint", both).await;
}

/// A line when a receiver begins to fail, at once and with the reason, and one when it ends; for
/// the webhook of a message by its origin, because a path may hold secrets.
#[tokio::test]
async fn a_webhook_that_fails_is_a_line_in_the_log_at_once_and_another_when_that_is_over() {
    let receiver = Receiver::answering(|_| Reply::Status(500, "no")).await;
    let mut gateway = Running::start(&configuration(SOON)).await;
    let webhook = json!({"url": receiver.url("/hook?key=hidden"), "types": ["succeeded"]});
    let webhook = create(&gateway, webhook).await;
    let id = webhook["id"].as_str().unwrap();
    finish(&gateway, &message("ok")).await;
    let line = gateway.line("webhook fails").await;
    for word in [id, &receiver.url(""), "\"status\":500", "\"WARN\""] {
        assert!(line.contains(word), "{word}: {line}");
    }
    receiver.posted(3).await;
    receiver.answer(|_| Reply::Status(200, "thanks"));
    let line = gateway.line("webhook takes posts again").await;
    assert!(line.contains(id) && line.contains("\"INFO\""), "{line}");

    receiver.answer(|_| Reply::Status(503, "no"));
    let (status, _) = change(&gateway, &webhook, json!({"enabled": false})).await;
    assert_eq!(status, 200);
    let mut named = message("ok");
    named["webhook"] = json!(receiver.url("/own?key=hidden"));
    finish(&gateway, &named).await;
    let line = gateway.line("webhook fails").await;
    assert!(
        line.contains("\"status\":503") && !line.contains(id),
        "{line}"
    );
    gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(gateway.ended().await, Some(0));
    let output = gateway.output();
    assert_eq!(output.matches("webhook fails").count(), 2, "{output}");
    assert!(!output.contains("hidden"), "{output}");
}
