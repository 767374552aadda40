//! What is refused when there is too much: told at once, with when to come back.

use serde_json::json;
use sha2::Digest as _;
use sha2::Sha256;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::OpenGateway;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;

#[tokio::test]
async fn a_full_queue_refuses_with_503_and_takes_again_when_there_is_room() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let setup = TestGateway::at(&peer).with("delivery.max_queued = 3");
    let gateway = setup.open().await;
    let message = json!({"target": "bob", "body": "x"});
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(gateway.http.accepted(&message).await);
    }
    let refused = gateway.http.post(&message).await;
    assert_eq!((refused.status, refused.problem()), (503, "overloaded"));
    assert_eq!(refused.header("Retry-After"), Some("1"));

    peer.wait_for("bob", 1).await;
    peer.release("bob");
    gateway.http.finished(&ids[0]).await;
    ids.push(gateway.http.accepted(&message).await);
    for count in 2..=4 {
        peer.wait_for("bob", count).await;
        peer.release("bob");
    }
    for id in &ids {
        assert_eq!(gateway.http.finished(id).await["status"], "succeeded");
    }
    // What was refused left nothing behind.
    let list = gateway.http.get("/messages").await.body;
    assert_eq!(list["data"].as_array().unwrap().len(), 4);
    gateway.stop().await;
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_its_key() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200), Reply::Status(200)]);
    let setup = TestGateway::at(&peer).with("delivery.max_queued = 1");
    let gateway = setup.open().await;
    let message = json!({"target": "bob", "body": "x"});
    let first = gateway.http.accepted(&message).await;
    let refused = gateway.http.post_with_key(&message, "k").await;
    assert_eq!(refused.status, 503);
    peer.wait_for("bob", 1).await;
    peer.release("bob");
    gateway.http.finished(&first).await;
    let taken = gateway.http.post_with_key(&message, "k").await;
    assert_eq!(
        (taken.status, taken.header("Idempotent-Replayed")),
        (202, None)
    );
    gateway.stop().await;
}

#[tokio::test]
async fn bodies_and_requests_have_a_size() {
    let peer = Peer::start().await;
    for (setup, setting) in [
        (
            TestGateway::at(&peer).with("sip.max_message = 4000"),
            "sip.max_message",
        ),
        (
            TestGateway::at(&peer).with_account("max_message = 4000"),
            "max_message of the account",
        ),
    ] {
        fit_and_exceed(&peer, &setup.open().await, setting).await;
    }
}

/// What one message more than fits is told is what fits, and no more goes over the wire.
async fn fit_and_exceed(peer: &Peer, gateway: &OpenGateway, setting: &str) {
    for (user, headers) in [
        ("bob", json!([])),
        ("carol", json!(["X-Long: ".to_owned() + &"h".repeat(900)])),
    ] {
        let message =
            |len: usize| json!({"target": user, "body": "x".repeat(len), "extraHeaders": headers});
        let refused = gateway.http.post(&message(4000)).await;
        assert_eq!((refused.status, refused.problem()), (413, "too-large"));
        let told = refused.body["detail"].as_str().unwrap();
        assert!(told.contains(&format!("4000 bytes ({setting})")), "{told}");
        let (_, left) = told.split_once("leave ").unwrap();
        let left: usize = left.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(gateway.http.post(&message(left + 1)).await.status, 413);
        let before = peer.got(user).len();
        gateway.http.accepted(&message(left)).await;
        let got = peer.wait_for(user, before + 1).await;
        // What is kept for routes and credentials is not used here.
        let size = got[before].size;
        assert!((2_800..=4_000 - 1_024).contains(&size), "{size}");
    }
    let headers = vec!["X-Long: ".to_owned() + &"h".repeat(1_500); 2];
    let refused = gateway
        .http
        .post(&json!({"target": "bob", "body": "", "extraHeaders": headers}))
        .await;
    assert_eq!((refused.status, refused.problem()), (413, "too-large"));
}

#[tokio::test]
async fn a_message_that_the_routes_of_its_server_make_too_large_fails_and_is_not_sent() {
    let peer = Peer::start().await;
    let route = format!(
        "Service-Route: <sip:{}.example.com;lr>\r\n",
        "p".repeat(1_500)
    );
    peer.grant_with(&route);
    let setup = TestGateway::at(&peer).with("sip.max_message = 4000");
    let gateway = setup.open().await;
    let large = json!({"target": "bob", "body": "x".repeat(2_200)});
    let id = gateway.http.accepted(&large).await;
    let message = gateway.http.finished(&id).await;
    assert_eq!(message["result"]["cause"], "Internal Error");
    assert_eq!(message["result"]["ambiguous"], false);
    let small = json!({"target": "bob", "body": "x"});
    let id = gateway.http.accepted(&small).await;
    assert_eq!(gateway.http.finished(&id).await["status"], "succeeded");
    assert_eq!(peer.all().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn requests_have_a_size() {
    let peer = Peer::start().await;
    let gateway = TestGateway::at(&peer).open().await;
    let huge = json!({"target": "bob", "body": "x".repeat(2 << 20)});
    let refused = gateway.http.post(&huge).await;
    assert_eq!((refused.status, refused.problem()), (413, "too-large"));
    let detail = "a request has at most 1048576 bytes here (http.max_request)";
    assert_eq!(refused.body["detail"], detail);
    gateway.stop().await;
}

#[tokio::test]
async fn as_many_streams_as_may_are_open_and_no_more() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer).with("http.max_streams = 2");
    let gateway = setup.open().await;
    let first = gateway.http.stream("/events").await;
    let _second = gateway.http.stream("/events").await;
    let ask = || {
        let request = gateway.http.request(reqwest::Method::GET, "/events");
        request.header("Accept", "text/event-stream")
    };
    let refused = gateway.http.send(ask()).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (503, "too-many-streams")
    );
    assert!(refused.header("Retry-After").is_some());
    // Pages are still given, and who leaves makes room.
    assert_eq!(gateway.http.get("/events").await.status, 200);
    drop(first);
    crate::harness::soon("there is room again", async {
        while gateway
            .http
            .request(reqwest::Method::GET, "/events")
            .header("Accept", "text/event-stream")
            .send()
            .await
            .unwrap()
            .status()
            != 200
        {}
    })
    .await;
    gateway.stop().await;
}

