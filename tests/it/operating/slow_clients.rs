//! Clients that hold connections and do nothing with them keep nobody out.

use std::time::Duration;

use rustix::process::Resource;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::PATIENCE;
use super::Running;
use super::json_of;
use super::message;

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
        let head = b"POST /messages HTTP/1.1\r\nhost: a\r\nx-slow: ";
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
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\nx-slow: ")
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
    used.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
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
    let head = b"POST /messages HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                 content-length: 100\r\nconnection: close\r\n\r\n{\"target\"";
    slow.write_all(head).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, slow.read_to_end(&mut answer)).await;
    assert!(read.is_ok());
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
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
