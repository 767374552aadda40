//! The server as a machine: what goes in, and what comes out.

use std::time::Instant;

use proptest::prelude::*;

use super::super::*;
use super::*;
use crate::sip::uri::Uri;
use crate::sip::{Event, Outcome, OutgoingRequest, Output, Settings, Transport, UserAgent};

/// A server and its connections, in time that the test moves.
struct Room {
    server: SipServer,
    now: Instant,
}

const ALICE: ConnectionId = 1;
const BOB: ConnectionId = 2;

impl Room {
    fn new(options: Options) -> Self {
        let now = clock::now();
        let rng = StdRng::from_seed([1; 32]);
        let server = SipServer::new(options, vec!["127.0.0.1".to_owned()], rng, now);
        Self { server, now }
    }

    /// Without challenges.
    fn open() -> Self {
        Self::new(Options {
            challenges: false,
            ..Options::default()
        })
    }

    /// What goes out when this comes in.
    fn takes(&mut self, connection: ConnectionId, frame: &str) -> Vec<(ConnectionId, String)> {
        let mut out = Vec::new();
        let peer = [127, 0, 0, 1].into();
        self.server
            .handle_frame(self.now, connection, peer, frame.as_bytes(), &mut out);
        texts(out)
    }

    /// The one answer to a request.
    fn answers(&mut self, connection: ConnectionId, frame: &str) -> String {
        let mut out = self.takes(connection, frame);
        assert_eq!(out.len(), 1, "{out:?}");
        let (to, answer) = out.remove(0);
        assert_eq!(to, connection);
        answer
    }

    fn passes(&mut self, time: Duration) -> Vec<(ConnectionId, String)> {
        self.now += time;
        let mut out = Vec::new();
        self.server.handle_timeout(self.now, &mut out);
        texts(out)
    }

    fn closes(&mut self, connection: ConnectionId) -> Vec<(ConnectionId, String)> {
        let mut out = Vec::new();
        self.server.handle_closed(connection, &mut out);
        texts(out)
    }

    fn register(&mut self, connection: ConnectionId, user: &str) {
        let register = request("REGISTER", REGISTRAR, user, &contact(user), "");
        assert_eq!(status(&self.answers(connection, &register)), 200);
    }
}

const REGISTRAR: &str = "sip:sandbox.invalid";

fn texts(out: Outbox) -> Vec<(ConnectionId, String)> {
    let text = |outgoing| match outgoing {
        Outgoing::Frame(bytes) => String::from_utf8(bytes).unwrap(),
        Outgoing::Cut => "cut".to_owned(),
    };
    out.into_iter().map(|(to, out)| (to, text(out))).collect()
}

fn message_to(user: &str, headers: &str) -> String {
    let uri = format!("sip:{user}@sandbox.invalid");
    request("MESSAGE", &uri, "alice", headers, "hello")
}

#[test]
fn special_users_always_answer_the_same() {
    let mut room = Room::open();
    for (user, code) in [
        ("ok", 200),
        ("accepted", 202),
        ("busy", 486),
        ("decline", 603),
        ("notfound", 404),
        ("offline", 480),
        ("moved", 302),
        ("error", 500),
    ] {
        for _ in 0..2 {
            let answer = room.answers(ALICE, &message_to(user, ""));
            assert_eq!(status(&answer), code, "{user}");
            assert!(header(&answer, "To").contains(";tag="), "{answer}");
            assert_eq!(header(&answer, "CSeq"), "1 MESSAGE");
        }
    }
    let moved = room.answers(ALICE, &message_to("moved", ""));
    assert_eq!(header(&moved, "Contact"), "<sip:ok@sandbox.invalid>");
}

#[test]
fn overload_is_over_at_the_second_request_with_the_same_call_id() {
    let mut room = Room::open();
    for call_id in ["Call-ID: one\r\n", "Call-ID: two\r\n"] {
        let first = room.answers(ALICE, &message_to("overload", call_id));
        assert_eq!(
            (status(&first), header(&first, "Retry-After").as_str()),
            (503, "1")
        );
        let second = room.answers(ALICE, &message_to("overload", call_id));
        assert_eq!(
            (status(&second), header(&second, "Retry-After").as_str()),
            (200, "")
        );
    }
}

