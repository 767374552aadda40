//! How it ends: in order, with nothing lost, or at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::Value;
use sipost::clock;
use sipost::sandbox::Behaviour;
use sipost::sandbox::Reply;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream, UnixDatagram};

use super::PATIENCE;
use super::Running;
use super::account;
use super::json_of;
use super::message;
use super::registered;
use super::sip_server;

/// How `sipost health` ends for this gateway.
async fn health(gateway: &Running, arguments: &[&str]) -> Option<i32> {
    asked_for_health(gateway, arguments).await.status.code()
}

async fn asked_for_health(gateway: &Running, arguments: &[&str]) -> std::process::Output {
    let listen = gateway.url.trim_start_matches("http://");
    let ended = tokio::process::Command::new(env!("CARGO_BIN_EXE_sipost"))
        .args(["health", "--config", "sipost.toml"])
        .args(arguments)
        .env_clear()
        .env("SIPOST__HTTP__LISTEN", listen)
        .current_dir(gateway.folder.path())
        .output();
    ended.await.unwrap()
}

/// Whether a REGISTER keeps no binding.
fn lets_go(register: &[u8]) -> bool {
    let register = String::from_utf8_lossy(register);
    register.contains("Expires: 0\r\n") || register.contains(";expires=0")
}

/// Clients that post as fast as they are answered.
const CLIENTS: usize = 8;
/// Messages accepted before the end is asked for.
const ACCEPTED: usize = 200;

