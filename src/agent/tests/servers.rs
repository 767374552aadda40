//! Several servers: which one is used, which one after it, and the way back.

use std::time::Duration;

use super::harness::{Peer, RunningAgent, Setup, TestServer};
use crate::message::{Outcome, Unknown};
use crate::sip::testing::value;

/// A heavy server and a light one.
async fn two(setup: impl FnOnce(&mut Setup)) -> (TestServer, TestServer, RunningAgent) {
    let (heavy, light) = (TestServer::open().await, TestServer::open().await);
    let mut given = Setup::new([(light.url(), 1), (heavy.url(), 10)]);
    setup(&mut given);
    let agent = given.start();
    (heavy, light, agent)
}

#[tokio::test]
async fn w7_a_connection_to_the_heavy_server_that_is_lost_is_followed_by_one_to_the_other() {
    let (heavy, light, mut agent) = two(|_| {}).await;
    let mut peer = heavy.registered().await;
    agent.up().await;
    agent.send(1);
    peer.request_of("MESSAGE").await;
    drop(peer);
    let lost = Outcome::Unknown(Unknown::Disconnected);
    assert_eq!(agent.outcome().await, (1, lost));

    let mut peer = light.registered().await;
    agent.up().await;
    assert!(agent.status().server.contains(&light.port().to_string()));
    peer.works_for(&mut agent).await;
}

#[tokio::test]
async fn w7_when_all_have_failed_all_are_tried_again_the_heavy_one_first() {
    let (heavy, light, _stage) = two(|_| {}).await;
    for _ in 0..3 {
        drop(heavy.accept().await);
        drop(light.accept().await);
    }
}

/// RFC 3263 §4.3: a server that says that it cannot is as good as one that is away, if there is
/// another. One that knows the user and refuses is asked where it is.
#[tokio::test]
async fn a_registrar_that_cannot_is_left_for_another_server() {
    let (heavy, light, mut agent) = two(|_| {}).await;
    let mut peer = heavy.upgrade().await;
    let register = peer.request_of("REGISTER").await;
    peer.answer(
        &register,
        "503 Service Unavailable",
        "Retry-After: 3600\r\n",
    )
    .await;
    assert!(peer.closed().await.is_some());
    light.registered().await;
    agent.up().await;

    let (heavy, _light, agent) = two(|_| {}).await;
    let mut peer = heavy.upgrade().await;
    let register = peer.request_of("REGISTER").await;
    peer.answer(&register, "400 Bad Request", "").await;
    peer.request_of("REGISTER").await;
    assert!(agent.error().contains("400"), "{}", agent.error());
}

/// Cut off from the heavy server, and at work on the light one.
async fn on_the_light_one() -> (
    TestServer,
    TestServer,
    RunningAgent,
    Peer<tokio::net::TcpStream>,
) {
    let cooldown = |setup: &mut Setup| setup.recovery.cooldown = Duration::from_millis(500);
    let (heavy, light, mut agent) = two(cooldown).await;
    drop(heavy.accept().await);
    let peer = light.registered().await;
    agent.up().await;
    (heavy, light, agent, peer)
}

/// The light server is left only when the heavy one is there, and when nothing is in flight.
#[tokio::test]
async fn w7_the_heavy_server_is_returned_to_and_nothing_is_lost_on_the_way() {
    let (heavy, _light, mut agent, mut peer) = on_the_light_one().await;
    agent.send(1);
    let request = peer.request_of("MESSAGE").await;

    let mut back = heavy.upgrade().await;
    agent.down().await;
    peer.answer(&request, "200 OK", "").await;
    assert_eq!(agent.code().await, (1, 200));
    let farewell = peer.request_of("REGISTER").await;
    assert_eq!(value(&farewell, "Expires"), "0");
    peer.answer(&farewell, "200 OK", "").await;
    assert!(peer.closed().await.is_some());

    back.register().await;
    agent.up().await;
    assert!(agent.status().server.contains(&heavy.port().to_string()));
    back.works_for(&mut agent).await;
}

/// An agent that left its server first, and looked then, would be away itself each time.
#[tokio::test]
async fn w7_a_heavy_server_that_is_still_away_takes_nobody_from_work() {
    let (heavy, _light, mut agent, mut peer) = on_the_light_one().await;
    for _ in 0..2 {
        drop(heavy.accept().await);
        peer.works_for(&mut agent).await;
    }
    // It accepts, and says nothing: the light one works meanwhile.
    let silent = heavy.accept().await;
    peer.works_for(&mut agent).await;
    drop(silent);
    heavy.accept().await;
    assert_eq!(agent.status().state, crate::message::AgentState::Registered);
}