#[test]
fn slow_answers_after_three_seconds_and_silent_never() {
    let mut room = Room::open();
    assert!(room.takes(ALICE, &message_to("slow", "")).is_empty());
    assert!(room.takes(ALICE, &message_to("silent", "")).is_empty());
    assert!(room.passes(Duration::from_millis(2_999)).is_empty());
    let answers = room.passes(Duration::from_millis(1));
    assert_eq!(
        (answers.len(), answers[0].0, status(&answers[0].1)),
        (1, ALICE, 200)
    );
    assert!(room.passes(Duration::from_secs(3_600)).is_empty());
}

#[test]
fn echo_answers_and_sends_the_body_back_to_every_binding_of_the_sender() {
    let mut room = Room::open();
    room.register(ALICE, "alice");
    let tablet = contact("tablet") + "Call-ID: tablet\r\n";
    let register = request("REGISTER", REGISTRAR, "alice", &tablet, "");
    assert_eq!(status(&room.answers(BOB, &register)), 200);
    let sent = message_to("echo", "Content-Type: text/plain;charset=utf-8\r\n");
    assert_eq!(status(&room.answers(ALICE, &sent)), 200);
    let echoed = room.passes(Duration::ZERO);
    let [(ALICE, one), (BOB, other)] = &echoed[..] else {
        panic!("{echoed:?}");
    };
    assert!(one.starts_with("MESSAGE sip:alice-random@"), "{one}");
    assert_eq!(read(one).body, b"hello");
    assert_eq!(header(one, "Content-Type"), "text/plain;charset=utf-8");
    assert_eq!(header(one, "In-Reply-To"), "call");
    assert!(header(one, "From").starts_with("<sip:echo@sandbox.invalid>;tag="));
    assert_eq!(header(one, "To"), "<sip:alice@sandbox.invalid>");
    for name in ["From", "Call-ID", "CSeq"] {
        assert_eq!(
            header(one, name),
            header(other, name),
            "forks of one request"
        );
    }
    assert_ne!(header(one, "Via"), header(other, "Via"));
    assert!(room.takes(ALICE, &answer_to(one)).is_empty());
}

#[test]
fn reader_reports_that_it_has_a_message_and_a_second_later_that_it_read_it() {
    const WRAPPED: &str = "From: <sip:alice@sandbox.invalid>\r\nNS: imdn <urn:ietf:params:imdn>\r\n\
        imdn.Message-ID: a&b\r\n\r\nContent-Type: text/plain\r\n\r\nhello";
    for (content_type, body, id) in [
        ("text/plain", "hello", "call"),
        ("Message/CPIM", WRAPPED, "a&amp;b"),
    ] {
        let mut room = Room::open();
        room.register(ALICE, "alice");
        let headers = format!("Content-Type: {content_type}\r\n");
        let sent = request(
            "MESSAGE",
            "sip:reader@sandbox.invalid",
            "alice",
            &headers,
            body,
        );
        assert_eq!(status(&room.answers(ALICE, &sent)), 200);
        let mut receipt = |after| {
            let out = room.passes(after);
            let [(ALICE, frame)] = &out[..] else {
                panic!("{out:?}");
            };
            assert_eq!(header(frame, "Content-Type"), "message/imdn+xml");
            let body = String::from_utf8(read(frame).body.to_vec()).unwrap();
            assert!(
                body.contains(&format!("<message-id>{id}</message-id>")),
                "{body}"
            );
            body
        };
        assert!(receipt(Duration::ZERO).contains("<delivered/>"));
        assert!(receipt(Duration::from_secs(1)).contains("<displayed/>"));
    }
}

#[test]
fn scripted_users_send_nothing_to_a_sender_that_is_not_registered() {
    let mut room = Room::open();
    for user in ["echo", "reader"] {
        assert_eq!(status(&room.answers(ALICE, &message_to(user, ""))), 200);
        assert!(room.passes(Duration::from_secs(2)).is_empty());
    }
}

