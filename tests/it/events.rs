//! The log from outside: streams and pages, resumed, filtered, and never in each other's way.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

use crate::harness::Client;
use crate::harness::Event;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::WHOLE_LOG;
use crate::harness::id_of;
use crate::harness::soon;
use crate::harness::types_of;

/// Messages a second, and for how many seconds.
const RATE: usize = 300;
const SECONDS: usize = 3;

/// Posts at [`RATE`] by the clock, whether or not what was posted before is answered yet; how many
/// were accepted.
async fn drive(http: &Client) -> usize {
    const TICKS_PER_SECOND: usize = 10;
    let messages: Vec<_> = (0..RATE / TICKS_PER_SECOND)
        .map(|number| json!({"target": format!("user{number}"), "body": "x"}))
        .collect();
    let messages = Arc::new(messages);
    let mut posts = JoinSet::new();
    // Ticks that were missed are made up for, so that the rate is this one also where a test has
    // to wait for its turn.
    let mut pace = tokio::time::interval(Duration::from_secs(1) / 10);
    for _ in 0..SECONDS * TICKS_PER_SECOND {
        pace.tick().await;
        let (http, messages) = (http.clone(), messages.clone());
        posts.spawn(async move {
            let answer = http.post_batch(&messages).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            answer.body["data"].as_array().unwrap().len()
        });
    }
    posts.join_all().await.into_iter().sum()
}

/// After so many events at most, a reader leaves.
const MOST_AT_ONCE: usize = 100;

/// Reads so many events, leaving now and then and coming back where it was; and how often it came.
async fn read(http: &Client, seed: u64, count: usize) -> (Vec<Event>, usize) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let (mut seen, mut last_id, mut visits) = (Vec::new(), "earliest".to_owned(), 0);
    while seen.len() < count {
        let mut stream = if rng.random_bool(0.5) {
            http.stream_after(WHOLE_LOG, &last_id).await
        } else {
            http.stream(&format!("{WHOLE_LOG}&lastEventId={last_id}"))
                .await
        };
        visits += 1;
        for _ in 0..rng.random_range(0..MOST_AT_ONCE) {
            if seen.len() == count {
                break;
            }
            seen.push(stream.next().await);
        }
        // A stream that gave nothing yet has said where it is all the same, or is not there yet.
        if !stream.last_id.is_empty() {
            last_id = seen.last().map_or(last_id, |event| event.id.clone());
        }
    }
    (seen, visits)
}