#[tokio::test]
async fn under_load_nothing_is_lost_and_every_agent_unregisters() {
    let late = Reply::new(sipost::sip::StatusCode::OK).after(Duration::from_millis(50));
    let (server, mut received) = sip_server(&[("late", Behaviour::Answers(late))]).await;
    let text = account("alice", &server, "connections = 4");
    let mut gateway = Running::start(&text).await;
    let ids = ["alice-1", "alice-2", "alice-3", "alice-4"];
    gateway.agents(registered(&ids)).await;

    // Clients go on until they are told that no more is taken, or get no connection any more.
    let accepted = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let request = gateway.post("/messages").json(&message("late"));
        let accepted = accepted.clone();
        clients.spawn(async move {
            while let Ok(response) = request.try_clone().unwrap().send().await {
                if response.status() != StatusCode::ACCEPTED {
                    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
                    return;
                }
                let message: Value = response.json().await.unwrap();
                let id = message["id"].as_str().unwrap().to_owned();
                accepted.lock().unwrap().insert(id);
            }
        });
    }
    let enough = async {
        while accepted.lock().unwrap().len() < ACCEPTED {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, enough).await.unwrap();
    gateway.signal(Signal::TERM);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    assert_eq!(gateway.ended().await, Some(0), "{}", gateway.output());
    gateway.line("stopped; nothing is lost").await;

    let mut leaving = 0;
    while let Ok(request) = received.try_recv() {
        match request.method.as_str() {
            "REGISTER" if lets_go(&request.frame) => leaving += 1,
            "MESSAGE" => assert_eq!(leaving, 0, "sent after an agent began to leave"),
            _ => {}
        }
    }
    assert!(
        leaving >= ids.len(),
        "{leaving} REGISTER with nothing to keep"
    );

    // What waited is taken up by the next one; nothing is sent twice.
    let gateway = Running::start_in(gateway.folder, &text).await;
    let accepted = accepted.lock().unwrap().clone();
    let all_succeeded = async {
        for id in &accepted {
            loop {
                let (_, message) = json_of(gateway.get(&format!("/messages/{id}"))).await;
                if message["status"] == "succeeded" {
                    assert_eq!(message["attempt"], 1, "{message}");
                    break;
                }
                assert_ne!(message["status"], "failed", "{message}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    let all = tokio::time::timeout(2 * PATIENCE, all_succeeded).await;
    assert!(
        all.is_ok(),
        "not everything was sent:\n{}",
        gateway.output()
    );
}

#[tokio::test]
async fn what_is_in_flight_ends_first_and_who_follows_it_hears_of_it() {
    let (server, _received) = sip_server(&[]).await;
    let mut gateway = Running::start(&account("alice", &server, "")).await;
    gateway.agents(registered(&["alice-1"])).await;
    let request = gateway.post("/messages").json(&message("slow"));
    let stream = request.header("accept", "text/event-stream").send().await;
    gateway.agents(|agents| agents[0]["inFlight"] == 1).await;

    gateway.signal(Signal::TERM);
    gateway.line("stopping").await;

    let events = stream.unwrap().text().await.unwrap();
    assert!(events.contains("event: succeeded"), "{events}");
    assert_eq!(gateway.ended().await, Some(0));
}

#[tokio::test]
async fn a_gateway_that_stops_takes_nothing_more_and_a_second_signal_ends_it_at_once() {
    let (server, _received) = sip_server(&[]).await;
    let mut gateway = Running::start(&account("alice", &server, "")).await;
    gateway.agents(registered(&["alice-1"])).await;
    assert_eq!(health(&gateway, &[]).await, Some(0));
    json_of(gateway.post("/messages").json(&message("silent"))).await;
    gateway.agents(|agents| agents[0]["inFlight"] == 1).await;

    gateway.signal(Signal::INT);
    gateway.line("a second signal ends at once").await;
    let not_ready = async {
        while gateway.get("/readyz").send().await.unwrap().status() != 503 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, not_ready).await.unwrap();
    let stopping = asked_for_health(&gateway, &[]).await;
    assert_eq!(stopping.status.code(), Some(1));
    let said = String::from_utf8_lossy(&stopping.stderr).into_owned();
    assert!(said.contains("answers 503 Service Unavailable: "), "{said}");
    assert!(said.contains("stop"), "{said}");
    assert_eq!(health(&gateway, &["--live"]).await, Some(0));
    let (status, problem) = json_of(gateway.post("/messages").json(&message("ok"))).await;
    assert_eq!(
        (status, &problem["type"]),
        (503, &"/problems/stopping".into())
    );
    assert_eq!(gateway.ended_by(Signal::TERM).await, Some(0));
    gateway.line("stopped at once").await;
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_left_for_the_next_start() {
    let (server, mut received) = sip_server(&[]).await;
    let text = format!(
        "[delivery]\nshutdown_grace = \"1s\"\n{}",
        account("alice", &server, "")
    );
    let mut gateway = Running::start(&text).await;
    gateway.agents(registered(&["alice-1"])).await;
    let (_, accepted) = json_of(gateway.post("/messages").json(&message("silent"))).await;
    gateway.agents(|agents| agents[0]["inFlight"] == 1).await;

    gateway.signal(Signal::TERM);
    gateway.line("requests are still open").await;
    assert_eq!(gateway.ended().await, Some(0));
    let output = gateway.output();
    assert!(!output.contains("did not unregister"), "{output}");
    let mut leaving = 0;
    while let Ok(request) = received.try_recv() {
        leaving += usize::from(request.method == "REGISTER" && lets_go(&request.frame));
    }
    assert!(leaving > 0, "the agent did not unregister:\n{output}");

    let gateway = Running::start_in(gateway.folder, &text).await;
    gateway.agents(|agents| agents[0]["inFlight"] == 1).await;
    let path = format!("/messages/{}", accepted["id"].as_str().unwrap());
    // The agent may have begun while that is made durable, which is when it is shown.
    let shown = async {
        loop {
            let (_, message) = json_of(gateway.get(&path)).await;
            if message["status"] == "sending" {
                return message;
            }
            assert_eq!(message["status"], "queued", "{message}");
        }
    };
    let message = tokio::time::timeout(PATIENCE, shown).await.unwrap();
    assert_eq!(message["attempt"], 2, "{message}");
}

/// The SIP server never answers, the webhook never answers, and a client reads nothing and keeps
/// its connection. Without a bound the open request alone takes 32 seconds.
#[tokio::test]
async fn a_stop_ends_within_its_grace_and_ten_seconds_whatever_hangs() {
    let (server, _received) = sip_server(&[]).await;
    let text = format!(
        "[delivery]\nshutdown_grace = \"1s\"\n[webhooks]\nallowed_networks = [\"127.0.0.0/8\"]\n\
         secret = \"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3\"\n{}",
        account("alice", &server, "")
    );
    let mut gateway = Running::start(&text).await;
    gateway.agents(registered(&["alice-1"])).await;
    let webhook = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut posted = message("ok");
    posted["webhook"] = format!("http://{}/", webhook.local_addr().unwrap()).into();
    let (status, _) = json_of(gateway.post("/messages").json(&posted)).await;
    assert_eq!(status, 202);
    let _post = tokio::time::timeout(PATIENCE, webhook.accept()).await;
    json_of(gateway.post("/messages").json(&message("silent"))).await;
    gateway.agents(|agents| agents[0]["inFlight"] == 1).await;
    let listen = gateway.url.trim_start_matches("http://").to_owned();
    let mut reader = TcpStream::connect(&listen).await.unwrap();
    let request = format!("GET /events HTTP/1.1\r\nHost: {listen}\r\n\r\n");
    reader.write_all(request.as_bytes()).await.unwrap();

    let asked = clock::now();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, Some(0));
    // A busy machine has as long again.
    let took = asked.elapsed();
    assert!(took < 2 * Duration::from_secs(11), "{took:?}");
    drop(reader);
}

/// A log that cannot be written is no reason to end, or to do half of the work.
#[tokio::test]
async fn whoever_read_the_log_may_go_and_all_goes_on_to_an_end_in_order() {
    let (server, mut received) = sip_server(&[]).await;
    let mut gateway = Running::start(&account("alice", &server, "")).await;
    gateway.agents(registered(&["alice-1"])).await;
    gateway.stop_reading().await;

    // An agent that connects anew says so.
    let (status, _) = json_of(gateway.post("/agents/alice-1/drain")).await;
    assert_eq!(status, 202);
    gateway
        .agents(|agents| agents[0]["state"] == "stopped")
        .await;
    let (status, _) = json_of(gateway.post("/agents/alice-1/resume")).await;
    assert_eq!(status, 202);
    gateway.agents(registered(&["alice-1"])).await;
    let request = gateway.post("/messages").json(&message("ok"));
    let (_, posted) = json_of(request.header("prefer", "wait=10")).await;
    assert_eq!(posted["status"], "succeeded");

    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, Some(0));
    let mut last = None;
    while let Ok(request) = received.try_recv() {
        last = Some(String::from_utf8(request.frame).unwrap());
    }
    let last = last.unwrap();
    assert!(
        last.contains("Expires: 0\r\n") || last.contains(";expires=0"),
        "{last}"
    );
}

#[tokio::test]
async fn the_service_manager_is_told_of_the_start_a_reload_and_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let told = async || {
        let mut text = [0; 512];
        let heard = tokio::time::timeout(PATIENCE, socket.recv(&mut text));
        let length = heard.await.unwrap().unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let home = tempfile::tempdir().unwrap();
    let mut gateway = Running::start_with(home, "", &environment).await;
    let ready = told().await;
    let status = format!("STATUS=taking messages at {}", gateway.url());
    assert!(
        ready.starts_with("READY=1\n") && ready.contains(&status),
        "{ready}"
    );

    // Also of a reload that changes nothing, because the file has a mistake.
    for text in ["", "http.max_streams = 'many'"] {
        gateway.reload(text);
        let reloading = told().await;
        assert!(
            reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{reloading}"
        );
        assert_eq!(told().await.trim_end(), "READY=1");
    }
    gateway.signal(Signal::TERM);
    assert!(told().await.starts_with("STOPPING=1\n"));
    assert_eq!(gateway.ended().await, Some(0));
}

#[tokio::test]
async fn the_first_screen_says_version_store_page_and_users() {
    let mut gateway = Running::start("").await;
    let printed = gateway.output();
    let store = gateway.path("sipost.db").display().to_string();
    let page = format!("{}/", gateway.url);
    for words in [
        env!("CARGO_PKG_VERSION"),
        &store,
        &page,
        "ok, accepted, busy",
        "echo, reader",
    ] {
        assert!(printed.contains(words), "no {words}:\n{printed}");
    }
    gateway.signal(Signal::INT);
    gateway
        .line("no SIP request is open; then agents unregister and streams close, in 10 s at most")
        .await;
    assert_eq!(gateway.ended().await, Some(0));
}
