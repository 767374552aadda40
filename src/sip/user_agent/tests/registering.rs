//! A user agent and its registrar.

use std::time::{Duration, Instant};

use crate::sip::testing::{Fixture, message_to, reply, settings, value};
use crate::sip::{Event, Settings, Transport};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// When the registration ends, of the one thing that happened.
fn registered_until(fixture: &mut Fixture) -> Instant {
    match fixture.event() {
        Event::Registered { until } => until,
        other => panic!("{other:?}"),
    }
}

/// When it is tried again, of the one thing that happened.
fn retry_at(fixture: &mut Fixture) -> Instant {
    match fixture.event() {
        Event::RegistrationFailed { retry_at, .. } => retry_at,
        other => panic!("{other:?}"),
    }
}

const OURS: &str = "<sip:c0ffee@desk.invalid;transport=ws>;reg-id=1;\
                    +sip.instance=\"<urn:uuid:00000000-0000-4000-8000-000000000001>\"";

#[test]
fn r1_the_expiry_is_that_of_our_contact_else_of_expires_else_what_was_asked() {
    for (contact, header, expected) in [
        ("expires=60", "Expires: 90\r\n", 60),
        ("expires=\"60\"", "", 60),
        ("q=1", "Expires: 90\r\n", 90),
        ("expires=soon", "Expires: 90\r\n", 90),
        ("expires=-5", "", 600),
        ("q=1", "Expires: soon\r\n", 600),
        ("q=1", "", 600),
        ("expires=99999999999", "", 600),
        ("expires=4294967295", "", 604_800),
    ] {
        let (mut fixture, register) = Fixture::connected(settings());
        let more = format!("Contact: {OURS};{contact}\r\n{header}");
        fixture.hears(reply(&register, "200 OK", &more));
        let until = registered_until(&mut fixture);
        assert_eq!(until - fixture.now, seconds(expected), "{contact} {header}");
        assert!(fixture.frames().is_empty());
    }
}

#[test]
fn r1_however_short_the_registrar_grants_there_is_no_storm() {
    for granted in ["expires=0", "expires=1", "expires=00000"] {
        let (mut fixture, mut register) = Fixture::connected(settings());
        let mut registers = 0;
        for _ in 0..600 {
            fixture.hears(reply(
                &register,
                "200 OK",
                &format!("Contact: {OURS};{granted}\r\n"),
            ));
            fixture.passes(seconds(1));
            fixture.events();
            if let Some(next) = fixture.frames().pop() {
                registers += 1;
                register = next;
            }
        }
        assert!(registers <= 600, "{registers} in ten minutes for {granted}");
    }
}

#[test]
fn r3_a_423_is_answered_with_what_it_demands_and_not_for_ever() {
    let (mut fixture, mut register) = Fixture::connected(settings());
    fixture.hears(reply(
        &register,
        "423 Interval Too Brief",
        "Min-Expires: 1200\r\n",
    ));
    register = fixture.frame();
    assert_eq!(
        (
            value(&register, "Expires").as_str(),
            value(&register, "CSeq").as_str()
        ),
        ("1200", "2 REGISTER")
    );
    assert!(value(&register, "Contact").ends_with(";expires=1200"));
    // One that demands more each time.
    let mut written = 0;
    for more in 1..500 {
        fixture.hears(reply(
            &register,
            "423 Interval Too Brief",
            &format!("Min-Expires: {}\r\n", 1200 + more),
        ));
        match fixture.frames().pop() {
            Some(next) => register = next,
            None => break,
        }
        written += 1;
    }
    assert!(written <= 3, "{written}");
    assert!(matches!(fixture.event(), Event::RegistrationFailed { .. }));
}

