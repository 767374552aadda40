//! What a user agent writes.

use std::collections::HashSet;
use std::time::Duration;

use crate::sip::parse::ParseLimits;
use crate::sip::testing::{Fixture, message_to, reply, settings, value};
use crate::sip::{Event, Outcome, Settings, parse};

fn count(frame: &str, name: &'static str) -> usize {
    let message = parse::parse(frame.as_bytes(), ParseLimits::default()).unwrap();
    message.all(name).count()
}

#[test]
fn m1_a_message_has_an_invalid_host_in_via_and_no_contact() {
    let mut fixture = Fixture::registered();
    let frame = fixture.sends(1, message_to("sip:bob@example.com", "a"));
    assert!(frame.starts_with(
        "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/WSS desk.invalid;branch=z9hG4bK"
    ));
    assert_eq!(value(&frame, "Max-Forwards"), "70");
    assert_eq!(count(&frame, "Contact"), 0);
    assert_eq!(value(&frame, "CSeq"), "1 MESSAGE");
    assert!(frame.ends_with("\r\n\r\nhello"));
}

#[test]
fn m1_content_length_counts_bytes() {
    let mut fixture = Fixture::registered();
    for (at, (body, length)) in [("a", "1"), ("é", "2"), ("€", "3"), ("😀", "4"), ("", "0")]
        .into_iter()
        .enumerate()
    {
        let mut request = message_to("sip:bob@example.com", &at.to_string());
        request.body = body.into();
        let frame = fixture.sends(at as u64, request);
        assert_eq!(value(&frame, "Content-Length"), length);
        assert!(frame.ends_with(&format!("\r\n\r\n{body}")));
    }
}

#[test]
fn m2_what_there_must_be_one_of_there_is_one_of() {
    let (mut fixture, register) = Fixture::connected(settings());
    fixture.grants(&register, "");
    let message = fixture.sends(1, message_to("sip:bob@example.com", "a"));
    for frame in [&register, &message] {
        for name in [
            "Via",
            "Max-Forwards",
            "To",
            "From",
            "Call-ID",
            "CSeq",
            "Content-Length",
        ] {
            assert_eq!(count(frame, name), 1, "{name} in {frame}");
        }
    }
    for name in ["Contact", "Expires", "Allow", "Supported", "User-Agent"] {
        assert_eq!(count(&register, name), 1, "{name} in {register}");
    }
}

#[test]
fn m7_and_t5_ten_thousand_requests_at_once_have_ten_thousand_branches() {
    let mut fixture = Fixture::registered();
    let mut branches = HashSet::new();
    let frames: Vec<_> = (0..10_000)
        .map(|key| fixture.sends(key, message_to("sip:bob@example.com", &format!("id-{key}"))))
        .collect();
    for frame in &frames {
        let via = value(frame, "Via");
        let branch = via.rsplit_once("branch=z9hG4bK").unwrap().1;
        assert_eq!(branch.len(), 16);
        branches.insert(branch.to_owned());
    }
    assert_eq!(branches.len(), 10_000);
    for (key, frame) in frames.iter().enumerate().rev() {
        fixture.hears(reply(frame, "200 OK", ""));
        assert!(matches!(fixture.outcome(), (of, Outcome::Answered(_)) if of == key as u64));
    }
    assert_eq!(fixture.agent.in_flight(), 0);
}

#[test]
fn m8_a_body_of_any_bytes_arrives_as_it_is() {
    let mut fixture = Fixture::registered();
    let mut request = message_to("sip:bob@example.com", "a");
    request.body = bytes::Bytes::from_static(b"\0\r\n\r\n\x7f");
    let frame = fixture.sends(1, request);
    let message = parse::parse(frame.as_bytes(), ParseLimits::default()).unwrap();
    assert_eq!((message.body, message.flaw), (&b"\0\r\n\r\n\x7f"[..], None));
}

