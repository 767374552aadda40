//! What an operator does to agents: take one out, put it back, make it register anew.

use serde_json::Value;

use super::Running;
use super::account;
use super::json_of;
use super::message;
use super::registered;
use super::sip_server;

fn state_is(id: &'static str, state: &'static str) -> impl Fn(&[Value]) -> bool {
    move |agents| {
        agents
            .iter()
            .any(|agent| agent["id"] == id && agent["state"] == state)
    }
}

#[tokio::test]
async fn a_drained_agent_unregisters_and_comes_back_when_resumed() {
    let (server, mut received) = sip_server(&[]).await;
    let gateway = Running::start(&account("alice", &server, "connections = 2")).await;
    gateway.agents(registered(&["alice-1", "alice-2"])).await;

    let (status, told) = json_of(gateway.post("/agents/alice-1/drain")).await;
    assert_eq!((status, &told["id"]), (202, &"alice-1".into()));
    assert_eq!(told["state"], "draining");
    gateway.agents(state_is("alice-1", "stopped")).await;
    let mut leaving = 0;
    while let Ok(request) = received.try_recv() {
        let frame = String::from_utf8(request.frame).unwrap();
        let lets_go = frame.contains("Expires: 0\r\n") || frame.contains(";expires=0");
        leaving += usize::from(request.method == "REGISTER" && lets_go);
    }
    assert!(leaving > 0, "it did not unregister");

    // What is sent meanwhile goes out through the other one.
    let sent = gateway.post("/messages").header("prefer", "wait=30");
    let (_, ended) = json_of(sent.json(&message("ok"))).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(ended["result"]["agent"], "alice-2", "{ended}");

    let (_, again) = json_of(gateway.post("/agents/alice-1/drain")).await;
    assert_eq!(again["state"], "stopped");
    let (status, told) = json_of(gateway.post("/agents/alice-1/resume")).await;
    assert_eq!((status, &told["state"]), (202, &"connecting".into()));
    gateway.agents(registered(&["alice-1", "alice-2"])).await;
}

#[tokio::test]
async fn what_a_drained_agent_has_in_flight_ends_as_it_would_have() {
    let (server, _received) = sip_server(&[]).await;
    let gateway = Running::start(&account("alice", &server, "")).await;
    gateway.agents(registered(&["alice-1"])).await;

    let (_, accepted) = json_of(gateway.post("/messages").json(&message("slow"))).await;
    gateway.agents(|agents| agents[0]["inFlight"] == 1).await;
    json_of(gateway.post("/agents/alice-1/drain")).await;
    gateway.agents(state_is("alice-1", "stopped")).await;

    let path = format!("/messages/{}", accepted["id"].as_str().unwrap());
    // The agent is done with it a moment before its end is durable.
    let mut ended = json_of(gateway.get(&path)).await.1;
    while ended["status"] == "sending" {
        ended = json_of(gateway.get(&path)).await.1;
    }
    assert_eq!(
        (&ended["status"], &ended["attempt"]),
        (&"succeeded".into(), &1.into()),
        "{ended}"
    );
}

#[tokio::test]
async fn an_agent_registers_anew_when_told_to() {
    let (server, mut received) = sip_server(&[]).await;
    let gateway = Running::start(&account("alice", &server, "")).await;
    gateway.agents(registered(&["alice-1"])).await;
    while received.try_recv().is_ok() {}

    let (status, _) = json_of(gateway.post("/agents/alice-1/reregister")).await;
    assert_eq!(status, 202);
    let next = tokio::time::timeout(super::PATIENCE, received.recv()).await;
    assert_eq!(next.unwrap().unwrap().method, "REGISTER");
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_told_nothing() {
    let gateway = Running::start("").await;
    for what in ["drain", "resume", "reregister"] {
        let (status, problem) = json_of(gateway.post(&format!("/agents/nobody-1/{what}"))).await;
        assert_eq!((status, &problem["status"]), (404, &404.into()));
    }
}