#[test]
fn r4_every_failure_is_tried_again_later_and_it_never_gives_up() {
    for answer in [
        "300 Multiple Choices",
        "302 Moved Temporarily",
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "408 Request Timeout",
        "423 Interval Too Brief",
        "480 Away",
        "500 Server Internal Error",
        "503 Service Unavailable",
        "603 Decline",
    ] {
        let (mut fixture, mut register) = Fixture::connected(settings());
        for _ in 0..20 {
            fixture.hears(reply(&register, answer, ""));
            let wait = retry_at(&mut fixture) - fixture.now;
            assert!(
                wait >= seconds(1) && wait <= seconds(300),
                "{answer}: {wait:?}"
            );
            assert!(fixture.frames().is_empty());
            fixture.passes(wait);
            register = fixture.frame();
        }
    }
}

#[test]
fn r4_a_silent_registrar_is_asked_again_after_timer_f() {
    let (mut fixture, _) = Fixture::connected(settings());
    fixture.passes(seconds(32));
    let wait = retry_at(&mut fixture) - fixture.now;
    fixture.passes(wait);
    assert_eq!(value(&fixture.frame(), "CSeq"), "2 REGISTER");
}

#[test]
fn r4_retry_after_is_waited_for_whatever_the_code() {
    for answer in [
        "404 Not Found",
        "480 Away",
        "486 Busy",
        "500 Oops",
        "503 Busy",
        "600 No",
    ] {
        let (mut fixture, register) = Fixture::connected(settings());
        fixture.hears(reply(
            &register,
            answer,
            "Retry-After: 3600 (maintenance)\r\n",
        ));
        let wait = retry_at(&mut fixture) - fixture.now;
        assert!(
            wait >= seconds(3_600) && wait <= seconds(3_960),
            "{answer}: {wait:?}"
        );
        fixture.passes(seconds(3_599));
        assert!(fixture.frames().is_empty());
    }
}

#[test]
fn r4_a_registrar_that_refuses_and_closes_is_not_asked_at_every_connection() {
    let (mut fixture, register) = Fixture::connected(settings());
    fixture.hears(reply(&register, "503 Busy", "Retry-After: 60\r\n"));
    retry_at(&mut fixture);
    for _ in 0..10 {
        fixture.loses_connection();
        fixture.passes(seconds(5));
        fixture.agent.handle_connected(fixture.now, Transport::Ws);
        assert!(fixture.frames().is_empty());
    }
    fixture.loses_connection();
    fixture.agent.handle_other_server();
    let register = fixture.connects();
    fixture.grants(&register, "");
}

#[test]
fn r5_and_r12_of_many_bindings_only_ours_counts() {
    let (mut fixture, register) = Fixture::connected(settings());
    let more = format!(
        "Contact: \"Other, phone\" <sip:other@10.0.0.1>;expires=10, {OURS};expires=300,<sip:c0ffee@10.0.0.2>;\
         +sip.instance=\"<urn:uuid:ffffffff-0000-4000-8000-000000000001>\";expires=20\r\n\
         m: <sip:third@10.0.0.3>;expires=30\r\n"
    );
    fixture.hears(reply(&register, "200 OK", &more));
    assert_eq!(registered_until(&mut fixture) - fixture.now, seconds(300));
}

#[test]
fn r5_a_registrar_without_outbound_is_understood_too() {
    for contact in [
        // Drops what it does not know.
        "<sip:c0ffee@desk.invalid;transport=ws>;expires=77",
        "sip:c0ffee@desk.invalid;expires=77",
        // Keeps the instance and drops the flow; writes the UUID in capitals.
        "<sip:c0ffee@desk.invalid>;+sip.instance=\"<URN:UUID:00000000-0000-4000-8000-000000000001>\";expires=77",
        // Rewrites the address.
        "<sip:10.0.0.9:4711;transport=ws>;+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-000000000001>\";reg-id=1;expires=77",
        // Still knows what we were before a restart.
        "<sip:before@old.invalid>;+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-000000000001>\";expires=5,\
         <sip:c0ffee@desk.invalid>;+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-000000000001>\";expires=77",
    ] {
        let (mut fixture, register) = Fixture::connected(settings());
        fixture.hears(reply(
            &register,
            "200 OK",
            &format!("Contact: {contact}\r\n"),
        ));
        assert_eq!(
            registered_until(&mut fixture) - fixture.now,
            seconds(77),
            "{contact}"
        );
    }
}

