//! Answers that come late, twice, to the wrong place or not at all; and requests that come in.

use std::time::Duration;

use tokio::net::TcpStream;

use super::harness::{Peer, RunningAgent, Setup, TestServer};
use crate::agent::AgentCommand;
use crate::message::{Outcome, Unknown};
use crate::sip::testing::{reply, status, value};

async fn registered(server: &TestServer) -> (RunningAgent, Peer<TcpStream>) {
    let mut agent = Setup::at(server).start();
    let peer = server.registered().await;
    agent.up().await;
    (agent, peer)
}

#[tokio::test]
async fn e4_an_answer_that_comes_twice_is_told_once() {
    let server = TestServer::open().await;
    let (mut agent, mut peer) = registered(&server).await;
    agent.send(1);
    let request = peer.request_of("MESSAGE").await;
    for status in ["200 OK", "200 OK", "500 Oops"] {
        peer.answer(&request, status, "").await;
    }
    assert_eq!(agent.code().await, (1, 200));
    peer.works_for(&mut agent).await;
}

/// The connection that the request went out on is gone, and its outcome was told.
#[tokio::test]
async fn t4_an_answer_after_a_reconnect_completes_nothing() {
    let server = TestServer::open().await;
    let (mut agent, mut peer) = registered(&server).await;
    agent.send(1);
    let request = peer.request_of("MESSAGE").await;
    drop(peer);
    let lost = Outcome::Unknown(Unknown::Disconnected);
    assert_eq!(agent.outcome().await, (1, lost));

    let mut peer = server.registered().await;
    agent.up().await;
    // The same message again, as the dispatcher sends it, with an answer to the first try before
    // that to the second.
    agent.send(1);
    let again = peer.request_of("MESSAGE").await;
    assert_eq!(value(&again, "Call-ID"), value(&request, "Call-ID"));
    assert_ne!(value(&again, "Via"), value(&request, "Via"));
    peer.answer(&request, "404 Not Found", "").await;
    peer.answer(&again, "200 OK", "").await;
    assert_eq!(agent.code().await, (1, 200));
}

#[tokio::test]
async fn t4_an_answer_on_the_connection_of_another_agent_completes_nothing() {
    let server = TestServer::open().await;
    let (mut first, mut first_peer) = registered(&server).await;
    let (mut second, mut second_peer) = registered(&server).await;
    first.send(1);
    second.send(2);
    let to_first = first_peer.request_of("MESSAGE").await;
    let to_second = second_peer.request_of("MESSAGE").await;

    first_peer.answer(&to_second, "404 Not Found", "").await;
    second_peer.answer(&to_first, "404 Not Found", "").await;
    first_peer.answer(&to_first, "200 OK", "").await;
    second_peer.answer(&to_second, "202 Accepted", "").await;
    assert_eq!(first.code().await, (1, 200));
    assert_eq!(second.code().await, (2, 202));
}

#[tokio::test]
async fn t1_a_100_and_then_nothing_ends_with_timer_f_and_the_connection_stays() {
    let server = TestServer::open().await;
    let mut setup = Setup::at(&server);
    setup.settings.timer_f = Duration::from_millis(400);
    let mut agent = setup.start();
    let mut peer = server.registered().await;
    agent.up().await;
    agent.send(1);
    let request = peer.request_of("MESSAGE").await;
    peer.answer(&request, "100 Trying", "").await;
    assert_eq!(
        agent.outcome().await,
        (1, Outcome::Unknown(Unknown::Silent))
    );
    peer.answer(&request, "200 OK", "").await;
    agent.tell(AgentCommand::Reregister);
    let refresh = peer.request_of("REGISTER").await;
    peer.grant(&refresh).await;
}

/// A server that challenges for ever, each time with a nonce that it calls fresh.
#[tokio::test]
async fn a13_a_storm_of_challenges_to_a_message_ends_it_as_unauthorized() {
    let server = TestServer::open().await;
    let (mut agent, mut peer) = registered(&server).await;
    agent.send(1);
    let mut rounds = 0;
    loop {
        tokio::select! {
            request = peer.request_of("MESSAGE") => {
                rounds += 1;
                assert!(rounds < 10, "it never gives up");
                let nonce = format!("realm=\"example.com\", nonce=\"{rounds}\", stale=true");
                let challenge = format!("Proxy-Authenticate: Digest {nonce}\r\n");
                peer.answer(&request, "407 Proxy Authentication Required", &challenge).await;
            }
            (key, code) = agent.code() => {
                assert_eq!((key, code), (1, 407));
                break;
            }
        }
    }
    assert!(rounds > 1);
    peer.works_for(&mut agent).await;
}