#[test]
fn a_message_reaches_who_is_registered_and_the_answer_comes_back() {
    let mut room = Room::open();
    room.register(BOB, "bob");
    let headers = "Max-Forwards: 70\r\nRoute: <sip:sandbox.invalid;lr>\r\nX-Foo: ü\r\n";
    let out = room.takes(ALICE, &message_to("bob", headers));
    let [(BOB, forwarded)] = &out[..] else {
        panic!("{out:?}");
    };
    assert!(forwarded.starts_with("MESSAGE sip:bob-random@bob.invalid;transport=ws SIP/2.0\r\n"));
    assert_eq!(read(forwarded).body, b"hello");
    assert_eq!(header(forwarded, "Max-Forwards"), "69");
    assert_eq!(header(forwarded, "Route"), "");
    assert_eq!(header(forwarded, "X-Foo"), "ü");
    assert_eq!(read(forwarded).all("Via").count(), 2);
    assert!(
        forwarded.contains("branch=z9hG4bKalice1;received=127.0.0.1\r\n"),
        "{forwarded}"
    );

    let answer = answer_to(forwarded);
    // Only who was asked may answer.
    assert!(room.takes(ALICE, &answer).is_empty());
    let out = room.takes(BOB, &answer);
    let [(ALICE, returned)] = &out[..] else {
        panic!("{out:?}");
    };
    assert!(returned.starts_with("SIP/2.0 200 Got it\r\n"));
    let vias: Vec<_> = read(returned).all("Via").map(parse::text).collect();
    assert_eq!(
        vias,
        ["SIP/2.0/WS alice.invalid;branch=z9hG4bKalice1;received=127.0.0.1"]
    );
    // Once.
    assert!(room.takes(BOB, &answer).is_empty());
    assert!(room.passes(Duration::from_secs(60)).is_empty());
}

#[test]
fn vias_that_a_peer_put_into_one_line_are_taken_apart() {
    let mut room = Room::open();
    room.register(BOB, "bob");
    let forwarded = room.takes(ALICE, &message_to("bob", "")).remove(0).1;
    let vias: Vec<_> = read(&forwarded).all("Via").map(parse::text).collect();
    let answer = answer_to(&forwarded);
    let two_lines = format!("Via: {}\r\nVia: {}\r\n", vias[0], vias[1]);
    let one_line = format!("v: {}, {}\r\n", vias[0], vias[1]);
    let returned = room
        .takes(BOB, &answer.replace(&two_lines, &one_line))
        .remove(0)
        .1;
    assert_eq!(header(&returned, "Via"), vias[1]);
}

#[test]
fn provisional_answers_pass_and_end_nothing() {
    let mut room = Room::open();
    room.register(BOB, "bob");
    let forwarded = room.takes(ALICE, &message_to("bob", "")).remove(0).1;
    let answer = answer_to(&forwarded);
    let ringing = answer.replace("200 Got it", "180 Ringing");
    assert_eq!(status(&room.takes(BOB, &ringing)[0].1), 180);
    assert_eq!(status(&room.takes(BOB, &answer)[0].1), 200);
}

#[test]
fn nobody_there_is_404_for_a_stranger_and_480_for_who_has_left() {
    let mut room = Room::open();
    assert_eq!(status(&room.answers(ALICE, &message_to("bob", ""))), 404);
    room.register(BOB, "bob");
    assert!(room.closes(BOB).is_empty());
    assert_eq!(status(&room.answers(ALICE, &message_to("bob", ""))), 480);
}