#[test]
fn r14_a_first_hop_without_outbound_is_registered_with_without_it() {
    let (mut fixture, first) = Fixture::connected(settings());
    assert!(value(&first, "Supported").contains("outbound"));
    let lacking = "439 First Hop Lacks Outbound Support";
    let second = fixture.answers(reply(&first, lacking, ""));
    assert_eq!(value(&second, "Supported"), "path");
    assert!(!value(&second, "Contact").contains("reg-id"), "{second}");
    let contact = format!("Contact: {};expires=60\r\n", value(&second, "Contact"));
    fixture.hears(reply(&second, "200 OK", &contact));
    registered_until(&mut fixture);
    // Who says so again is refused like any other, and is no storm.
    let (mut fixture, first) = Fixture::connected(settings());
    let second = fixture.answers(reply(&first, lacking, ""));
    fixture.hears(reply(&second, lacking, ""));
    assert!(retry_at(&mut fixture) > fixture.now && fixture.frames().is_empty());
    assert!(fixture.agent.waits_until().is_some());
}

#[test]
fn r14_outbound_can_be_left_out_from_the_start() {
    let (_, register) = Fixture::connected(Settings {
        outbound: false,
        ..settings()
    });
    assert_eq!(value(&register, "Supported"), "path");
    let contact = value(&register, "Contact");
    assert!(!contact.contains("reg-id") && contact.contains("+sip.instance="));
}

#[test]
fn r6_a_200_that_does_not_list_us_is_a_failure_that_is_told_and_retried() {
    for contacts in [
        "",
        "Contact: *\r\n",
        "Contact: <sip:other@10.0.0.1>;expires=60\r\n",
        "Contact: <sip:x@y>;+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-000000000001>\";reg-id=2\r\n",
        "Contact: <sip:c0ffee@desk.invalid\r\n",
    ] {
        let (mut fixture, register) = Fixture::connected(settings());
        fixture.hears(reply(&register, "200 OK", contacts));
        let wait = retry_at(&mut fixture) - fixture.now;
        assert!(!fixture.agent.is_registered());
        fixture.passes(wait);
        let again = fixture.frame();
        fixture.grants(&again, "");
    }
}

#[test]
fn r6_a_refresh_that_does_not_list_us_any_more_ends_the_registration() {
    let mut fixture = Fixture::registered();
    fixture.agent.reregister(fixture.now);
    let refresh = fixture.frame();
    fixture.hears(reply(&refresh, "200 OK", ""));
    let events = fixture.events();
    assert!(
        matches!(
            events[..],
            [
                Event::Unregistered,
                Event::RegistrationFailed {
                    response: Some(_),
                    ..
                }
            ]
        ),
        "{events:?}"
    );
}

#[test]
fn r7_leaving_asks_for_zero_seconds_for_our_own_contact_only() {
    let mut fixture = Fixture::registered();
    fixture.agent.unregister(fixture.now);
    let leave = fixture.frame();
    assert_eq!(value(&leave, "Expires"), "0");
    assert_eq!(value(&leave, "Contact"), format!("{OURS};expires=0"));
    fixture.hears(reply(&leave, "200 OK", ""));
    assert!(matches!(fixture.event(), Event::Left));
    fixture.passes(seconds(3_600));
    assert!(fixture.frames().is_empty() && fixture.agent.deadline().is_none());
}

#[test]
fn r7_leaving_is_over_whatever_the_registrar_says() {
    for answer in ["200 OK", "403 Forbidden", "500 Oops", "503 Later"] {
        let mut fixture = Fixture::registered();
        fixture.agent.unregister(fixture.now);
        let leave = fixture.frame();
        fixture.hears(reply(&leave, answer, "Retry-After: 60\r\n"));
        assert!(matches!(fixture.event(), Event::Left), "{answer}");
    }
    let mut fixture = Fixture::registered();
    fixture.agent.unregister(fixture.now);
    fixture.passes(seconds(32));
    assert!(matches!(fixture.event(), Event::Left));
    let mut fixture = Fixture::new(settings());
    fixture.agent.unregister(fixture.now);
    assert!(matches!(fixture.event(), Event::Left));
}

