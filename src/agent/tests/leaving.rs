//! Agents that are drained and stopped.

use super::stage::{House, Setup};
use crate::agent::AgentCommand;
use crate::message::{AgentState, Outcome};
use crate::sip::testing::value;

#[tokio::test]
async fn a_drained_agent_ends_what_is_in_flight_then_leaves_and_comes_back_when_told() {
    let house = House::open().await;
    let mut stage = Setup::at(&house).start();
    let mut peer = house.registered().await;
    stage.up().await;
    stage.send_all([1, 2]);
    let first = peer.request_of("MESSAGE").await;
    let second = peer.request_of("MESSAGE").await;

    stage.tell(AgentCommand::Drain);
    stage.down().await;
    assert_eq!(stage.status().state, AgentState::Draining);
    for (key, request) in [(1, first), (2, second)] {
        peer.answer(&request, "200 OK", "").await;
        assert_eq!(stage.code().await, (key, 200));
    }
    let farewell = peer.request_of("REGISTER").await;
    assert_eq!(value(&farewell, "Expires"), "0");
    peer.answer(&farewell, "200 OK", "").await;
    assert!(peer.closed().await.is_some());

    // Parked: what it is handed it gives back.
    stage.send(3);
    assert_eq!(stage.outcome().await, (3, Outcome::NotWritten));
    assert_eq!(stage.status().state, AgentState::Stopped);
    stage.tell(AgentCommand::Resume);
    let mut peer = house.registered().await;
    stage.up().await;
    peer.works_for(&mut stage).await;
}

#[tokio::test]
async fn an_agent_that_is_resumed_before_it_left_stays() {
    let house = House::open().await;
    let mut stage = Setup::at(&house).start();
    let mut peer = house.registered().await;
    stage.up().await;
    stage.send(1);
    let request = peer.request_of("MESSAGE").await;
    stage.tell(AgentCommand::Drain);
    stage.down().await;
    stage.tell(AgentCommand::Resume);
    stage.up().await;
    peer.answer(&request, "200 OK", "").await;
    assert_eq!(stage.code().await, (1, 200));
    peer.works_for(&mut stage).await;
}

#[tokio::test]
async fn a_stopped_agent_leaves_its_registrar_and_closes() {
    let house = House::open().await;
    let mut stage = Setup::at(&house).start();
    let mut peer = house.registered().await;
    stage.up().await;
    stage.tell(AgentCommand::Stop);
    let farewell = peer.request_of("REGISTER").await;
    assert!(
        value(&farewell, "Contact").ends_with(";expires=0"),
        "{farewell}"
    );
    peer.answer(&farewell, "200 OK", "").await;
    assert!(peer.closed().await.is_some());
    stage.gone().await;
    assert_eq!(stage.status().state, AgentState::Stopped);
}

/// A registrar that does not answer, and one that is not even there, hold nobody for long.
#[tokio::test]
async fn an_agent_stops_whatever_the_server_does() {
    let house = House::open().await;
    let mut stage = Setup::at(&house).start();
    let mut peer = house.registered().await;
    stage.up().await;
    stage.tell(AgentCommand::Stop);
    peer.request_of("REGISTER").await;
    stage.gone().await;

    let mut connecting = Setup::at(&house).start();
    let silent = house.accept().await;
    connecting.tell(AgentCommand::Stop);
    connecting.gone().await;
    drop(silent);

    let mut unregistered = Setup::at(&house).start();
    let mut peer = house.upgrade().await;
    peer.request_of("REGISTER").await;
    unregistered.tell(AgentCommand::Stop);
    unregistered.gone().await;
}

/// The grace of a shutdown is over: a peer that does not answer keeps no agent registered.
#[tokio::test]
async fn an_agent_that_leaves_unregisters_while_a_request_is_open() {
    let house = House::open().await;
    let mut stage = Setup::at(&house).start();
    let mut peer = house.registered().await;
    stage.up().await;
    stage.send_all([1]);
    peer.request_of("MESSAGE").await;
    stage.tell(AgentCommand::Stop);
    stage.down().await;

    stage.tell(AgentCommand::Leave);
    // Nothing brings it back.
    stage.tell(AgentCommand::Resume);
    let farewell = peer.request_of("REGISTER").await;
    assert_eq!(value(&farewell, "Expires"), "0");
    peer.answer(&farewell, "200 OK", "").await;
    let (key, outcome) = stage.outcome().await;
    assert!(
        key == 1 && matches!(outcome, Outcome::Unknown(_)),
        "{outcome:?}"
    );
    assert!(peer.closed().await.is_some());
    stage.gone().await;
    assert_eq!(stage.status().state, AgentState::Stopped);
}