#[test]
fn silence_of_a_recipient_is_408_and_its_end_480() {
    let mut room = Room::open();
    room.register(BOB, "bob");
    room.takes(ALICE, &message_to("bob", ""));
    assert!(room.passes(Duration::from_millis(29_999)).is_empty());
    let out = room.passes(Duration::from_millis(1));
    assert_eq!((out.len(), out[0].0, status(&out[0].1)), (1, ALICE, 408));

    room.takes(ALICE, &message_to("bob", ""));
    let out = room.closes(BOB);
    assert_eq!((out.len(), out[0].0, status(&out[0].1)), (1, ALICE, 480));
    assert!(room.passes(Duration::from_secs(60)).is_empty());
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let mut room = Room::open();
    let to = |uri: &str| request("MESSAGE", uri, "alice", "", "hello");
    let ok = message_to("ok", "");
    let foreign = to("sip:bob@example.com");
    for (frame, code, name, value) in [
        (to("tel:+123"), 416, "Warning", ""),
        (to("sip:a@b:0"), 400, "Warning", ""),
        (to("nothing"), 400, "Warning", ""),
        (
            foreign,
            404,
            "Warning",
            "399 sandbox.invalid \"this sandbox serves sandbox.invalid only\"",
        ),
        (message_to("ok", "Max-Forwards: 0\r\n"), 483, "Allow", ""),
        (message_to("ok", "Max-Forwards: x\r\n"), 400, "Allow", ""),
        (
            message_to("ok", "Proxy-Require: path, foo\r\n"),
            420,
            "Unsupported",
            "foo",
        ),
        (message_to("ok", "CSeq: 1 INVITE\r\n"), 400, "Allow", ""),
        (
            ok.replace("Content-Length: 5", "Content-Length: 6"),
            400,
            "Allow",
            "",
        ),
        (
            request("INVITE", "sip:ok@sandbox.invalid", "alice", "", ""),
            405,
            "Allow",
            super::super::request::ALLOW,
        ),
        (
            request("MESSAGE", REGISTRAR, "alice", "", ""),
            405,
            "Allow",
            super::super::request::ALLOW,
        ),
        (
            request("OPTIONS", REGISTRAR, "alice", "", ""),
            200,
            "Allow",
            super::super::request::ALLOW,
        ),
        (
            request("OPTIONS", "sip:ok@127.0.0.1", "alice", "", ""),
            200,
            "Allow",
            "",
        ),
    ] {
        let answer = room.answers(ALICE, &frame);
        assert_eq!(
            (status(&answer), header(&answer, name).as_str()),
            (code, value),
            "{frame}"
        );
    }
}

#[test]
fn what_cannot_be_answered_is_not() {
    let mut room = Room::open();
    let ok = message_to("ok", "");
    for frame in [
        "\r\n".to_owned(),
        "nonsense".to_owned(),
        ok.replace("MESSAGE", "ACK"),
        ok.replace("Via:", "X-Via:"),
        ok.replace("From:", "X-From:"),
        ok.replace("CSeq: 1", "CSeq: x"),
        answer_to(&ok),
    ] {
        assert!(room.takes(ALICE, &frame).is_empty(), "{frame}");
    }
    assert_eq!(room.takes(ALICE, "\r\n\r\n"), [(ALICE, "\r\n".to_owned())]);
}

#[test]
fn a_registration_lists_its_bindings_and_ends_in_time() {
    let mut room = Room::open();
    let flow = |id: u32, cseq: u32, expires: u32| {
        let headers = format!(
            "CSeq: {cseq} REGISTER\r\nContact: <sip:r{id}@x.invalid;transport=ws>;reg-id={id};\
             +sip.instance=\"<urn:uuid:1>\";expires={expires}\r\n"
        );
        request("REGISTER", REGISTRAR, "bob", &headers, "")
    };
    let answer = room.answers(BOB, &flow(1, 1, 60));
    assert_eq!(header(&answer, "Require"), "outbound");
    let contact = header(&answer, "Contact");
    let expected = "<sip:r1@x.invalid;transport=ws>;expires=60;\
                    +sip.instance=\"<urn:uuid:1>\";reg-id=1";
    assert_eq!(contact, expected);

    // The same flow again is a refreshment, another flow another binding.
    room.passes(Duration::from_secs(10));
    room.answers(BOB, &flow(1, 2, 30));
    let answer = room.answers(BOB, &flow(2, 3, 100_000));
    let bindings = header(&answer, "Contact");
    assert!(
        bindings.contains("expires=30") && bindings.contains("expires=3600"),
        "{bindings}"
    );
    // One that was overtaken changes nothing (RFC 3261 §10.3 step 7).
    assert_eq!(status(&room.answers(BOB, &flow(1, 2, 60))), 500);

    let answer = room.answers(BOB, &flow(2, 4, 0));
    assert_eq!(read(&answer).all("Contact").count(), 1);
    room.passes(Duration::from_secs(30));
    assert_eq!(status(&room.answers(ALICE, &message_to("bob", ""))), 480);
    let ask = request("REGISTER", REGISTRAR, "bob", "", "");
    assert_eq!(header(&room.answers(BOB, &ask), "Contact"), "");
}

