//! Clients that hold connections and do nothing with them keep no other client out.

use std::time::Duration;

use axum::Router;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::prlimit;
use rustix::process::setrlimit;
use sipost::sandbox::Behaviour;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::PATIENCE;
use super::Running;
use super::account;
use super::json_of;
use super::message;
use super::registered;
use super::sip_server;

const IDLE: usize = 2_000;
const SLOW: usize = 200;

/// Lets this process, and what it starts, have as many descriptors as it may.
fn raise_descriptors(wanted: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        most >= wanted,
        "{wanted} descriptors are needed: ulimit -Hn"
    );
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        setrlimit(Resource::Nofile, limit).unwrap();
    }
}

async fn connect(gateway: &Running, count: usize) -> Vec<TcpStream> {
    let address = gateway.url.trim_start_matches("http://");
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        streams.push(TcpStream::connect(address).await.unwrap());
    }
    streams
}

/// Whether the other side has closed, or closes in time.
async fn is_cut(stream: &mut TcpStream) -> bool {
    let mut rest = [0; 1024];
    let cut = async {
        loop {
            match stream.read(&mut rest).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, cut).await.is_ok()
}

#[tokio::test]
async fn two_thousand_idle_and_two_hundred_slow_connections_do_not_stop_a_post() {
    raise_descriptors(8_192);
    // Long enough to stay for as long as the test looks.
    let gateway = Running::start("[http]\nheader_timeout = \"1h\"\nidle_timeout = \"1h\"\n").await;
    let _idle = connect(&gateway, IDLE).await;
    let mut slow = connect(&gateway, SLOW).await;
    for stream in &mut slow {
        let head = b"POST /messages HTTP/1.1\r\nhost: localhost\r\nx-slow: ";
        stream.write_all(head).await.unwrap();
    }

    for number in 0..20 {
        // Meanwhile a byte more of each slow head.
        for stream in &mut slow {
            stream.write_all(b"a").await.unwrap();
        }
        let (status, answer) = json_of(gateway.post("/messages").json(&message("ok"))).await;
        assert_eq!(status, 202, "{number}: {answer}");
    }
}

#[tokio::test]
async fn who_is_slow_with_a_head_is_cut_off_in_time() {
    let gateway = Running::start("[http]\nheader_timeout = \"1s\"\n").await;
    let mut slow = connect(&gateway, 1).await.remove(0);
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-slow: ")
        .await
        .unwrap();
    // Every byte comes soon enough; the whole head does not.
    let (mut reader, mut writer) = slow.into_split();
    let dripping = tokio::spawn(async move {
        while writer.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut rest = Vec::new();
    let cut = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut rest)).await;
    assert!(cut.is_ok(), "it is still there");
    dripping.abort();
}

#[tokio::test]
async fn who_asks_nothing_is_cut_off_in_time_and_who_follows_events_is_not() {
    let text = "[http]\nidle_timeout = \"1s\"\nheader_timeout = \"1s\"\nheartbeat = \"1s\"\n";
    let gateway = Running::start(text).await;
    let request = gateway.get("/events").header("accept", "text/event-stream");
    let mut events = request.send().await.unwrap();
    events.chunk().await.unwrap().unwrap();

    let mut silent = connect(&gateway, 1).await.remove(0);
    let mut used = connect(&gateway, 1).await.remove(0);
    used.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    assert!(is_cut(&mut silent).await && is_cut(&mut used).await);

    // The stream is quiet as well, and has outlived both.
    let beat = tokio::time::timeout(PATIENCE, events.chunk()).await;
    assert!(matches!(beat, Ok(Ok(Some(_)))));
}

#[tokio::test]
async fn who_is_slow_with_a_body_is_told_so() {
    let gateway = Running::start("[http]\nrequest_timeout = \"1s\"\n").await;
    let mut slow = connect(&gateway, 1).await.remove(0);
    let head = b"POST /messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 content-length: 100\r\nconnection: close\r\n\r\n{\"target\"";
    slow.write_all(head).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, slow.read_to_end(&mut answer)).await;
    assert!(read.is_ok());
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn clients_that_are_slow_with_a_body_keep_nobody_out() {
    const PLACES: usize = 20;
    let text = format!("[http]\nmax_connections = {PLACES}\nrequest_timeout = \"1h\"\n");
    let gateway = Running::start(&text).await;
    let mut slow = connect(&gateway, PLACES).await;
    let head = b"POST /messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 content-length: 100\r\n\r\n{\"target\"";
    for stream in &mut slow {
        stream.write_all(head).await.unwrap();
    }
    for number in 0..3 {
        let (status, answer) = json_of(gateway.post("/messages").json(&message("ok"))).await;
        assert_eq!(status, 202, "{number}: {answer}");
    }
}

#[tokio::test]
async fn heads_and_bodies_that_are_too_large_are_refused() {
    let gateway = Running::start("[http]\nmax_request = 2048\n").await;
    let large = "a".repeat(4_096);
    let mut new = message("ok");
    new["body"] = large.into();
    let (status, problem) = json_of(gateway.post("/messages").json(&new)).await;
    assert_eq!(
        (status, &problem["type"]),
        (413, &"/problems/too-large".into())
    );

    let mut stream = connect(&gateway, 1).await.remove(0);
    let head = format!(
        "GET /livez HTTP/1.1\r\nx-large: {}\r\n\r\n",
        "a".repeat(200_000)
    );
    // The gateway may have had enough before all of it is written.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "it is still there");
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let live = gateway.get("/livez").send().await.unwrap();
    assert_eq!(live.status(), 200);
}

/// Where webhooks are posted to, and a word for each post.
async fn receiver() -> (String, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (sender, posts) = mpsc::unbounded_channel();
    let router = Router::new().fallback(async move || sender.send(()).unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, posts)
}

#[tokio::test]
async fn silent_clients_and_few_descriptors_hold_up_neither_agents_nor_webhooks() {
    raise_descriptors(8_192);
    let (server, _received) = sip_server(&[("cut", Behaviour::Cuts)]).await;
    let (webhook, mut posts) = receiver().await;
    let text = format!(
        "[http]\nheader_timeout = \"1h\"\nidle_timeout = \"1h\"\n\
         [sip]\nrecovery_min = \"50ms\"\nrecovery_max = \"200ms\"\n\
         [webhooks]\nallowed_networks = [\"127.0.0.0/8\"]\n\
         secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n{}",
        account("alice", &server, "")
    );
    // The soft limit alone would not do: it is raised at the start.
    let gateway = Running::start_within("64:256", &text).await;
    gateway.agents(registered(&["alice-1"])).await;
    let mut silent = connect(&gateway, 400).await;

    let mut new = message("cut");
    new["onUnknown"] = "fail".into();
    let sent = gateway.post("/messages").header("prefer", "wait=30");
    let (_, ended) = json_of(sent.json(&new)).await;
    assert_eq!(ended["status"], "failed", "{ended}");
    gateway.agents(registered(&["alice-1"])).await;
    let mut new = message("ok");
    new["webhook"] = webhook.into();
    let sent = gateway.post("/messages").header("prefer", "wait=30");
    let (_, ended) = json_of(sent.json(&new)).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    for _ in ["sending", "succeeded"] {
        let posted = tokio::time::timeout(PATIENCE, posts.recv()).await;
        assert!(posted.is_ok(), "nothing was posted:\n{}", gateway.output());
    }
    // Who was silent for longest has made room.
    assert!(is_cut(&mut silent[0]).await);
    assert!(!gateway.output().contains("failed to accept"));
}

#[tokio::test]
async fn a_lack_of_descriptors_is_told_once_and_gets_over() {
    let mut gateway = Running::start("").await;
    let most = prlimit(
        Some(gateway.pid()),
        Resource::Nofile,
        Rlimit {
            current: Some(8),
            maximum: getrlimit(Resource::Nofile).maximum,
        },
    );
    let mut waiting = connect(&gateway, 20).await;
    gateway.line("failed to accept connections").await;
    prlimit(Some(gateway.pid()), Resource::Nofile, most.unwrap()).unwrap();
    for stream in &mut waiting {
        let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(gateway.output().matches("failed to accept").count(), 1);
}

#[tokio::test]
async fn unfinished_bodies_take_no_more_memory_than_they_may() {
    let text = "[http]\nmax_bodies = \"1MiB\"\nmax_batch_request = \"1MiB\"\n";
    let gateway = Running::start(text).await;
    let mut slow = connect(&gateway, 3).await;
    let head = b"POST /messages/batch HTTP/1.1\r\nhost: localhost\r\n\
                 content-type: application/json\r\ncontent-length: 1000000\r\n\r\n";
    for stream in &mut slow {
        stream.write_all(head).await.unwrap();
        // The gateway may have had enough before all of it is written.
        let _ = stream.write_all(&vec![b' '; 900_000]).await;
    }
    // There is room for one of them; another is told to come again.
    let statuses = slow.iter_mut().map(|stream| {
        Box::pin(async move {
            let mut status = [0; 12];
            stream.read_exact(&mut status).await.unwrap();
            status
        })
    });
    let first = futures_util::future::select_all(statuses);
    let (first, ..) = tokio::time::timeout(PATIENCE, first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 503");
    // A message is no batch, and comes through.
    let (status, answer) = json_of(gateway.post("/messages").json(&message("ok"))).await;
    assert_eq!(status, 202, "{answer}");
}
