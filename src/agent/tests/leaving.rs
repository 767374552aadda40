//! Agents that are drained and stopped.

use super::harness::{Setup, TestServer};
use crate::agent::AgentCommand;
use crate::message::{AgentState, Outcome};
use crate::sip::testing::value;

#[tokio::test]
async fn a_drained_agent_ends_what_is_in_flight_then_leaves_and_comes_back_when_told() {
    let server = TestServer::open().await;
    let mut agent = Setup::at(&server).start();
    let mut peer = server.registered().await;
    agent.up().await;
    agent.send_all([1, 2]);
    let first = peer.request_of("MESSAGE").await;
    let second = peer.request_of("MESSAGE").await;

    agent.tell(AgentCommand::Drain);
    agent.down().await;
    assert_eq!(agent.status().state, AgentState::Draining);
    for (key, request) in [(1, first), (2, second)] {
        peer.answer(&request, "200 OK", "").await;
        assert_eq!(agent.code().await, (key, 200));
    }
    let farewell = peer.request_of("REGISTER").await;
    assert_eq!(value(&farewell, "Expires"), "0");
    peer.answer(&farewell, "200 OK", "").await;
    assert!(peer.closed().await.is_some());

    // Parked: what it is handed it gives back.
    agent.send(3);
    assert_eq!(agent.outcome().await, (3, Outcome::NotWritten));
    assert_eq!(agent.status().state, AgentState::Stopped);
    agent.tell(AgentCommand::Resume);
    let mut peer = server.registered().await;
    agent.up().await;
    peer.works_for(&mut agent).await;
}

#[tokio::test]
async fn an_agent_that_is_resumed_before_it_left_stays() {
    let server = TestServer::open().await;
    let mut agent = Setup::at(&server).start();
    let mut peer = server.registered().await;
    agent.up().await;
    agent.send(1);
    let request = peer.request_of("MESSAGE").await;
    agent.tell(AgentCommand::Drain);
    agent.down().await;
    agent.tell(AgentCommand::Resume);
    agent.up().await;
    peer.answer(&request, "200 OK", "").await;
    assert_eq!(agent.code().await, (1, 200));
    peer.works_for(&mut agent).await;
}

#[tokio::test]
async fn a_stopped_agent_leaves_its_registrar_and_closes() {
    let server = TestServer::open().await;
    let mut agent = Setup::at(&server).start();
    let mut peer = server.registered().await;
    agent.up().await;
    agent.tell(AgentCommand::Stop);
    let farewell = peer.request_of("REGISTER").await;
    assert!(
        value(&farewell, "Contact").ends_with(";expires=0"),
        "{farewell}"
    );
    peer.answer(&farewell, "200 OK", "").await;
    assert!(peer.closed().await.is_some());
    agent.gone().await;
    assert_eq!(agent.status().state, AgentState::Stopped);
}

/// Neither a registrar that does not answer nor one that is away keeps an agent for long.
#[tokio::test]
async fn an_agent_stops_whatever_the_server_does() {
    let server = TestServer::open().await;
    let mut agent = Setup::at(&server).start();
    let mut peer = server.registered().await;
    agent.up().await;
    agent.tell(AgentCommand::Stop);
    peer.request_of("REGISTER").await;
    agent.gone().await;

    let mut connecting = Setup::at(&server).start();
    let silent = server.accept().await;
    connecting.tell(AgentCommand::Stop);
    connecting.gone().await;
    drop(silent);

    let mut unregistered = Setup::at(&server).start();
    let mut peer = server.upgrade().await;
    peer.request_of("REGISTER").await;
    unregistered.tell(AgentCommand::Stop);
    unregistered.gone().await;
}

/// The grace of a shutdown is over: a peer that does not answer keeps no agent registered.
#[tokio::test]
async fn an_agent_that_leaves_unregisters_while_a_request_is_open() {
    let server = TestServer::open().await;
    let mut agent = Setup::at(&server).start();
    let mut peer = server.registered().await;
    agent.up().await;
    agent.send_all([1]);
    peer.request_of("MESSAGE").await;
    agent.tell(AgentCommand::Stop);
    agent.down().await;

    agent.tell(AgentCommand::Leave);
    // Nothing brings it back.
    agent.tell(AgentCommand::Resume);
    let farewell = peer.request_of("REGISTER").await;
    assert_eq!(value(&farewell, "Expires"), "0");
    peer.answer(&farewell, "200 OK", "").await;
    let (key, outcome) = agent.outcome().await;
    assert!(
        key == 1 && matches!(outcome, Outcome::Unknown(_)),
        "{outcome:?}"
    );
    assert!(peer.closed().await.is_some());
    agent.gone().await;
    assert_eq!(agent.status().state, AgentState::Stopped);
}
