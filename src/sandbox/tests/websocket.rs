//! The server over real WebSockets.

use std::future::pending;
use std::os::fd::OwnedFd;

use futures_util::SinkExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

use super::super::connection::MAX_FRAME;
use super::super::*;
use super::*;

/// A sandbox that runs until the test ends.
struct Running {
    url: String,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

async fn start(options: Options) -> Running {
    let sandbox = Sandbox::bind(([127, 0, 0, 1], 0).into(), options)
        .await
        .unwrap();
    let url = sandbox.url();
    let stop = CancellationToken::new();
    let ended = tokio::spawn(sandbox.run(stop.clone().cancelled_owned()));
    Running { url, stop, ended }
}

fn open() -> Options {
    Options {
        challenges: false,
        ..Options::default()
    }
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn connect(running: &Running) -> Self {
        let mut request = running.url.as_str().into_client_request().unwrap();
        let protocol = http::HeaderValue::from_static("sip");
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", protocol);
        Self(connect_async(request).await.unwrap().0)
    }

    async fn send(&mut self, text: &str) {
        self.0.send(text.into()).await.unwrap();
    }

    async fn receive(&mut self) -> String {
        let message = self.0.next().await.unwrap().unwrap();
        message.into_text().unwrap().as_str().to_owned()
    }

    async fn ask(&mut self, text: &str) -> String {
        self.send(text).await;
        self.receive().await
    }
}

fn message_to(user: &str) -> String {
    let uri = format!("sip:{user}@sandbox.invalid");
    request("MESSAGE", &uri, "alice", "", "hello")
}

#[tokio::test]
async fn no_page_of_another_origin_is_taken() {
    let running = start(open()).await;
    let address = running
        .url
        .trim_start_matches("ws://")
        .trim_end_matches('/');
    let connect = async |host: &str, origins: &[&str]| {
        let mut request = running.url.as_str().into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", "sip".parse().unwrap());
        headers.insert("Host", host.parse().unwrap());
        for origin in origins {
            headers.append("Origin", origin.parse().unwrap());
        }
        match connect_async(request).await {
            Ok(_) => 101,
            Err(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
            Err(other) => panic!("{other}"),
        }
    };
    let own = format!("http://{address}");
    assert_eq!(connect(address, &[]).await, 101);
    assert_eq!(connect(address, &[&own]).await, 101);
    let other = ["http://127.0.0.1:1", "http://evil.example", "null", ""];
    for origin in other {
        assert_eq!(connect(address, &[origin]).await, 403, "{origin}");
    }
    assert_eq!(connect(address, &[&own, &own]).await, 403);
    // A name that was pointed here.
    let rebound = "http://evil.example";
    assert_eq!(connect("evil.example", &[rebound]).await, 403);
}

#[tokio::test]
async fn two_users_register_and_one_sends_the_other_a_message() {
    let running = start(Options::default()).await;
    let mut clients = Vec::new();
    for user in ["alice", "bob"] {
        let mut client = Client::connect(&running).await;
        let mut signer = Signer::new(user, password_of(user));
        let register = request("REGISTER", "sip:sandbox.invalid", user, &contact(user), "");
        let challenge = client.ask(&register).await;
        assert_eq!(status(&challenge), 401);
        signer.challenged(&register, &challenge);
        assert_eq!(status(&client.ask(&signer.sign(&register)).await), 200);
        clients.push((client, signer));
    }
    let (mut bob, _) = clients.pop().unwrap();
    let (mut alice, mut signer) = clients.pop().unwrap();

    let message = message_to("bob");
    signer.challenged(&message, &alice.ask(&message).await);
    alice.send(&signer.sign(&message)).await;
    let got = bob.receive().await;
    assert_eq!(read(&got).body, b"hello");
    bob.send(&answer_to(&got)).await;
    assert!(alice.receive().await.starts_with("SIP/2.0 200 Got it\r\n"));

    drop(bob);
    // The end of a connection is noticed a moment later.
    while status(&alice.ask(&signer.sign(&message)).await) != 480 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    let running = start(open()).await;
    let mut client = Client::connect(&running).await;
    for _ in 0..2_000 {
        client.0.feed(message_to("ok").into()).await.unwrap();
    }
    client.0.flush().await.unwrap();
    for _ in 0..2_000 {
        assert_eq!(status(&client.receive().await), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn slow_takes_three_seconds_on_the_clock_of_the_test() {
    let running = start(open()).await;
    let mut client = Client::connect(&running).await;
    let begun = Instant::now();
    assert_eq!(status(&client.ask(&message_to("slow")).await), 200);
    assert!(begun.elapsed() >= Duration::from_secs(3));
}

#[tokio::test]
async fn pings_of_both_kinds_are_answered() {
    let running = start(open()).await;
    let mut client = Client::connect(&running).await;
    assert_eq!(client.ask("\r\n\r\n").await, "\r\n");
    let ping = tungstenite::Message::Ping("x".into());
    client.0.send(ping).await.unwrap();
    let pong = client.0.next().await.unwrap().unwrap();
    assert_eq!(pong, tungstenite::Message::Pong("x".into()));
}

#[tokio::test]
async fn a_binary_frame_is_as_good_as_a_text() {
    let running = start(open()).await;
    let mut client = Client::connect(&running).await;
    let mut frame = message_to("ok").replace("hello", "ABCDE").into_bytes();
    let at = frame.len() - 5;
    frame[at] = 0xff;
    client.0.send(frame.into()).await.unwrap();
    assert_eq!(status(&client.receive().await), 200);
}

#[tokio::test]
async fn who_does_not_offer_sip_is_turned_away() {
    let running = start(open()).await;
    let refused = connect_async(running.url.as_str()).await.unwrap_err();
    let tungstenite::Error::Http(response) = refused else {
        panic!("{refused}");
    };
    assert_eq!(response.status(), http::StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_frame_that_is_too_long_ends_only_its_connection() {
    let running = start(open()).await;
    let (mut long, mut short) = (
        Client::connect(&running).await,
        Client::connect(&running).await,
    );
    let frame = "x".repeat(MAX_FRAME + 1);
    // The server may be gone before all of it is written.
    drop(long.0.send(frame.into()).await);
    while let Some(Ok(_)) = long.0.next().await {}
    assert_eq!(status(&short.ask(&message_to("ok")).await), 200);
}

#[tokio::test]
async fn a_cut_connection_gives_no_answer() {
    let mut options = open();
    options.users.insert("cut".to_owned(), Behaviour::Cuts);
    let running = start(options).await;
    let mut client = Client::connect(&running).await;
    client.send(&message_to("cut")).await;
    assert!(!matches!(client.0.next().await, Some(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut_off_and_holds_up_nobody() {
    let running = start(open()).await;
    let (mut alice, mut bob) = (
        Client::connect(&running).await,
        Client::connect(&running).await,
    );
    let register = request(
        "REGISTER",
        "sip:sandbox.invalid",
        "bob",
        &contact("bob"),
        "",
    );
    assert_eq!(status(&bob.ask(&register).await), 200);
    let body = "x".repeat(200_000);
    let long = request("MESSAGE", "sip:bob@sandbox.invalid", "alice", "", &body);
    for _ in 0..150 {
        alice.send(&long).await;
    }
    assert_eq!(status(&alice.ask(&message_to("ok")).await), 200);
    for _ in 0..150 {
        assert_eq!(status(&alice.receive().await), 480);
    }
}

#[tokio::test]
async fn one_connection_more_than_allowed_waits_for_another_to_end() {
    let running = start(Options {
        max_connections: 1,
        ..open()
    })
    .await;
    let mut first = Client::connect(&running).await;
    let second = Client::connect(&running);
    let answered = async {
        assert_eq!(status(&first.ask(&message_to("ok")).await), 200);
        drop(first);
    };
    let (mut second, ()) = tokio::join!(second, answered);
    assert_eq!(status(&second.ask(&message_to("ok")).await), 200);
}

#[tokio::test]
async fn at_the_end_every_connection_is_closed() {
    let running = start(open()).await;
    let mut client = Client::connect(&running).await;
    running.stop.cancel();
    let close = client.0.next().await.unwrap().unwrap();
    assert!(close.is_close());
    assert!(client.0.next().await.is_none());
    running.ended.await.unwrap();
}

#[tokio::test]
async fn what_runs_a_sandbox_can_be_dropped_at_any_time() {
    let sandbox = Sandbox::bind(([127, 0, 0, 1], 0).into(), open())
        .await
        .unwrap();
    let address = sandbox.local_addr();
    let running = tokio::spawn(sandbox.run(pending()));
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_listener_that_fails_holds_up_no_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let same = std::net::TcpStream::from(OwnedFd::from(listener.try_clone().unwrap()));
    let mut sandbox = Sandbox::bind(([127, 0, 0, 1], 0).into(), open())
        .await
        .unwrap();
    sandbox.address = listener.local_addr().unwrap();
    sandbox.listener = TcpListener::from_std(listener).unwrap();
    let running = Running {
        url: sandbox.url(),
        stop: CancellationToken::new(),
        ended: tokio::spawn(sandbox.run(pending())),
    };
    let mut client = Client::connect(&running).await;
    // From now on every accept fails.
    same.shutdown(std::net::Shutdown::Both).unwrap();
    for _ in 0..100 {
        assert_eq!(status(&client.ask(&message_to("ok")).await), 200);
    }
    running.ended.abort();
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_fails_is_left_alone_for_longer_and_longer() {
    let mut backoff = AcceptBackoff::default();
    assert!(!backoff.is_waiting());
    for pause in [50, 100, 200, 400, 800, 1_000, 1_000] {
        backoff.fail(&std::io::Error::other("no descriptors"));
        let begun = Instant::now();
        assert!(backoff.is_waiting());
        backoff.wait().await;
        assert!(!backoff.is_waiting());
        assert_eq!(begun.elapsed(), Duration::from_millis(pause));
    }
}