/// The numbers of these events; their epoch is one.
fn numbers(events: &[Event]) -> Vec<u64> {
    let epochs: HashSet<_> = events
        .iter()
        .map(|event| event.id.split('-').next())
        .collect();
    assert!(epochs.len() <= 1, "{epochs:?}");
    let number = |event: &Event| event.id.split_once('-').unwrap().1.parse().unwrap();
    events.iter().map(number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_come_and_go_at_300_messages_a_second_see_every_event_once_in_order() {
    let peer = Peer::start().await;
    peer.script("user1", [Reply::Status(503), Reply::Status(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    // `sending` and `succeeded` of each, the other try of one, and that the agent is up.
    let count = RATE * SECONDS * 2 + 3;
    let readers: Vec<_> = (0..6)
        .map(|seed| {
            let http = gateway.http.clone();
            tokio::spawn(async move { read(&http, seed, count).await })
        })
        .collect();
    assert_eq!(drive(&gateway.http).await, RATE * SECONDS);

    let expected: Vec<_> = (1..=u64::try_from(count).unwrap()).collect();
    for reader in readers {
        let (events, visits) = soon("a reader sees everything", reader).await.unwrap();
        assert_eq!(numbers(&events), expected);
        assert!(events.iter().all(|event| event.name != "gap"));
        assert!(visits > count / MOST_AT_ONCE, "{visits}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn streams_and_pages_show_the_same_events() {
    let peer = Peer::start().await;
    peer.script(
        "user0",
        [Reply::Status(503), Reply::Status(486), Reply::Status(200)],
    );
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    for _ in 0..5 {
        gateway
            .http
            .delivered(&json!({"target": "user0", "body": "Grüße"}))
            .await;
    }
    let mut stream = gateway.http.stream_after("/events", "earliest").await;
    let mut streamed = Vec::new();
    for _ in 0..12 {
        streamed.push(stream.next().await.data);
    }
    let (mut paged, mut after) = (Vec::new(), "earliest".to_owned());
    loop {
        let page = gateway
            .http
            .get(&format!("/events?limit=5&after={after}"))
            .await
            .body;
        let events = page["data"].as_array().unwrap().clone();
        if events.is_empty() {
            break;
        }
        assert_eq!(events.last().unwrap()["id"], page["nextCursor"]);
        paged.extend(events);
        page["nextCursor"].as_str().unwrap().clone_into(&mut after);
    }
    assert_eq!(streamed, paged);
    // On the way back they are the same, in the other order.
    let (mut back, mut before) = (Vec::new(), "latest".to_owned());
    while !before.ends_with("-0000000000000000") {
        let path = format!("/events?limit=5&before={before}");
        let page = gateway.http.get(&path).await.body;
        back.extend(page["data"].as_array().unwrap().clone());
        page["nextCursor"].as_str().unwrap().clone_into(&mut before);
    }
    back.reverse();
    assert_eq!(back, paged);
    // And the events of one message are those of the log.
    let of_one: Vec<_> = paged
        .iter()
        .filter(|e| e["messageId"] == paged[0]["messageId"])
        .collect();
    let shown = gateway
        .http
        .events_of(paged[0]["messageId"].as_str().unwrap())
        .await;
    assert_eq!(shown.iter().collect::<Vec<_>>(), of_one);
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_that_asks_for_nothing_begins_with_what_comes_next() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "before"}))
        .await;
    let mut stream = gateway.http.stream("/events").await;
    assert_eq!(stream.header("Cache-Control"), Some("no-cache"));
    assert_eq!(stream.header("X-Accel-Buffering"), Some("no"));
    let id = id_of(
        &gateway
            .http
            .delivered(&json!({"target": "bob", "body": "after"}))
            .await,
    );
    let first = stream.next().await;
    assert_eq!(
        (&first.data["messageId"], first.name.as_str()),
        (&json!(id), "sending")
    );
    assert_eq!(stream.retry, Some(3_000));
    gateway.stop().await;
}

#[tokio::test]
async fn filters_hold_for_streams_and_pages_alike() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(486)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let bob = id_of(
        &gateway
            .http
            .delivered(&json!({"target": "bob", "body": "x"}))
            .await,
    );
    gateway
        .http
        .delivered(&json!({"target": "carol", "body": "x"}))
        .await;
    let message = json!({"target": "dave", "body": "x", "from": "sip:alice@example.com"});
    gateway.http.delivered(&message).await;

    // By their places in the log of messages.
    let log = gateway.http.get("/events").await.body;
    let place = |id: &str| {
        let mut log = log["data"].as_array().unwrap().iter();
        1 + log.position(|event| event["id"] == id).unwrap()
    };
    for (query, expected) in [
        ("type=failed".to_owned(), vec![2]),
        ("type=failed,succeeded".to_owned(), vec![2, 4, 6]),
        (format!("messageId={bob}"), vec![1, 2]),
        ("target=carol".to_owned(), vec![3, 4]),
        (
            "target=sip:carol@EXAMPLE.com&type=sending".to_owned(),
            vec![3],
        ),
        (
            "from=sip:alice@example.com&type=sending".to_owned(),
            vec![1, 3, 5],
        ),
    ] {
        let page = gateway.http.get(&format!("/events?{query}")).await.body;
        let events = page["data"].as_array().unwrap();
        let paged = events
            .iter()
            .map(|event| place(event["id"].as_str().unwrap()));
        let paged: Vec<_> = paged.collect();
        assert_eq!(paged, expected, "{query}");

        let path = format!("/events?lastEventId=earliest&{query}");
        let mut stream = gateway.http.stream(&path).await;
        let mut streamed = Vec::new();
        for _ in &expected {
            streamed.push(stream.next().await);
        }
        let streamed: Vec<_> = streamed.iter().map(|event| place(&event.id)).collect();
        assert_eq!(streamed, expected, "{query}");
    }
    for query in [
        "type=exploded",
        "messageId=x",
        "from=sip:eve@example.com",
        "tpye=failed",
    ] {
        let refused = gateway.http.get(&format!("/events?{query}")).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (400, "invalid-query"),
            "{query}"
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn who_asks_for_what_is_not_there_is_told_of_the_gap_and_goes_on() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer).with("retention.finished = '1h'");
    let gateway = setup.open().await;
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "1"}))
        .await;
    let mut stream = gateway.http.stream_after("/events", "earliest").await;
    let first = stream.next().await;
    let epoch = first.id.split('-').next().unwrap();
    for requested in [
        "nonsense",
        "1-0000000000000001",
        &format!("{epoch}-0000000000000099"),
    ] {
        let mut stream = gateway.http.stream_after("/events", requested).await;
        let gap = stream.next().await;
        assert_eq!(
            (gap.name.as_str(), &gap.data["requested"]),
            ("gap", &json!(requested))
        );
        assert_eq!(gap.data["resumedFrom"], gap.id);
        assert!(gap.data["reason"].is_string());
        assert_eq!(stream.next().await.id, first.id);
        let page = gateway
            .http
            .get(&format!("/events?lastEventId={requested}"))
            .await
            .body;
        assert_eq!(
            (&page["gap"], &page["data"][0]["id"]),
            (&gap.data, &json!(first.id))
        );
    }
    gateway.stop().await;

    // Two hours later the message and its events are gone.
    let gateway = setup.open_later(Duration::from_secs(7_200)).await;
    // Of the agents' events only that of this start is left then.
    soon("what is old is removed", async {
        loop {
            let messages = gateway.http.get("/messages").await.body["data"].clone();
            let log = gateway.http.get(WHOLE_LOG).await.body["data"].clone();
            let types = types_of(log.as_array().unwrap());
            if messages == json!([]) && matches!(types[..], [] | ["agentUp"]) {
                break;
            }
        }
    })
    .await;
    let mut stream = gateway.http.stream_after("/events", &first.id).await;
    let gap = stream.next().await;
    assert_eq!(
        (gap.name.as_str(), &gap.data["requested"]),
        ("gap", &json!(first.id))
    );
    // The numbers go on, and who was at the end has missed nothing.
    let mut at_the_end = gateway.http.stream_after("/events", &gap.id).await;
    let second = json!({"target": "bob", "body": "2"});
    let second = id_of(&gateway.http.delivered(&second).await);
    for stream in [&mut stream, &mut at_the_end] {
        let next = stream.next().await;
        assert_eq!(
            (next.name.as_str(), &next.data["messageId"]),
            ("sending", &json!(second))
        );
        assert!(next.id > gap.id && next.id.starts_with(&format!("{epoch}-")));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_and_moved_on_over_what_a_filter_held_back() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer).with("http.heartbeat = '1s'");
    let gateway = setup.open().await;
    let mut stream = gateway.http.stream("/events?type=failed").await;
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "x"}))
        .await;
    stream.comments(1).await;
    let log = gateway.http.get("/events").await.body;
    let last = log["data"][1]["id"].as_str().unwrap();
    soon("the stream moves on", async {
        while stream.last_id.as_str() < last {
            stream.comments(stream.comments + 1).await;
        }
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_stream_of_a_message_resumes_and_says_204_when_all_was_seen() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(503), Reply::Held(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let id = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "x"}))
        .await;
    let path = format!("/messages/{id}/events");
    let mut stream = gateway.http.stream(&path).await;
    assert_eq!(stream.next().await.name, "sending");
    let seen = stream.next().await;
    assert_eq!(seen.name, "deferred");
    drop(stream);

    let stream = gateway.http.stream_after(&path, &seen.id).await;
    peer.wait_for("bob", 2).await;
    peer.release("bob");
    let rest = stream.rest().await;
    let names: Vec<_> = rest.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["sending", "succeeded"]);

    let last_id = &rest[1].id;
    let again = gateway
        .http
        .stream_after(&path, &rest[0].id)
        .await
        .rest()
        .await;
    assert_eq!(again.len(), 1);
    let request = gateway.http.request(Method::GET, &path);
    let request = request.header("Accept", "text/event-stream");
    let over = gateway
        .http
        .send(request.header("Last-Event-ID", last_id))
        .await;
    assert_eq!(over.status, 204);
    let request = gateway
        .http
        .request(Method::GET, &format!("{path}?lastEventId={last_id}"));
    let over = gateway
        .http
        .send(request.header("Accept", "text/event-stream"))
        .await;
    assert_eq!(over.status, 204);
    // Who never saw it gets all of it.
    assert_eq!(gateway.http.stream(&path).await.rest().await.len(), 4);
    gateway.stop().await;
}

