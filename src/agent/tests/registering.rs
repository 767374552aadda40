//! Registrars that misbehave.

use std::time::Duration;

use tokio::net::TcpStream;

use super::harness::{NEVER, Peer, RunningAgent, Setup, TestServer};
use crate::clock;
use crate::message::AgentState;
use crate::sip::testing::value;

/// Connected, with the first REGISTER.
async fn asking(
    setup: impl FnOnce(&mut Setup),
) -> (TestServer, RunningAgent, Peer<TcpStream>, String) {
    let server = TestServer::open().await;
    let mut given = Setup::at(&server);
    setup(&mut given);
    let agent = given.start();
    let mut peer = server.upgrade().await;
    let register = peer.request_of("REGISTER").await;
    (server, agent, peer, register)
}

/// Whatever it says to each REGISTER, and if it says it for ever: the next one is not asked within
/// a second, it comes on the same connection, and the first kind answer heals everything.
#[tokio::test]
async fn no_registrar_makes_a_storm_of_registers_and_none_is_given_up() {
    let bad: &[(&str, &str)] = &[
        ("200 OK", ""),
        ("200 OK", "Contact: <sip:other@elsewhere>;expires=60\r\n"),
        ("200 OK", "Contact: CONTACT;expires=0\r\n"),
        ("200 OK", "Contact: CONTACT;expires=1\r\n"),
        ("200 OK", "Contact: *\r\n"),
        ("200 OK", "Contact: <<>>;;\r\n"),
        ("302 Moved", "Contact: <sip:elsewhere>\r\n"),
        ("400 Bad Request", ""),
        ("404 Not Found", ""),
        ("423 Interval Too Brief", ""),
        ("423 Interval Too Brief", "Min-Expires: 0\r\n"),
        ("423 Interval Too Brief", "Min-Expires: soon\r\n"),
        ("500 [oops]", ""),
        ("503 Service Unavailable", "Retry-After: 0\r\n"),
        ("603 Decline", "Retry-After: soon\r\n"),
    ];
    let one = |(status, more): &'static (&str, &str)| async move {
        let (_server, mut agent, mut peer, register) = asking(|_| {}).await;
        let contact = value(&register, "Contact");
        let bare = contact.split(";expires").next().unwrap().to_owned();
        let mut register = register;
        for _ in 0..2 {
            let asked = clock::now();
            peer.answer(&register, status, &more.replace("CONTACT", &bare))
                .await;
            register = peer.request_of("REGISTER").await;
            // The clock of a timer may be a millisecond off.
            let waited = clock::now() - asked;
            assert!(
                waited >= Duration::from_millis(950),
                "{status} {more}: {waited:?}"
            );
        }
        peer.grant(&register).await;
        agent.up().await;
        peer.works_for(&mut agent).await;
    };
    let all = bad.iter().map(|pair| tokio::spawn(one(pair)));
    for each in all.collect::<Vec<_>>() {
        each.await.unwrap();
    }
}

#[tokio::test]
async fn r1_an_expiry_that_is_no_number_is_what_was_asked() {
    let (_server, mut agent, mut peer, register) = asking(|_| {}).await;
    let contact = value(&register, "Contact");
    let bare = contact.split(";expires").next().unwrap();
    let granted = format!("Contact: {bare};expires=soon\r\nExpires: never\r\n");
    peer.answer(&register, "200 OK", &granted).await;
    agent.up().await;
    peer.works_for(&mut agent).await;
    assert!(agent.status().registered_until.is_some());
}

/// Three demands are met at once; what comes after them waits.
#[tokio::test]
async fn r3_a_registrar_that_says_423_for_ever_is_asked_four_times_and_then_slowly() {
    let (_server, agent, mut peer, mut register) = asking(|_| {}).await;
    let mut asked = clock::now();
    for round in 1..=4 {
        let demand = format!("Min-Expires: {}\r\n", 600 + round);
        asked = clock::now();
        peer.answer(&register, "423 Interval Too Brief", &demand)
            .await;
        register = peer.request_of("REGISTER").await;
    }
    assert!(clock::now() - asked >= Duration::from_millis(950));
    assert!(agent.error().contains("423"), "{}", agent.error());
}

