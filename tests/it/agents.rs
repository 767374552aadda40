//! `GET /agents`: the pool, as an operator sees it.

use reqwest::Method;
use serde_json::json;

use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::soon;
use crate::operating::token;

#[tokio::test]
async fn agents_are_listed_with_what_they_did() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(486)]);
    let setup = TestGateway::at(&peer).with_agents(2);
    let gateway = setup.open().await;
    peer.registered(2).await;
    for target in ["bob", "carol", "dave"] {
        gateway
            .http
            .delivered(&json!({"target": target, "body": "x"}))
            .await;
    }

    let list = gateway.http.get("/agents").await;
    assert_eq!(list.status, 200);
    let agents = list.body["data"].as_array().unwrap();
    let ids: Vec<_> = agents.iter().map(|agent| agent["id"].clone()).collect();
    assert_eq!(ids, ["alice-1", "alice-2"]);
    let sum = |member: &str| -> u64 {
        agents
            .iter()
            .map(|agent| agent[member].as_u64().unwrap())
            .sum()
    };
    assert_eq!(
        (
            sum("sent"),
            sum("succeeded"),
            sum("failed"),
            sum("inFlight")
        ),
        (3, 2, 1, 0)
    );
    for agent in agents {
        assert_eq!(agent["account"], "sip:alice@example.com");
        assert_eq!(agent["state"], "registered");
        assert!(
            agent["registeredUntil"].as_str() > agent["since"].as_str(),
            "{agent}"
        );
        let path = format!("/agents/{}", agent["id"].as_str().unwrap());
        assert_eq!(gateway.http.get(&path).await.body["id"], agent["id"]);
    }
    assert_eq!(gateway.http.get("/agents/alice-3").await.status, 404);
    gateway.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_refused_says_why_and_comes_back() {
    let peer = Peer::start().await;
    peer.answer_registers(503);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    soon("the agent tells of the refusal", async {
        loop {
            let agent = gateway.http.get("/agents/alice-1").await.body;
            if agent["lastError"]
                .as_str()
                .is_some_and(|error| error.contains("503"))
            {
                assert_ne!(agent["state"], "registered");
                break;
            }
        }
    })
    .await;
    // A SIP server that is away is no reason to take nothing in.
    assert_eq!(gateway.http.get("/readyz").await.status, 200);
    let id = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "x"}))
        .await;
    peer.answer_registers(200);
    assert_eq!(gateway.http.finished(&id).await["status"], "succeeded");
    gateway.stop().await;
}

#[tokio::test]
async fn readers_that_name_them_are_told_when_agents_come_and_go() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let path = "/events?type=agentUp,agentDown&lastEventId=earliest";
    let mut told = gateway.http.stream(path).await;
    let up = told.next().await;
    let server = gateway.http.get("/agents/alice-1").await.body["server"].clone();
    let expected = json!({
        "id": up.id, "type": "agentUp", "time": up.data["time"], "agent": "alice-1",
        "account": "sip:alice@example.com", "server": server,
    });
    assert_eq!((up.name.as_str(), &up.data), ("agentUp", &expected));
    peer.cut();
    let down = told.next().await;
    assert_eq!(
        (down.name.as_str(), &down.data["agent"]),
        ("agentDown", &json!("alice-1"))
    );
    assert!(
        !down.data["reason"].as_str().unwrap().is_empty(),
        "{down:?}"
    );
    assert_eq!(told.next().await.name, "agentUp");

    // A reader that names no type is told of messages alone.
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "x"}))
        .await;
    let types = async |query: &str| {
        let page = gateway.http.get(&format!("/events?{query}")).await.body;
        let events = page["data"].as_array().unwrap().clone();
        let types = events
            .iter()
            .map(|event| event["type"].as_str().unwrap().to_owned());
        types.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(types("").await, "sending succeeded");
    let of_alice = "type=agentDown,succeeded&from=sip:alice@example.com";
    assert_eq!(types(of_alice).await, "agentDown succeeded");
    assert_eq!(gateway.http.get("/events?type=agentLost").await.status, 400);
    gateway.stop().await;

    // Those that left with the gateway were written down before it ended.
    let gateway = setup.open().await;
    let mut told = gateway
        .http
        .stream_after("/events?type=agentDown", &down.id)
        .await;
    assert_eq!(told.next().await.data["reason"], "it was stopped");
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_with_accounts_is_told_of_their_agents_alone() {
    let peer = Peer::start().await;
    let more = format!(
        "[[account]]\nuri = 'sip:carol@example.com'\nservers = ['{}']",
        peer.url()
    );
    let all = token("all", "a", "");
    let own = token("carol", "c", ", from = [\"sip:carol@example.com\"]");
    let setup = TestGateway::at(&peer)
        .with(&format!("http.tokens = [{all}, {own}]"))
        .with_account(&more);
    let gateway = setup.open().await;
    peer.registered(2).await;
    let path = "/events?type=agentUp,agentDown&lastEventId=earliest";
    let follow = async |secret: &str| {
        let request = gateway.http.request(Method::GET, path).bearer_auth(secret);
        gateway.http.stream_of(request).await
    };
    let (mut everyone, mut carols) = (follow("a").await, follow("c").await);
    peer.cut();
    let mut told = Vec::new();
    while told.len() < 6 {
        told.push(everyone.next().await);
    }
    let of_carol: Vec<_> = told
        .iter()
        .filter(|event| event.data["agent"] == "carol-1")
        .collect();
    assert_eq!(of_carol.len(), 3, "{told:?}");
    for expected in of_carol {
        let event = carols.next().await;
        assert_eq!((&event.id, &event.data), (&expected.id, &expected.data));
    }
    let refused = format!("{path}&from=sip:alice@example.com");
    let request = gateway.http.request(Method::GET, &refused).bearer_auth("c");
    assert_eq!(gateway.http.send(request).await.status, 403);
    gateway.stop().await;
}
