//! Messages and receipts that come in, up to the dispatcher's end of the queue and back.

use std::sync::{Arc, Mutex};

use tokio::net::TcpStream;

use super::harness::{Peer, RunningAgent, Setup, TestServer};
use crate::agent::{AgentCommand, AgentObserver, Arrival, Inbound, InboundAnswer, NotTaken};
use crate::message::Disposition;
use crate::sip::testing::{status, value};
use crate::sip::{ReceiveSettings, StatusCode};

const OURS: &str = "01930000-0000-7000-8000-000000000002";

/// An agent that takes messages.
fn taking(server: &TestServer) -> Setup {
    let mut setup = Setup::at(server);
    setup.settings.receive = Some(ReceiveSettings::default());
    // Larger than the largest body and its headers.
    setup.dialing.max_frame = 256 * 1024;
    setup.settings.limits.frame = 256 * 1024;
    setup
}

async fn registered(setup: Setup, server: &TestServer) -> (RunningAgent, Peer<TcpStream>) {
    let mut agent = setup.start();
    let peer = server.registered().await;
    agent.up().await;
    (agent, peer)
}

fn message(number: u32, branch: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "MESSAGE sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/WS p;branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: \"Bob\" <sip:bob@example.com>;tag=b\r\n\
         To: <sip:alice@example.com>\r\nCall-ID: in-{number}\r\nCSeq: 1 MESSAGE\r\n\
         Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn text(number: u32) -> String {
    message(number, &number.to_string(), "text/plain", "hi")
}

fn receipt(number: u32, message_id: &str) -> String {
    let body = format!(
        "<imdn xmlns=\"urn:ietf:params:xml:ns:imdn\"><message-id>{message_id}</message-id>\
         <delivery-notification><status><delivered/></status></delivery-notification></imdn>"
    );
    message(number, &number.to_string(), "message/imdn+xml", &body)
}

/// The Call-ID of a message that arrived.
fn call_id(arrival: &Arrival) -> &str {
    match &arrival.what {
        Inbound::Message(received) => &received.request.call_id,
        Inbound::Receipt(receipt) => panic!("{receipt:?}"),
    }
}

#[derive(Default)]
struct Counts(Mutex<Vec<NotTaken>>);

impl AgentObserver for Counts {
    fn reconnecting(&self) {}

    fn not_taken(&self, reason: NotTaken) {
        self.0.lock().unwrap().push(reason);
    }
}

#[tokio::test]
async fn a_message_arrives_and_is_answered_as_the_dispatcher_says() {
    let server = TestServer::open().await;
    let (mut agent, mut peer) = registered(taking(&server), &server).await;
    for (number, (answer, code, retry_after)) in [
        (InboundAnswer::Taken, 202, ""),
        (InboundAnswer::NoConsumer, 480, "30"),
        (InboundAnswer::Overloaded, 500, "5"),
        (InboundAnswer::Failed, 500, "5"),
    ]
    .into_iter()
    .enumerate()
    {
        peer.say(text(number as u32)).await;
        let arrival = agent.arrival().await;
        assert_eq!(call_id(&arrival), format!("in-{number}"));
        arrival.answer(answer);
        let response = peer.request().await;
        assert_eq!(status(&response), code);
        assert_eq!(value(&response, "Retry-After"), retry_after);
        assert_eq!(value(&response, "Call-ID"), format!("in-{number}"));
    }
    peer.works_for(&mut agent).await;
}

#[tokio::test]
async fn ids_of_messages_that_arrive_sort_in_the_order_of_their_arrival() {
    let server = TestServer::open().await;
    let (mut agent, mut peer) = registered(taking(&server), &server).await;
    let mut ids = Vec::new();
    for number in 0..10 {
        peer.say(text(number)).await;
    }
    for _ in 0..10 {
        match agent.arrival().await.what {
            Inbound::Message(received) => ids.push((received.time, received.id)),
            Inbound::Receipt(receipt) => panic!("{receipt:?}"),
        }
    }
    assert!(ids.is_sorted() && ids[0].1 != ids[9].1);
    assert!(ids.iter().all(|(time, id)| id.made_at() == *time));
}