/// The value of `http.tokens` for tokens that are called as they are.
fn tokens(names: &[&str]) -> String {
    let hex = |name: &str| {
        let digest = Sha256::digest(name);
        digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let token = |name: &&str| format!("{{ name = '{name}', sha256 = '{}' }}", hex(name));
    let tokens: Vec<_> = names.iter().map(token).collect();
    format!("http.tokens = [{}]", tokens.join(", "))
}

#[tokio::test]
async fn one_token_takes_no_more_than_its_share_of_the_messages_that_may_wait() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200), Reply::Status(200)]);
    let setup = TestGateway::at(&peer)
        .with("delivery.max_queued = 4")
        .with(&tokens(&["a", "b"]));
    let gateway = setup.open().await;
    let post = |token: &'static str, path: &'static str, body: serde_json::Value| {
        let request = gateway.http.request(reqwest::Method::POST, path);
        gateway.http.send(request.bearer_auth(token).json(&body))
    };
    let message = || json!({"target": "bob", "body": "x"});
    let batch = |count| json!({"messages": vec![message(); count]});
    assert_eq!(post("a", "/messages/batch", batch(2)).await.status, 202);
    let refused = post("a", "/messages", message()).await;
    assert_eq!((refused.status, refused.problem()), (429, "rate-limited"));
    assert_eq!(refused.header("Retry-After"), Some("1"));
    assert_eq!(post("b", "/messages/batch", batch(3)).await.status, 429);
    assert_eq!(post("b", "/messages", message()).await.status, 202);
    assert_eq!(post("b", "/messages", message()).await.status, 202);
    assert_eq!(post("b", "/messages", message()).await.status, 429);

    // What has ended is no longer counted.
    peer.wait_for("bob", 1).await;
    peer.release("bob");
    crate::harness::soon("there is room again", async {
        while post("a", "/messages", message()).await.status != 202 {}
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_only_token_may_have_all_and_a_share_that_is_set_holds() {
    let peer = Peer::start().await;
    let whole = tokens(&["a"]);
    for (tokens, expected) in [
        (whole.clone(), [200, 200, 503]),
        (whole.replace(" }", ", share = 0.5 }"), [200, 429, 429]),
    ] {
        let setup = TestGateway::at(&peer)
            .with("http.max_streams = 2")
            .with(&tokens);
        let gateway = setup.open().await;
        let mut open = Vec::new();
        for status in expected {
            let request = gateway.http.request(reqwest::Method::GET, "/events");
            let request = request
                .bearer_auth("a")
                .header("Accept", "text/event-stream");
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), status);
            open.push(answer);
        }
        drop(open);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_request_whose_body_trickles_in_keeps_nobody_from_a_stream() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer).with("http.max_streams = 1");
    let gateway = setup.open().await;
    let address = gateway.http.address();
    let mut slow = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /messages HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: text/event-stream\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // The handler reads the body now.
    let mut told = [0; 12];
    crate::harness::soon("100 Continue", slow.read_exact(&mut told))
        .await
        .unwrap();
    assert_eq!(&told, b"HTTP/1.1 100");
    let _stream = gateway.http.stream("/events").await;
    drop(slow);
    gateway.stop().await;
}

#[tokio::test]
async fn a_gateway_that_stops_takes_nothing_in_and_says_so() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let http = gateway.http.clone();
    let id = http.accepted(&json!({"target": "bob", "body": "x"})).await;
    peer.wait_for("bob", 1).await;
    let stopping = tokio::spawn(gateway.stop());
    crate::harness::soon("it is not ready any more", async {
        while http.get("/readyz").await.status != 503 {}
    })
    .await;
    let refused = http.post(&json!({"target": "carol", "body": "y"})).await;
    assert_eq!((refused.status, refused.problem()), (503, "stopping"));
    assert!(refused.header("Retry-After").is_some());
    assert_eq!(http.get("/livez").await.status, 200);

    // What is open ends as it would have.
    peer.release("bob");
    stopping.await.unwrap();
    let gateway = setup.open().await;
    let shown = gateway.http.get(&format!("/messages/{id}")).await.body;
    assert_eq!(shown["status"], "succeeded");
    assert_eq!(peer.all().len(), 1);
    gateway.stop().await;
}
