//! A client, a resolver that says what a test wants, and a receiver on loopback that counts.
//! Nothing leaves this machine: what is not loopback must not be connected to, and is not.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::*;

/// Answers look-ups one after the other; the last answer stays.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    answers: VecDeque<Vec<IpAddr>>,
    asked: Vec<String>,
    /// What it says of a name that it does not know.
    refusal: Option<&'static str>,
}

impl Told {
    fn new(answers: &[&[&str]]) -> Self {
        let answer = |texts: &&[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let answers = answers.iter().map(answer).collect();
        let asked = Vec::new();
        let refusal = None;
        Self(Arc::new(Mutex::new(Script {
            answers,
            asked,
            refusal,
        })))
    }

    fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }
}

impl Resolver for Told {
    fn resolve(&self, name: String) -> Lookup {
        let mut script = self.0.lock().unwrap();
        script.asked.push(name);
        let answer = match script.answers.len() {
            0 => Err(io::Error::other(
                script.refusal.unwrap_or("there is no such name"),
            )),
            1 => Ok(script.answers[0].clone()),
            _ => Ok(script.answers.pop_front().unwrap()),
        };
        Box::pin(async { answer })
    }
}

/// Where connections to 127.0.0.1 arrive, and what was said on them.
struct Receiver {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    /// Gives every connection one answer, and closes it.
    async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (noted, answer) = (requests.clone(), answer.into());
        tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                noted.lock().unwrap().push(String::new());
                let mut request = Vec::new();
                while !request.ends_with(b"{\"id\":1}") {
                    if connection.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let text = String::from_utf8(request).unwrap();
                *noted.lock().unwrap().last_mut().unwrap() = text;
                let _ = connection.write_all(&answer).await;
            }
        });
        Self { port, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

const MAX_IDLE: usize = 4;

fn client_with(resolver: Told, allowed: &[&str], timeout: Duration) -> Client {
    let allowed = allowed.iter().map(|text| text.parse().unwrap()).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Client::new(
        AddressGuard::new(allowed),
        resolver,
        &tls,
        timeout,
        MAX_IDLE,
    )
    .unwrap()
}

fn client(resolver: Told, allowed: &[&str]) -> Client {
    client_with(resolver, allowed, Duration::from_secs(60))
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn post(client: &Client, url: &str) -> PostResult {
    let post = Post {
        url: &url.parse().unwrap(),
        id: "1-0000000000000042",
        at: Timestamp::from_millis(1_700_000_000_999),
        signatures: "v1,a v1,b",
        body: Bytes::from_static(b"{\"id\":1}"),
        part_of: None,
    };
    client
        .post(post, Trace::parse(TRACE), Timestamp::EPOCH)
        .await
}

fn is_refusal(answer: &PostResult) -> bool {
    matches!(answer, PostResult::Silent(reason) if reason.contains("webhooks.allowed_networks"))
}

#[tokio::test]
async fn a_post_says_what_standard_webhooks_ask_for() {
    let receiver = Receiver::start(OK).await;
    let resolver = Told::new(&[&["127.0.0.1"]]);
    let client = client(resolver.clone(), &["127.0.0.0/8"]);
    let url = format!("http://app.example:{}/hook?a=b", receiver.port);
    let answer = post(&client, &url).await;
    let expected = PostResult::Answered {
        status: 200,
        first: "ok".to_owned(),
        retry_after: None,
    };
    assert_eq!(answer, expected);
    assert_eq!(resolver.asked(), ["app.example"]);
    let request = receiver.requests().remove(0).to_ascii_lowercase();
    assert!(
        request.starts_with("post /hook?a=b http/1.1\r\n"),
        "{request}"
    );
    for line in [
        "content-type: application/json",
        "webhook-id: 1-0000000000000042",
        "webhook-timestamp: 1700000000",
        "webhook-signature: v1,a v1,b",
        &format!("traceparent: {TRACE}"),
        "user-agent: sipost/",
        &format!("host: app.example:{}", receiver.port),
    ] {
        assert!(request.contains(line), "{line}\n{request}");
    }
    assert!(request.ends_with("\r\n\r\n{\"id\":1}"), "{request}");
}

#[tokio::test]
async fn a_name_that_leads_to_what_is_not_public_is_not_connected_to() {
    let receiver = Receiver::start(OK).await;
    for addresses in [
        &["127.0.0.1"][..],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["0.0.0.0"],
        &["169.254.169.254"],
        &["10.0.0.1"],
        &["fd00::1"],
        // One among many is enough, wherever it stands.
        &["1.1.1.1", "127.0.0.1"],
        &["127.0.0.1", "1.1.1.1"],
        &["2606:4700:4700::1111", "1.1.1.1", "192.168.0.1"],
    ] {
        let resolver = Told::new(&[addresses]);
        let client = client(resolver.clone(), &[]);
        let url = format!("http://app.example:{}/hook", receiver.port);
        let answer = post(&client, &url).await;
        assert!(is_refusal(&answer), "{addresses:?}: {answer:?}");
        assert_eq!(resolver.asked().len(), 1, "{addresses:?}");
    }
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn a_name_without_an_address_is_named_and_the_reason_is_told_once() {
    let text = "failed to lookup address information: Name or service not known";
    for (said, told) in [
        (text, "Name or service not known"),
        ("there is no such name", "there is no such name"),
    ] {
        let resolver = Told::default();
        resolver.0.lock().unwrap().refusal = Some(said);
        let client = client(resolver, &[]);
        let answer = post(&client, "http://no-such-host.invalid/hook?token=secret").await;
        let told = format!("the name no-such-host.invalid is not found: {told}");
        assert_eq!(answer, PostResult::Silent(told));
    }
}

#[tokio::test]
async fn an_address_in_place_of_a_name_is_checked_at_each_post() {
    let receiver = Receiver::start(OK).await;
    let (resolver, port) = (Told::default(), receiver.port);
    let client = client(resolver.clone(), &[]);
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "localhost",
        "app.localhost",
    ] {
        let answer = post(&client, &format!("http://{host}:{port}/")).await;
        assert!(is_refusal(&answer), "{host}: {answer:?}");
    }
    assert!(resolver.asked().is_empty() && receiver.requests().is_empty());
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_checked_at_each_connection() {
    let receiver = Receiver::start(OK).await;
    // Allowed at first, then rebound to a neighbour, then back.
    let resolver = Told::new(&[&["127.0.0.1"], &["10.0.0.1"], &["127.0.0.1"]]);
    let client = client(resolver.clone(), &["127.0.0.0/8"]);
    let url = format!("http://app.example:{}/hook", receiver.port);
    assert!(matches!(
        post(&client, &url).await,
        PostResult::Answered { .. }
    ));
    assert!(is_refusal(&post(&client, &url).await));
    assert!(matches!(
        post(&client, &url).await,
        PostResult::Answered { .. }
    ));
    // One look-up for each connection: what was checked is what was connected to.
    assert_eq!(resolver.asked().len(), 3);
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let target = Receiver::start(OK).await;
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n",
        target.port
    );
    let receiver = Receiver::start(redirect).await;
    let client = client(Told::new(&[&["127.0.0.1"]]), &["127.0.0.0/8"]);
    let url = format!("http://app.example:{}/", receiver.port);
    let answer = post(&client, &url).await;
    assert!(
        matches!(answer, PostResult::Answered { status: 302, .. }),
        "{answer:?}"
    );
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn of_a_long_answer_only_the_first_bytes_are_kept() {
    let mut answer = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 120\r\n\r\n\xff".to_vec();
    answer.extend(vec![b'x'; 200_000]);
    let receiver = Receiver::start(answer).await;
    let client = client(Told::new(&[&["127.0.0.1"]]), &["127.0.0.0/8"]);
    let url = format!("http://app.example:{}/", receiver.port);
    let expected = PostResult::Answered {
        status: 503,
        first: format!("\u{fffd}{}", "x".repeat(FIRST_BYTES - 1)),
        retry_after: Some(Duration::from_secs(120)),
    };
    assert_eq!(post(&client, &url).await, expected);
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_is_not_waited_for_for_long() {
    // It takes the connection and the request, and that is all.
    let receiver = Receiver::start("").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap().port();
    let resolver = Told::new(&[&["127.0.0.1"]]);
    let timeout = Duration::from_millis(200);
    let client = client_with(resolver, &["127.0.0.0/8"], timeout);
    let answer = post(&client, &format!("http://app.example:{silent}/")).await;
    assert_eq!(
        answer,
        PostResult::Silent("no answer within 200ms".to_owned())
    );
    let url = format!("http://app.example:{}/secret?token=1", receiver.port);
    let answer = post(&client, &url).await;
    assert!(
        matches!(&answer, PostResult::Silent(reason) if !reason.contains("token")),
        "{answer:?}"
    );
}

/// RFC 9110 §15.2 and RFC 9112 §2.2, §4, §5, §6, §8: what servers write that are not careful.
#[tokio::test]
async fn an_answer_is_read_as_leniently_as_a_recipient_may() {
    for (answer, status, first) in [
        ("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", 200, ""),
        ("HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n", 200, ""),
        ("HTTP/1.0 200 OK\r\n\r\nto its end", 200, "to its end"),
        ("HTTP/1.1 200 OK\ncontent-length: 2\n\nok", 200, "ok"),
        (
            "\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            200,
            "ok",
        ),
        (
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\ncontent-length: 2\r\n\r\nok",
            200,
            "ok",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", 200, "ok"),
        (
            "HTTP/1.1 200 OK\r\nno header\r\ncontent-length: 2\r\n\r\nok",
            200,
            "ok",
        ),
        (
            "HTTP/1.1 200 OK\r\nX: \u{e4}\r\ncontent-length: 2\r\n\r\nok",
            200,
            "ok",
        ),
        (
            "HTTP/1.1 200 \u{d6}K\r\ncontent-length: 2\r\n\r\nok",
            200,
            "ok",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nok",
            200,
            "ok",
        ),
        (
            "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 None\r\n\r\n",
            204,
            "",
        ),
        ("HTTP/1.1 204 None\r\ncontent-length: 2\r\n\r\nok", 204, ""),
        (
            "HTTP/1.1 204 None\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            204,
            "",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncut",
            200,
            "cut",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
            200,
            "ok",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nok\r\n",
            200,
            "ok",
        ),
        ("HTTP/1.1 599 Odd\r\ncontent-length: 0\r\n\r\n", 599, ""),
    ] {
        let receiver = Receiver::start(answer).await;
        let client = client(Told::new(&[&["127.0.0.1"]]), &["127.0.0.0/8"]);
        let url = format!("http://app.example:{}/", receiver.port);
        let expected = PostResult::Answered {
            status,
            first: first.to_owned(),
            retry_after: None,
        };
        assert_eq!(post(&client, &url).await, expected, "{answer:?}");
    }
}

/// Heads without an end are given up, whatever they consist of.
#[tokio::test]
async fn an_answer_whose_head_does_not_end_is_none() {
    for line in ["X: y\r\n", " folded\r\n", "no header\r\n", "X"] {
        let head = format!("HTTP/1.1 200 OK\r\nX: y\r\n{}", line.repeat(1 << 17));
        let receiver = Receiver::start(head).await;
        let client = client(Told::new(&[&["127.0.0.1"]]), &["127.0.0.0/8"]);
        let url = format!("http://app.example:{}/", receiver.port);
        let answer = post(&client, &url).await;
        assert!(
            matches!(answer, PostResult::Silent(_)),
            "{line:?}: {answer:?}"
        );
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now: Timestamp = "2026-11-22T05:00:00.000Z".parse().unwrap();
    for (text, seconds) in [
        ("0", Some(0)),
        ("120", Some(120)),
        (" 7 ", Some(7)),
        ("Sun, 22 Nov 2026 05:01:30 GMT", Some(90)),
        ("Sun, 22 Nov 2026 04:00:00 GMT", Some(0)),
        ("Sunday, 22-Nov-26 05:01:30 GMT", Some(90)),
        ("Sun Nov 22 05:01:30 2026", Some(90)),
        ("99999999999999999999999", Some(u64::MAX)),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
    ] {
        let expected = seconds.map(Duration::from_secs);
        assert_eq!(delay(text, now), expected, "{text}");
    }
}

/// Keeps its connections open, and counts them with those of all others.
async fn keeping_receiver(open: watch::Sender<usize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            open.send_modify(|open| *open += 1);
            let open = open.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while connection.read_buf(&mut request).await.unwrap_or(0) > 0 {
                    if request.ends_with(b"{\"id\":1}") {
                        request.clear();
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        connection.write_all(answer).await.unwrap();
                    }
                }
                open.send_modify(|open| *open -= 1);
            });
        }
    });
    port
}

#[tokio::test]
async fn no_more_connections_are_kept_than_may_be_however_many_hosts_there_are() {
    let client = client(Told::new(&[]), &["127.0.0.0/8"]);
    let (sender, mut open) = watch::channel(0);
    for _ in 0..10 * MAX_IDLE {
        let port = keeping_receiver(sender.clone()).await;
        for _ in 0..2 {
            let answer = post(&client, &format!("http://127.0.0.1:{port}/")).await;
            assert!(matches!(answer, PostResult::Answered { status: 200, .. }));
        }
        assert!(*open.borrow() <= MAX_IDLE + 2);
    }
    open.wait_for(|open| *open <= MAX_IDLE).await.unwrap();
}