#[tokio::test]
async fn a_message_is_answered_200_where_the_settings_say_so() {
    let server = TestServer::open().await;
    let mut setup = taking(&server);
    setup.settings.receive = Some(ReceiveSettings {
        answer: StatusCode::OK,
        ..ReceiveSettings::default()
    });
    let (mut agent, mut peer) = registered(setup, &server).await;
    peer.say(text(1)).await;
    agent.arrival().await.answer(InboundAnswer::Taken);
    assert_eq!(status(&peer.request().await), 200);
}

#[tokio::test]
async fn a_receipt_arrives_and_is_answered_200_whatever_the_settings_say() {
    let server = TestServer::open().await;
    let (mut agent, mut peer) = registered(taking(&server), &server).await;
    peer.say(receipt(1, OURS)).await;
    let arrival = agent.arrival().await;
    match &arrival.what {
        Inbound::Receipt(receipt) => {
            assert_eq!(receipt.message_id.to_string(), OURS);
            assert_eq!(&*receipt.recipient, "sip:bob@example.com");
            assert_eq!(receipt.disposition, Disposition::Delivered);
        }
        Inbound::Message(message) => panic!("{message:?}"),
    }
    arrival.answer(InboundAnswer::Taken);
    assert_eq!(status(&peer.request().await), 200);
}