#[test]
fn r13_messages_take_the_service_route_of_the_registrar_and_registers_do_not() {
    let (mut fixture, register) = Fixture::connected(settings());
    fixture.grants(
        &register,
        "Service-Route: <sip:p1.example.com;lr>, \"P, 2\" <sip:p2.example.com;lr>;x=1\r\n\
         Service-Route: <sip:p3.example.com;lr>\r\nService-Route: nonsense\r\n",
    );
    let frame = fixture.sends(1, message_to("sip:bob@example.com", "a"));
    let message = parse::parse(frame.as_bytes(), ParseLimits::default()).unwrap();
    let routes: Vec<_> = message.all("Route").map(parse::text).collect();
    assert_eq!(
        routes,
        [
            "<sip:p1.example.com;lr>",
            "\"P, 2\" <sip:p2.example.com;lr>;x=1",
            "<sip:p3.example.com;lr>"
        ]
    );
    fixture.agent.reregister(fixture.now);
    let register = fixture.frame();
    assert_eq!(count(&register, "Route"), 0);
    // RFC 3608 §5: the route is that of the latest 200.
    fixture.grants(&register, "");
    let frame = fixture.sends(2, message_to("sip:bob@example.com", "b"));
    assert_eq!(count(&frame, "Route"), 0);
}

#[test]
fn r13_a_register_supports_path_and_outbound_and_names_its_instance_and_flow() {
    let settings = Settings {
        reg_id: 3,
        extra_headers: vec![("X-Fleet".to_owned(), "7".to_owned())],
        ..settings()
    };
    let (_, register) = Fixture::connected(settings);
    assert!(register.starts_with("REGISTER sip:example.com SIP/2.0\r\n"));
    assert_eq!(value(&register, "Supported"), "path, outbound");
    assert_eq!(value(&register, "X-Fleet"), "7");
    assert_eq!(
        value(&register, "Contact"),
        "<sip:c0ffee@desk.invalid;transport=ws>;reg-id=3;\
         +sip.instance=\"<urn:uuid:00000000-0000-4000-8000-000000000001>\";expires=600"
    );
}

#[test]
fn e5_and_e7_what_cannot_be_written_is_told_once() {
    let mut fixture = Fixture::new(settings());
    fixture
        .agent
        .send(fixture.now, 9, message_to("sip:bob@example.com", "a"));
    assert!(matches!(fixture.outcome(), (9, Outcome::NotWritten)));
    assert!(fixture.frames().is_empty());
}

#[test]
fn a_request_that_its_routes_make_too_large_is_not_written() {
    let (mut fixture, register) = Fixture::connected(Settings {
        max_message: 800,
        ..settings()
    });
    let route = format!(
        "Service-Route: <sip:{}.example.com;lr>\r\n",
        "p".repeat(400)
    );
    fixture.grants(&register, "");
    fixture.events();
    fixture.sends(1, message_to("sip:bob@example.com", "a"));
    fixture.agent.reregister(fixture.now);
    let register = fixture.frame();
    fixture.grants(&register, &route.repeat(2));
    fixture.events();
    let message = message_to("sip:bob@example.com", "b");
    fixture.agent.send(fixture.now, 2, message);
    assert!(matches!(fixture.outcome(), (2, Outcome::TooLarge)));
    assert!(fixture.frames().is_empty());
    assert_eq!(fixture.agent.in_flight(), 1);
}

#[test]
fn a_request_that_its_credentials_make_too_large_ends_with_the_challenge() {
    let mut fixture = Fixture::registered_as(Settings {
        max_message: 800,
        ..settings()
    });
    let frame = fixture.sends(1, message_to("sip:bob@example.com", "a"));
    let nonce = "n".repeat(600);
    let challenge =
        format!("Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"{nonce}\"\r\n");
    fixture.hears(reply(
        &frame,
        "407 Proxy Authentication Required",
        &challenge,
    ));
    let (key, outcome) = fixture.outcome();
    assert_eq!(key, 1);
    assert!(matches!(outcome, Outcome::Answered(response) if response.status.as_u16() == 407));
    assert!(fixture.frames().is_empty());
    assert_eq!(fixture.agent.in_flight(), 0);
}