#[test]
fn a_registration_that_asks_for_what_there_is_not_is_refused() {
    let mut room = Room::new(Options {
        challenges: false,
        min_expires: Duration::from_secs(30),
        max_bindings: 1,
        ..Options::default()
    });
    let register = |user: &str, headers: &str| request("REGISTER", REGISTRAR, user, headers, "");
    let here = "Contact: <sip:b@x.invalid>\r\n";
    for (user, headers, code) in [
        ("bob", format!("{here}Expires: 29\r\n"), 423),
        ("bob", "Contact: *\r\nExpires: 1\r\n".to_owned(), 400),
        ("bob", "Contact: <tel:+1>\r\n".to_owned(), 400),
        ("bob", "Contact: <sip:a b@c>\r\n".to_owned(), 400),
        ("bob", "Require: foo\r\n".to_owned(), 420),
        ("ok", here.to_owned(), 403),
        ("bob", here.to_owned(), 200),
        ("carol", here.to_owned(), 503),
        (
            "bob",
            "Contact: *\r\nExpires: 0\r\nCSeq: 2 REGISTER\r\n".to_owned(),
            200,
        ),
        ("carol", here.to_owned(), 200),
    ] {
        let answer = room.answers(BOB, &register(user, &headers));
        assert_eq!(status(&answer), code, "{user} {headers}");
        if code == 423 {
            assert_eq!(header(&answer, "Min-Expires"), "30");
        }
    }
}

#[test]
fn who_signs_with_the_right_password_is_let_in_and_may_use_the_nonce_again() {
    let mut room = Room::new(Options::default());
    let mut signer = Signer::new("alice", password_of("alice"));
    let register = request("REGISTER", REGISTRAR, "alice", &contact("alice"), "");
    let challenge = room.answers(ALICE, &register);
    assert_eq!(status(&challenge), 401);
    let challenges = header(&challenge, "WWW-Authenticate");
    assert!(
        challenges.contains("SHA-256") && challenges.contains("MD5"),
        "{challenges}"
    );
    signer.challenged(&register, &challenge);
    assert_eq!(status(&room.answers(ALICE, &signer.sign(&register))), 200);

    let message = message_to("ok", "");
    let challenge = room.answers(ALICE, &message);
    assert_eq!(status(&challenge), 407);
    signer.challenged(&message, &challenge);
    for _ in 0..3 {
        assert_eq!(status(&room.answers(ALICE, &signer.sign(&message))), 200);
    }

    room.passes(Duration::from_secs(301));
    let stale = room.answers(ALICE, &signer.sign(&message));
    assert_eq!(status(&stale), 407);
    assert!(header(&stale, "Proxy-Authenticate").contains("stale=true"));
    signer.challenged(&message, &stale);
    assert_eq!(status(&room.answers(ALICE, &signer.sign(&message))), 200);
}

/// A user agent of ours on a connection to the room: what it says goes in, what comes out for it
/// goes back.
fn converse(room: &mut Room, agent: &mut UserAgent) -> (u32, Vec<Event>) {
    let (mut written, mut events) = (0, Vec::new());
    while let Some(output) = agent.poll() {
        match output {
            Output::Event(event) => events.push(event),
            Output::Transmit(frame, _) => {
                written += 1;
                for (_, answer) in room.takes(ALICE, std::str::from_utf8(&frame).unwrap()) {
                    agent.handle_frame(room.now, answer.as_bytes());
                }
            }
        }
    }
    (written, events)
}

#[test]
fn a_user_agent_of_ours_registers_and_pays_for_one_challenge_only() {
    let mut room = Room::new(Options::default());
    let aor = Uri::parse("sip:alice@sandbox.invalid").unwrap();
    let settings = Settings {
        credentials: Some(Credentials::password("alice", password_of("alice"))),
        ..Settings::new(aor, "random", "1")
    };
    let mut agent = UserAgent::new(settings.into(), StdRng::from_seed([2; 32]));
    agent.handle_connected(room.now, Transport::Ws);
    let (written, events) = converse(&mut room, &mut agent);
    assert!(
        matches!(events[..], [Event::Registered { .. }]),
        "{events:?}"
    );
    assert_eq!(written, 2);

    for (key, expected) in [(1, 2), (2, 1), (3, 1)] {
        let head = "To: <sip:ok@sandbox.invalid>\r\nFrom: <sip:alice@sandbox.invalid>;tag=1\r\n\
                    Call-ID: c\r\n";
        let outgoing = OutgoingRequest {
            method: "MESSAGE",
            uri: "sip:ok@sandbox.invalid".into(),
            call_id: "c".to_owned(),
            from_tag: "1".to_owned(),
            cseq: 1,
            head: head.as_bytes().to_vec(),
            body: bytes::Bytes::from_static(b"hello"),
            fallback: None,
        };
        agent.send(room.now, key, outgoing);
        let (written, events) = converse(&mut room, &mut agent);
        let [
            Event::Ended {
                outcome: Outcome::Answered(response),
                ..
            },
        ] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!((response.status.as_u16(), written), (200, expected));
    }
}

