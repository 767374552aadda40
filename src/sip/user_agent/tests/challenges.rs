//! Challenges, as the wire sees them. The formulas are tested in `digest`.

use crate::sip::digest::Refusal;
use crate::sip::testing::{Desk, message_to, reply, settings, value};
use crate::sip::{Event, Outcome, Settings};

const PROXY: &str =
    "Proxy-Authenticate: Digest realm=\"proxy\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256\r\n";
const SERVER: &str = "WWW-Authenticate: Digest realm=\"server\", nonce=\"n2\", qop=\"auth\"\r\n";

fn branch(frame: &str) -> String {
    value(frame, "Via")
        .rsplit_once("branch=")
        .unwrap()
        .1
        .to_owned()
}

#[test]
fn a10_a_challenged_request_comes_again_with_the_next_cseq_and_a_new_branch() {
    let mut desk = Desk::registered();
    let first = desk.sends(1, message_to("sip:bob@example.com", "a"));
    let second = desk.answers(reply(&first, "407 Proxy Authentication Required", PROXY));
    for name in ["Call-ID", "From", "To", "Content-Type", "Content-Length"] {
        assert_eq!(value(&first, name), value(&second, name));
    }
    assert_eq!(value(&second, "CSeq"), "2 MESSAGE");
    assert_ne!(branch(&first), branch(&second));
    assert!(value(&second, "Proxy-Authorization").contains("algorithm=SHA-256"));
    desk.hears(reply(&second, "200 OK", ""));
    assert_eq!(desk.response().status.as_u16(), 200);
}

#[test]
fn a5_a_proxy_and_then_a_server_are_both_answered_in_one_request() {
    let mut desk = Desk::registered();
    let first = desk.sends(1, message_to("sip:bob@example.com", "a"));
    let second = desk.answers(reply(&first, "407 Proxy Authentication Required", PROXY));
    let third = desk.answers(reply(&second, "401 Unauthorized", SERVER));
    assert_eq!(value(&third, "CSeq"), "3 MESSAGE");
    assert!(value(&third, "Proxy-Authorization").contains("realm=\"proxy\""));
    assert!(value(&third, "Authorization").contains("realm=\"server\""));
}

#[test]
fn a7_the_next_message_is_signed_ahead_and_pays_for_no_round() {
    let mut desk = Desk::registered();
    let first = desk.sends(1, message_to("sip:bob@example.com", "a"));
    let second = desk.answers(reply(&first, "407 Proxy Authentication Required", PROXY));
    desk.hears(reply(&second, "200 OK", ""));
    desk.events();
    let next = desk.sends(2, message_to("sip:carol@example.com", "b"));
    let signed = value(&next, "Proxy-Authorization");
    assert!(
        signed.contains("nc=00000002") && signed.contains("nonce=\"n1\""),
        "{signed}"
    );
    assert_eq!(value(&next, "CSeq"), "1 MESSAGE");
}

#[test]
fn a6_and_a13_a_server_that_is_never_content_ends_the_request() {
    let mut desk = Desk::registered();
    let mut frame = desk.sends(1, message_to("sip:bob@example.com", "a"));
    let mut rounds = 0;
    loop {
        let challenge = PROXY.replace("n1", &format!("nonce-{rounds}\", stale=\"true"));
        let next = desk.answers(reply(
            &frame,
            "407 Proxy Authentication Required",
            &challenge,
        ));
        if next.is_empty() {
            break;
        }
        frame = next;
        rounds += 1;
        assert!(rounds < 10);
    }
    assert_eq!(desk.response().status.as_u16(), 407);
    assert_eq!(desk.agent.in_flight(), 0);
}

#[test]
fn a4_and_a12_a_challenge_that_cannot_be_answered_ends_the_request_at_once() {
    for header in [
        "",
        "WWW-Authenticate: Basic realm=\"x\"\r\n",
        "WWW-Authenticate: Bearer realm=\"x\"\r\n",
        "WWW-Authenticate: Digest realm=\"x\", nonce=\"n\", algorithm=ROT13\r\n",
        "WWW-Authenticate: Digest realm=\"x\"\r\n",
        "WWW-Authenticate: \r\n",
    ] {
        let mut desk = Desk::registered();
        let frame = desk.sends(1, message_to("sip:bob@example.com", "a"));
        desk.hears(reply(&frame, "401 Unauthorized", header));
        assert_eq!(desk.response().status.as_u16(), 401, "{header}");
        assert!(desk.frames().is_empty());
    }
    let mut desk = Desk::registered_as(Settings {
        credentials: None,
        ..settings()
    });
    let frame = desk.sends(1, message_to("sip:bob@example.com", "a"));
    desk.hears(reply(&frame, "401 Unauthorized", SERVER));
    assert!(matches!(desk.outcome(), (1, Outcome::Answered(_))));
}

#[test]
fn a_challenged_register_counts_on_and_a_refused_password_is_no_storm() {
    let (mut desk, register) = Desk::connected(settings());
    let second = desk.answers(reply(&register, "401 Unauthorized", SERVER));
    assert_eq!(value(&second, "CSeq"), "2 REGISTER");
    assert!(value(&second, "Authorization").contains("uri=\"sip:example.com\""));
    desk.hears(reply(
        &second,
        "401 Unauthorized",
        &SERVER.replace("n2", "n3"),
    ));
    assert!(desk.frames().is_empty());
    assert!(matches!(
        desk.event(),
        Event::RegistrationFailed { response: Some(response), refusal: Some(Refusal::Rejected), was_signed: true, .. }
            if response.status.as_u16() == 401
    ));
}

#[test]
fn a_wrong_password_is_told_from_a_missing_one() {
    let nobody = Settings {
        credentials: None,
        ..settings()
    };
    let (mut desk, register) = Desk::connected(nobody);
    desk.hears(reply(&register, "401 Unauthorized", SERVER));
    assert!(matches!(
        desk.event(),
        Event::RegistrationFailed {
            refusal: Some(Refusal::NoCredentials),
            was_signed: false,
            ..
        }
    ));
    let (mut desk, register) = Desk::connected(settings());
    let signed = desk.answers(reply(&register, "401 Unauthorized", SERVER));
    desk.hears(reply(&signed, "403 Forbidden", ""));
    assert!(matches!(
        desk.event(),
        Event::RegistrationFailed {
            refusal: None,
            was_signed: true,
            ..
        }
    ));
}

#[test]
fn a15_a_challenge_of_a_stranger_on_the_way_is_not_answered_and_why_is_told() {
    let mut desk = Desk::registered();
    let first = desk.sends(1, message_to("sip:bob@example.com", "a"));
    let challenge = "WWW-Authenticate: Digest realm=\"mallory\", nonce=\"chosen\"\r\n";
    desk.hears(reply(&first, "401 Unauthorized", challenge));
    let told = desk.events();
    let [Event::ChallengeRefused(refusal), Event::Ended { .. }] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(refusal.to_string().contains("\"mallory\""), "{refusal}");
    let next = desk.sends(2, message_to("sip:bob@example.com", "b"));
    assert!(!next.contains("Authorization"), "{next}");
}

#[test]
fn leaving_answers_a_challenge_too() {
    let mut desk = Desk::registered();
    desk.agent.unregister(desk.now);
    let leave = desk.frame();
    let again = desk.answers(reply(&leave, "401 Unauthorized", SERVER));
    assert_eq!(value(&again, "Expires"), "0");
    desk.hears(reply(&again, "200 OK", ""));
    assert!(matches!(desk.event(), Event::Left));
}