#[test]
fn e8_a_lost_connection_ends_every_request_at_once_in_order() {
    let mut fixture = Fixture::registered();
    for key in 0..5 {
        fixture.sends(key, message_to("sip:bob@example.com", &key.to_string()));
    }
    fixture.loses_connection();
    let events = fixture.events();
    assert!(matches!(events[0], Event::Unregistered));
    let keys: Vec<_> = events[1..]
        .iter()
        .map(|event| match event {
            Event::Ended {
                key,
                outcome: Outcome::Disconnected,
            } => *key,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(keys, [0, 1, 2, 3, 4]);
    assert_eq!(
        (fixture.agent.deadline(), fixture.agent.in_flight()),
        (None, 0)
    );
}

#[test]
fn t1_a_silent_peer_is_told_of_after_32_seconds_and_a_late_answer_is_nobodys() {
    let mut fixture = Fixture::registered();
    let frame = fixture.sends(1, message_to("sip:bob@example.com", "a"));
    fixture.passes(Duration::from_millis(31_000));
    fixture.hears(reply(&frame, "100 Trying", ""));
    fixture.passes(Duration::from_millis(999));
    assert!(fixture.events().is_empty());
    fixture.passes(Duration::from_millis(1));
    assert!(matches!(fixture.outcome(), (1, Outcome::Silent)));
    fixture.hears(reply(&frame, "200 OK", ""));
    assert!(fixture.events().is_empty());
}

#[test]
fn t1_timer_f_fires_at_64_t1_and_not_before() {
    let mut fixture = Fixture::registered();
    fixture.sends(1, message_to("sip:bob@example.com", "a"));
    fixture.passes(Duration::from_millis(31_999));
    assert!(fixture.events().is_empty());
    fixture.passes(Duration::from_millis(1));
    assert!(matches!(fixture.outcome(), (1, Outcome::Silent)));
}

#[test]
fn t1_a_provisional_response_does_not_restart_timer_f() {
    let mut fixture = Fixture::registered();
    let begun = fixture.now;
    let frame = fixture.sends(1, message_to("sip:bob@example.com", "a"));
    fixture.passes(Duration::from_secs(20));
    fixture.hears(reply(&frame, "100 Trying", ""));
    assert_eq!(
        fixture.agent.deadline(),
        Some(begun + Duration::from_secs(32))
    );
    fixture.passes(Duration::from_secs(12));
    assert!(matches!(fixture.outcome(), (1, Outcome::Silent)));
}

#[test]
fn t2_any_final_response_ends_it_in_either_state() {
    let mut fixture = Fixture::registered();
    for code in 200..700 {
        for is_proceeding in [false, true] {
            let frame = fixture.sends(1, message_to("sip:bob@example.com", "a"));
            if is_proceeding {
                fixture.hears(reply(&frame, "180 Ringing", ""));
                assert!(fixture.events().is_empty());
            }
            fixture.hears(reply(&frame, &format!("{code} X"), ""));
            assert_eq!(fixture.response().status.as_u16(), code);
            assert_eq!(fixture.agent.in_flight(), 0);
        }
    }
}

#[test]
fn t3_timer_f_is_a_setting() {
    let mut fixture = Fixture::registered_as(Settings {
        timer_f: Duration::from_secs(2),
        ..settings()
    });
    let begun = fixture.now;
    fixture.sends(1, message_to("sip:bob@example.com", "a"));
    assert_eq!(
        fixture.agent.deadline(),
        Some(begun + Duration::from_secs(2))
    );
    fixture.passes(Duration::from_secs(2));
    assert!(matches!(fixture.outcome(), (1, Outcome::Silent)));
}