#[tokio::test]
async fn what_is_not_handed_over_is_answered_and_counted_and_the_agent_goes_on() {
    let server = TestServer::open().await;
    let counts = Arc::new(Counts::default());
    let mut setup = taking(&server);
    setup.observer = counts.clone();
    let (mut agent, mut peer) = registered(setup, &server).await;
    let garbage = "\u{0}".repeat(1_000);
    for (number, (frame, code, reason)) in [
        (receipt(0, "a1b2"), 200, NotTaken::UnknownReceipt),
        (
            receipt(1, OURS).replace("delivered", "displayed"),
            200,
            NotTaken::OtherReceipt,
        ),
        (
            message(2, "2", "message/imdn+xml", &garbage),
            200,
            NotTaken::UnreadableReceipt,
        ),
        (
            message(3, "3", "application/im-iscomposing+xml", &garbage),
            200,
            NotTaken::Typing,
        ),
        (
            text(4).replace("Content-Type", "Content-Encoding: br\r\nContent-Type"),
            415,
            NotTaken::Refused,
        ),
        (
            text(5).replace("Content-Type", "Content-Encoding: gzip\r\nContent-Type"),
            400,
            NotTaken::Refused,
        ),
        (
            message(6, "6", "text/plain", &"x".repeat(65_537)),
            413,
            NotTaken::Refused,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        peer.say(frame).await;
        assert_eq!(status(&peer.request().await), code, "{reason:?}");
        assert_eq!(counts.0.lock().unwrap().len(), number + 1);
        assert_eq!(counts.0.lock().unwrap().last(), Some(&reason));
    }
    peer.say(text(9)).await;
    agent.arrival().await.answer(InboundAnswer::Taken);
    assert_eq!(status(&peer.request().await), 202);
    peer.works_for(&mut agent).await;
}

#[tokio::test]
async fn a_message_before_the_registration_arrives() {
    let server = TestServer::open().await;
    let mut agent = taking(&server).start();
    let mut peer = server.upgrade().await;
    let register = peer.request_of("REGISTER").await;
    assert_eq!(value(&register, "Allow"), "MESSAGE, OPTIONS");
    peer.say(text(1)).await;
    agent.arrival().await.answer(InboundAnswer::Taken);
    assert_eq!(status(&peer.request().await), 202);
    peer.grant(&register).await;
    agent.up().await;
}

#[tokio::test]
async fn a_queue_that_is_full_is_answered_500_with_retry_after_and_counted() {
    let server = TestServer::open().await;
    let counts = Arc::new(Counts::default());
    let mut setup = taking(&server);
    setup.observer = counts.clone();
    let (mut agent, mut peer) = registered(setup, &server).await;
    for number in 0..=RunningAgent::ARRIVALS as u32 {
        peer.say(text(number)).await;
    }
    let response = peer.request().await;
    assert_eq!(status(&response), 500);
    assert_eq!(value(&response, "Retry-After"), "5");
    let last = format!("in-{}", RunningAgent::ARRIVALS);
    assert_eq!(value(&response, "Call-ID"), last);
    assert_eq!(*counts.0.lock().unwrap(), [NotTaken::Overloaded]);
    for number in 0..RunningAgent::ARRIVALS {
        agent.arrival().await.answer(InboundAnswer::Taken);
        let response = peer.request().await;
        assert_eq!(status(&response), 202);
        assert_eq!(value(&response, "Call-ID"), format!("in-{number}"));
    }
    peer.works_for(&mut agent).await;
}

#[tokio::test]
async fn forks_to_several_agents_arrive_at_each_and_each_is_answered() {
    let server = TestServer::open().await;
    let (mut first, mut first_peer) = registered(taking(&server), &server).await;
    let (mut second, mut second_peer) = registered(taking(&server), &server).await;
    first_peer.say(message(1, "a", "text/plain", "hi")).await;
    second_peer.say(message(1, "b", "text/plain", "hi")).await;
    for (agent, peer) in [
        (&mut first, &mut first_peer),
        (&mut second, &mut second_peer),
    ] {
        let arrival = agent.arrival().await;
        assert_eq!(call_id(&arrival), "in-1");
        arrival.answer(InboundAnswer::Taken);
        assert_eq!(status(&peer.request().await), 202);
    }
}

#[tokio::test]
async fn a_draining_agent_answers_what_came_in_before_it_closes() {
    for command in [AgentCommand::Drain, AgentCommand::Stop] {
        let server = TestServer::open().await;
        let (mut agent, mut peer) = registered(taking(&server), &server).await;
        peer.say(text(1)).await;
        let arrival = agent.arrival().await;
        agent.tell(command);
        let farewell = peer.request_of("REGISTER").await;
        assert_eq!(value(&farewell, "Expires"), "0");
        peer.answer(&farewell, "200 OK", "").await;
        // What comes in meanwhile is taken too.
        peer.say(text(2)).await;
        let late = agent.arrival().await;
        arrival.answer(InboundAnswer::Taken);
        assert_eq!(value(&peer.request().await, "Call-ID"), "in-1");
        late.answer(InboundAnswer::Taken);
        assert_eq!(value(&peer.request().await, "Call-ID"), "in-2");
        assert!(peer.closed().await.is_some());
    }
}

#[tokio::test]
async fn a_draining_agent_waits_two_seconds_for_answers_that_do_not_come() {
    let server = TestServer::open().await;
    let (mut agent, mut peer) = registered(taking(&server), &server).await;
    peer.say(text(1)).await;
    let _arrival = agent.arrival().await;
    agent.tell(AgentCommand::Stop);
    let farewell = peer.request_of("REGISTER").await;
    peer.answer(&farewell, "200 OK", "").await;
    agent.gone().await;
}

#[tokio::test]
async fn an_answer_to_a_request_of_an_earlier_connection_is_dropped() {
    let server = TestServer::open().await;
    let (mut agent, mut peer) = registered(taking(&server), &server).await;
    peer.say(text(1)).await;
    let early = agent.arrival().await;
    drop(peer);
    agent.down().await;
    let mut peer = server.registered().await;
    agent.up().await;
    peer.say(text(2)).await;
    let late = agent.arrival().await;
    early.answer(InboundAnswer::Failed);
    late.answer(InboundAnswer::Taken);
    let response = peer.request().await;
    assert_eq!(status(&response), 202);
    assert_eq!(value(&response, "Call-ID"), "in-2");
    peer.works_for(&mut agent).await;
}