#[test]
fn credentials_of_the_sandbox_are_not_passed_on() {
    let mut room = Room::new(Options::default());
    let mut signers = [("alice", ALICE), ("bob", BOB)].map(|(user, connection)| {
        let mut signer = Signer::new(user, user);
        let register = request("REGISTER", REGISTRAR, user, &contact(user), "");
        signer.challenged(&register, &room.answers(connection, &register));
        room.answers(connection, &signer.sign(&register));
        signer
    });
    let message = message_to("bob", "");
    signers[0].challenged(&message, &room.answers(ALICE, &message));
    let out = room.takes(ALICE, &signers[0].sign(&message));
    assert_eq!(
        (out[0].0, header(&out[0].1, "Proxy-Authorization").as_str()),
        (BOB, "")
    );
}

#[test]
fn a_wrong_password_is_challenged_again_and_a_wrong_name_forbidden() {
    let mut room = Room::new(Options {
        passwords: [("carol".to_owned(), "secret".to_owned())].into(),
        ..Options::default()
    });
    for (user, signs_as, password, code) in [
        ("alice", "alice", "guess", 401),
        ("alice", "bob", "bob", 403),
        ("carol", "carol", "carol", 401),
        ("carol", "carol", "secret", 200),
    ] {
        let register = request("REGISTER", REGISTRAR, user, &contact(user), "");
        let mut signer = Signer::new(signs_as, password);
        signer.challenged(&register, &room.answers(ALICE, &register));
        let answer = room.answers(ALICE, &signer.sign(&register));
        assert_eq!(
            status(&answer),
            code,
            "{user} as {signs_as} with {password}"
        );
        assert!(!header(&answer, "WWW-Authenticate").contains("stale"));
    }
}

#[test]
fn a_scripted_user_does_what_a_test_wants() {
    let (received, mut requests) = mpsc::unbounded_channel();
    let mut options = Options {
        challenges: false,
        received: Some(received),
        max_pending: 1,
        ..Options::default()
    };
    options.users.insert("cut".to_owned(), Behaviour::Cuts);
    let mut room = Room::new(options);
    assert_eq!(
        room.takes(ALICE, &message_to("cut", "")),
        [(ALICE, "cut".to_owned())]
    );
    let seen = requests.try_recv().unwrap();
    assert_eq!(
        (seen.method.as_str(), seen.uri.as_str()),
        ("MESSAGE", "sip:cut@sandbox.invalid")
    );
    assert_eq!(seen.frame, message_to("cut", "").as_bytes());
    // What takes time has its place taken.
    assert!(room.takes(ALICE, &message_to("slow", "")).is_empty());
    assert_eq!(status(&room.answers(ALICE, &message_to("slow", ""))), 503);
}

proptest! {
    #[test]
    fn no_frame_makes_it_panic(
        start in "(MESSAGE|REGISTER|OPTIONS) (sip:)?(bob@|ok@)?(sandbox.invalid|[a-z:;@%]{0,9})",
        lines in proptest::collection::vec(
            "(Contact|Expires|Route|Via|To|From|Max-Forwards): [<>a-z*0-9:;=@,\" ]{0,30}", 0..6,
        ),
    ) {
        let mut room = Room::open();
        room.register(BOB, "bob");
        let head = "Via: SIP/2.0/WS a.invalid;branch=z9hG4bK1\r\nFrom: <sip:bob@sandbox.invalid>;tag=1\
                    \r\nTo: <sip:bob@sandbox.invalid>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\n";
        let frame = format!("{start} SIP/2.0\r\n{head}{}\r\n\r\n", lines.join("\r\n"));
        for (_, out) in room.takes(ALICE, &frame) {
            prop_assert!(parse::parse(out.as_bytes(), ParseLimits::default()).is_ok());
        }
        room.passes(Duration::from_secs(3_600));
    }
}