#[tokio::test]
async fn a4_a_challenge_that_cannot_be_answered_fails_the_message_at_once() {
    let server = TestServer::open().await;
    let (mut agent, mut peer) = registered(&server).await;
    for (key, challenge) in [
        "",
        "WWW-Authenticate: Basic realm=\"a\"\r\n",
        "WWW-Authenticate: Digest\r\n",
        "WWW-Authenticate: Digest realm=\"a\"\r\n",
        "WWW-Authenticate: Digest realm=\"a\", nonce=\"b\", algorithm=MD6\r\n",
        "WWW-Authenticate: \"\\\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        agent.send(key as u64);
        let request = peer.request_of("MESSAGE").await;
        peer.answer(&request, "401 Unauthorized", challenge).await;
        assert_eq!(agent.code().await, (key as u64, 401), "{challenge}");
    }
}

fn request(method: &str, number: u32, branch: &str, to_tag: &str) -> String {
    format!(
        "{method} sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/WS p;branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=b\r\n\
         To: <sip:alice@example.com>{to_tag}\r\n\
         Call-ID: in-{number}\r\nCSeq: 1 {method}\r\nContent-Type: text/plain\r\n\
         Content-Length: 2\r\n\r\nhi"
    )
}

/// Catalogue I, through the socket: each gets its answer, in order, and the agent goes on.
#[tokio::test]
async fn i_what_others_ask_of_an_agent_is_answered() {
    let server = TestServer::open().await;
    let (mut agent, mut peer) = registered(&server).await;
    for (number, (method, to_tag, code)) in [
        ("OPTIONS", "", 200),
        ("MESSAGE", "", 405),
        ("INVITE", "", 405),
        ("INVITE", ";tag=dialog", 481),
        ("MESSAGE", ";tag=dialog", 481),
        ("BYE", ";tag=dialog", 481),
        ("NOTIFY", "", 405),
        ("FROBNICATE", "", 405),
    ]
    .into_iter()
    .enumerate()
    {
        let asked = request(method, number as u32, &format!("b{number}"), to_tag);
        peer.say(asked).await;
        let answer = peer.request().await;
        assert_eq!(status(&answer), code, "{method}{to_tag}: {answer}");
        if code == 405 || method == "OPTIONS" {
            assert_eq!(value(&answer, "Allow"), "OPTIONS", "{answer}");
        }
    }
    // After an ACK and a CANCEL that belong to no request, the agent still works.
    peer.say(request("ACK", 90, "ack", "")).await;
    peer.say(request("CANCEL", 91, "cancel", "")).await;
    let cancel = peer.request().await;
    assert!(value(&cancel, "CSeq").ends_with("CANCEL"), "{cancel}");
    assert_eq!(status(&cancel), 481);
    peer.works_for(&mut agent).await;
}

#[tokio::test]
async fn i_a_request_that_comes_again_gets_its_answer_again_and_by_another_way_482() {
    let server = TestServer::open().await;
    let (_stage, mut peer) = registered(&server).await;
    let message = request("MESSAGE", 1, "first", "");
    peer.say(message.clone()).await;
    let answer = peer.request().await;
    assert_eq!(status(&answer), 405);
    peer.say(message).await;
    assert_eq!(peer.request().await, answer);
    peer.say(request("MESSAGE", 1, "second", "")).await;
    assert_eq!(status(&peer.request().await), 482);
}

/// A response of the agent that comes back to it is not answered, so there is no loop.
#[tokio::test]
async fn i_an_answer_to_an_answer_is_not_given() {
    let server = TestServer::open().await;
    let (mut agent, mut peer) = registered(&server).await;
    peer.say(request("OPTIONS", 1, "one", "")).await;
    let answer = peer.request().await;
    for _ in 0..10 {
        peer.say(answer.clone()).await;
    }
    peer.say(reply(&answer, "200 OK", "")).await;
    peer.works_for(&mut agent).await;
}