#[test]
fn r8_over_reconnects_the_call_id_stays_and_the_cseq_grows() {
    let (mut fixture, first) = Fixture::connected(settings());
    fixture.grants(&first, "");
    for number in 2..6 {
        fixture.loses_connection();
        assert!(matches!(fixture.event(), Event::Unregistered));
        let next = fixture.connects();
        assert_eq!(value(&next, "Call-ID"), value(&first, "Call-ID"));
        assert_eq!(value(&next, "CSeq"), format!("{number} REGISTER"));
        assert_eq!(value(&next, "Contact"), value(&first, "Contact"));
        fixture.grants(&next, "");
    }
}

#[test]
fn r9_a_registration_that_nobody_refreshes_ends_by_itself() {
    let mut fixture = Fixture::registered();
    fixture.passes(seconds(599));
    assert!(fixture.agent.is_registered() || !fixture.events().is_empty());
    fixture.passes(seconds(1));
    assert!(!fixture.agent.is_registered());
    assert!(
        fixture
            .events()
            .iter()
            .any(|event| matches!(event, Event::Unregistered))
    );
}

#[test]
fn r2_a_refresh_comes_in_time_and_moves_the_end() {
    let mut fixture = Fixture::registered();
    let granted_at = fixture.now;
    let refresh_at = fixture.agent.deadline().unwrap();
    assert!(refresh_at - granted_at >= seconds(300) && refresh_at - granted_at <= seconds(568));
    fixture.passes(refresh_at - granted_at);
    let refresh = fixture.frame();
    fixture.hears(reply(
        &refresh,
        "200 OK",
        &format!("Contact: {OURS};expires=600\r\n"),
    ));
    assert_eq!(registered_until(&mut fixture), refresh_at + seconds(600));
}

#[test]
fn r10_leaving_while_a_register_is_under_way_is_leaving_and_the_late_200_changes_nothing() {
    let (mut fixture, register) = Fixture::connected(settings());
    fixture.agent.unregister(fixture.now);
    let leave = fixture.frame();
    assert_eq!(value(&leave, "CSeq"), "2 REGISTER");
    fixture.hears(reply(
        &register,
        "200 OK",
        &format!("Contact: {OURS};expires=600\r\n"),
    ));
    assert!(fixture.events().is_empty() && !fixture.agent.is_registered());
    fixture.hears(reply(&leave, "200 OK", ""));
    assert!(matches!(fixture.event(), Event::Left));
}

#[test]
fn r10_who_left_registers_again_with_the_next_connection() {
    let mut fixture = Fixture::registered();
    fixture.agent.unregister(fixture.now);
    fixture.frame();
    fixture.loses_connection();
    fixture.events();
    let register = fixture.connects();
    assert_eq!(value(&register, "Expires"), "600");
    fixture.grants(&register, "");
}

#[test]
fn r11_the_instance_id_is_the_one_it_was_given() {
    let (_, register) = Fixture::connected(Settings {
        instance_id: "12345678-1234-4234-8234-123456789abc".to_owned(),
        ..settings()
    });
    assert!(
        value(&register, "Contact").contains("<urn:uuid:12345678-1234-4234-8234-123456789abc>")
    );
}

#[test]
fn a_refused_refresh_keeps_the_registration_and_its_requests_until_it_ends() {
    let mut fixture = Fixture::registered();
    fixture.sends(1, message_to("sip:bob@example.com", "a"));
    fixture.agent.reregister(fixture.now);
    let refresh = fixture.frame();
    fixture.hears(reply(&refresh, "503 Busy", ""));
    assert!(matches!(fixture.event(), Event::RegistrationFailed { .. }));
    assert!(fixture.agent.is_registered() && fixture.agent.in_flight() == 1);
}
