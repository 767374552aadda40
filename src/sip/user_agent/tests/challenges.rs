//! Challenges, as the wire sees them. The formulas are tested in `digest`.

use crate::sip::digest::Refusal;
use crate::sip::testing::{Fixture, message_to, reply, settings, value};
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
    let mut fixture = Fixture::registered();
    let first = fixture.sends(1, message_to("sip:bob@example.com", "a"));
    let second = fixture.answers(reply(&first, "407 Proxy Authentication Required", PROXY));
    for name in ["Call-ID", "From", "To", "Content-Type", "Content-Length"] {
        assert_eq!(value(&first, name), value(&second, name));
    }
    assert_eq!(value(&second, "CSeq"), "2 MESSAGE");
    assert_ne!(branch(&first), branch(&second));
    assert!(value(&second, "Proxy-Authorization").contains("algorithm=SHA-256"));
    fixture.hears(reply(&second, "200 OK", ""));
    assert_eq!(fixture.response().status.as_u16(), 200);
}

#[test]
fn a5_a_proxy_and_then_a_server_are_both_answered_in_one_request() {
    let mut fixture = Fixture::registered();
    let first = fixture.sends(1, message_to("sip:bob@example.com", "a"));
    let second = fixture.answers(reply(&first, "407 Proxy Authentication Required", PROXY));
    let third = fixture.answers(reply(&second, "401 Unauthorized", SERVER));
    assert_eq!(value(&third, "CSeq"), "3 MESSAGE");
    assert!(value(&third, "Proxy-Authorization").contains("realm=\"proxy\""));
    assert!(value(&third, "Authorization").contains("realm=\"server\""));
}

#[test]
fn a7_the_next_message_is_signed_ahead_and_pays_for_no_round() {
    let mut fixture = Fixture::registered();
    let first = fixture.sends(1, message_to("sip:bob@example.com", "a"));
    let second = fixture.answers(reply(&first, "407 Proxy Authentication Required", PROXY));
    fixture.hears(reply(&second, "200 OK", ""));
    fixture.events();
    let next = fixture.sends(2, message_to("sip:carol@example.com", "b"));
    let signed = value(&next, "Proxy-Authorization");
    assert!(
        signed.contains("nc=00000002") && signed.contains("nonce=\"n1\""),
        "{signed}"
    );
    assert_eq!(value(&next, "CSeq"), "1 MESSAGE");
}

#[test]
fn a6_and_a13_a_server_that_is_never_content_ends_the_request() {
    let mut fixture = Fixture::registered();
    let mut frame = fixture.sends(1, message_to("sip:bob@example.com", "a"));
    let mut rounds = 0;
    loop {
        let challenge = PROXY.replace("n1", &format!("nonce-{rounds}\", stale=\"true"));
        let next = fixture.answers(reply(
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
    assert_eq!(fixture.response().status.as_u16(), 407);
    assert_eq!(fixture.agent.in_flight(), 0);
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
        let mut fixture = Fixture::registered();
        let frame = fixture.sends(1, message_to("sip:bob@example.com", "a"));
        fixture.hears(reply(&frame, "401 Unauthorized", header));
        assert_eq!(fixture.response().status.as_u16(), 401, "{header}");
        assert!(fixture.frames().is_empty());
    }
    let mut fixture = Fixture::registered_as(Settings {
        credentials: None,
        ..settings()
    });
    let frame = fixture.sends(1, message_to("sip:bob@example.com", "a"));
    fixture.hears(reply(&frame, "401 Unauthorized", SERVER));
    assert!(matches!(fixture.outcome(), (1, Outcome::Answered(_))));
}

#[test]
fn a_challenged_register_counts_on_and_a_refused_password_is_no_storm() {
    let (mut fixture, register) = Fixture::connected(settings());
    let second = fixture.answers(reply(&register, "401 Unauthorized", SERVER));
    assert_eq!(value(&second, "CSeq"), "2 REGISTER");
    assert!(value(&second, "Authorization").contains("uri=\"sip:example.com\""));
    fixture.hears(reply(
        &second,
        "401 Unauthorized",
        &SERVER.replace("n2", "n3"),
    ));
    assert!(fixture.frames().is_empty());
    assert!(matches!(
        fixture.event(),
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
    let (mut fixture, register) = Fixture::connected(nobody);
    fixture.hears(reply(&register, "401 Unauthorized", SERVER));
    assert!(matches!(
        fixture.event(),
        Event::RegistrationFailed {
            refusal: Some(Refusal::NoCredentials),
            was_signed: false,
            ..
        }
    ));
    let (mut fixture, register) = Fixture::connected(settings());
    let signed = fixture.answers(reply(&register, "401 Unauthorized", SERVER));
    fixture.hears(reply(&signed, "403 Forbidden", ""));
    assert!(matches!(
        fixture.event(),
        Event::RegistrationFailed {
            refusal: None,
            was_signed: true,
            ..
        }
    ));
}

#[test]
fn a15_a_challenge_of_a_stranger_on_the_way_is_not_answered_and_why_is_told() {
    let mut fixture = Fixture::registered();
    let first = fixture.sends(1, message_to("sip:bob@example.com", "a"));
    let challenge = "WWW-Authenticate: Digest realm=\"mallory\", nonce=\"chosen\"\r\n";
    fixture.hears(reply(&first, "401 Unauthorized", challenge));
    let told = fixture.events();
    let [Event::ChallengeRefused(refusal), Event::Ended { .. }] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(refusal.to_string().contains("\"mallory\""), "{refusal}");
    let next = fixture.sends(2, message_to("sip:bob@example.com", "b"));
    assert!(!next.contains("Authorization"), "{next}");
}

#[test]
fn leaving_answers_a_challenge_too() {
    let mut fixture = Fixture::registered();
    fixture.agent.unregister(fixture.now);
    let leave = fixture.frame();
    let again = fixture.answers(reply(&leave, "401 Unauthorized", SERVER));
    assert_eq!(value(&again, "Expires"), "0");
    fixture.hears(reply(&again, "200 OK", ""));
    assert!(matches!(fixture.event(), Event::Left));
}