#[tokio::test]
async fn r4_a_registrar_that_says_503_is_left_alone_for_as_long_as_it_asks() {
    let (_server, mut agent, mut peer, register) = asking(|_| {}).await;
    let asked = clock::now();
    peer.answer(
        &register,
        "503 Overloaded",
        "Retry-After: 2 (maintenance)\r\n",
    )
    .await;
    let register = peer.request_of("REGISTER").await;
    assert!(clock::now() - asked >= Duration::from_millis(1_950));
    assert!(
        agent.error().contains("503 Overloaded"),
        "{}",
        agent.error()
    );
    peer.grant(&register).await;
    agent.up().await;
}

/// It may be the connection that leads nowhere: a load balancer without a server accepts and
/// answers pings too.
#[tokio::test]
async fn a_registrar_that_says_nothing_is_tried_over_a_new_connection() {
    let (server, mut agent, mut peer, register) =
        asking(|setup| setup.settings.timer_f = Duration::from_millis(300)).await;
    peer.answer(&register, "100 Trying", "").await;
    assert!(peer.closed().await.is_some());
    let mut peer = server.upgrade().await;
    assert_eq!(agent.error(), "the registrar does not answer");
    let register = peer.request_of("REGISTER").await;
    peer.grant(&register).await;
    agent.up().await;
}

#[tokio::test]
async fn a13_a_registrar_that_is_never_content_with_our_credentials_is_no_storm() {
    let (_server, agent, mut peer, mut register) = asking(|_| {}).await;
    let mut in_a_row = 0;
    let mut asked = clock::now();
    while clock::now() - asked < Duration::from_millis(900) {
        in_a_row += 1;
        assert!(in_a_row < 10, "a storm");
        asked = clock::now();
        let challenge = format!(
            "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"{in_a_row}\", stale=true\r\n"
        );
        peer.answer(&register, "401 Unauthorized", &challenge).await;
        register = peer.request_of("REGISTER").await;
    }
    assert!(in_a_row > 1);
    assert!(agent.error().contains("401"), "{}", agent.error());
}

#[tokio::test]
async fn an_agent_that_was_refused_backs_off_and_says_until_when_and_why() {
    let (_server, agent, mut peer, register) = asking(|_| {}).await;
    let challenge = |nonce: u32| {
        format!("WWW-Authenticate: Digest realm=\"example.com\", nonce=\"{nonce}\"\r\n")
    };
    peer.answer(&register, "401 Unauthorized", &challenge(1))
        .await;
    let register = peer.request_of("REGISTER").await;
    assert_eq!(agent.status().state, AgentState::Registering);
    peer.answer(
        &register,
        "401 Unauthorized",
        &format!("{}Retry-After: 3600\r\n", challenge(2)),
    )
    .await;
    agent.told("the credentials were shown and refused").await;
    agent.state(AgentState::Backoff).await;
    let status = agent.status();
    let next = status.next_attempt_at.expect("a time");
    assert!(next > status.since.plus(Duration::from_secs(3_000)));
}

#[tokio::test]
async fn an_agent_without_credentials_says_so() {
    let (_server, agent, mut peer, register) =
        asking(|setup| setup.settings.credentials = None).await;
    let challenge = "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"1\"\r\n";
    peer.answer(&register, "401 Unauthorized", challenge).await;
    agent.told("the account has none").await;
}

/// A refresh that is refused takes nothing away that still holds.
#[tokio::test]
async fn a_refused_refresh_leaves_an_agent_at_work() {
    let (_server, mut agent, mut peer, register) = asking(|_| {}).await;
    peer.grant(&register).await;
    agent.up().await;
    agent.tell(crate::agent::AgentCommand::Reregister);
    let refresh = peer.request_of("REGISTER").await;
    peer.answer(&refresh, "500 Oops", "Retry-After: 3600\r\n")
        .await;
    agent.told("500 Oops").await;
    peer.works_for(&mut agent).await;
}

/// RFC 5626 §4.5: the flow is gone, and with it the registration.
#[tokio::test]
async fn r8_a_new_connection_is_registered_with_the_same_call_id_and_a_higher_cseq() {
    let (server, mut agent, mut peer, first) = asking(|setup| setup.settings.timer_f = NEVER).await;
    peer.grant(&first).await;
    agent.up().await;
    drop(peer);
    agent.down().await;
    let mut peer = server.upgrade().await;
    let second = peer.request_of("REGISTER").await;
    assert_eq!(value(&second, "Call-ID"), value(&first, "Call-ID"));
    assert_eq!(value(&first, "CSeq"), "1 REGISTER");
    assert_eq!(value(&second, "CSeq"), "2 REGISTER");
    assert_ne!(value(&second, "Via"), value(&first, "Via"));
}