#[tokio::test]
async fn readers_that_take_nothing_hold_up_nobody() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let address = gateway.http.address();
    let mut idle = Vec::new();
    for _ in 0..10 {
        let mut socket = tokio::net::TcpStream::connect(&address).await.unwrap();
        let request = format!(
            "GET /events?lastEventId=earliest HTTP/1.1\r\nHost: {address}\r\n\
             Accept: text/event-stream\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        // The stream is open, and nothing of it is taken from here on.
        let status = socket.read_u8().await.unwrap();
        assert_eq!(status, b'H');
        idle.push(socket);
    }
    let reader = tokio::spawn({
        let http = gateway.http.clone();
        async move { read(&http, 7, 401).await }
    });
    let large = json!({"k": "x".repeat(500)});
    for number in 0..200 {
        let target = format!("user{}", number % 20);
        gateway
            .http
            .accepted(&json!({"target": target, "body": "x", "metadata": large}))
            .await;
    }
    let (seen, _) = soon("the reader that reads sees everything", reader)
        .await
        .unwrap();
    // And that the agent is up.
    assert_eq!(numbers(&seen), (1..=401).collect::<Vec<_>>());
    gateway.stop().await;
}

#[tokio::test]
async fn when_the_gateway_stops_streams_end_and_readers_come_back_spread_out() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(gateway.http.stream("/events").await);
    }
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "x"}))
        .await;
    for stream in &mut streams {
        stream.next().await;
    }
    let stopping = tokio::spawn(gateway.stop());
    let mut waits = HashSet::new();
    let mut last_ids = HashSet::new();
    for mut stream in streams {
        assert_eq!(stream.next().await.name, "succeeded");
        let end = soon("the stream ends", stream.try_next()).await;
        assert!(end.is_none());
        let wait = stream.retry.unwrap();
        assert!((1_000..6_000).contains(&wait), "{wait}");
        waits.insert(wait);
        last_ids.insert(stream.last_id);
    }
    stopping.await.unwrap();
    assert!(waits.len() > 10, "{waits:?}");

    // And they find their place again, in the same log.
    let gateway = setup.open().await;
    let last_id = last_ids.iter().next().unwrap();
    assert_eq!(last_ids.len(), 1);
    let mut stream = gateway.http.stream_after("/events", last_id).await;
    let second = json!({"target": "bob", "body": "y"});
    let second = id_of(&gateway.http.delivered(&second).await);
    let next = stream.next().await;
    assert_eq!(
        (next.name.as_str(), &next.data["messageId"]),
        ("sending", &json!(second))
    );
    assert!(next.id > *last_id);
    gateway.stop().await;
}
