//! What holds for everything, not for examples.

use proptest::prelude::*;

use crate::sip::parse;
use crate::sip::parse::{ParseLimits, StartLine};
use crate::sip::testing::{Fixture, message_to, reply, value};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn m_what_is_written_is_read_the_same(
        user in "[a-z0-9%.+*-]{1,20}",
        call_id in "[a-zA-Z0-9.@-]{1,60}",
        cseq in 1..=u32::MAX / 2,
        body in proptest::collection::vec(1_u8..0x80, 0..300),
        extra in "[ -~]{0,60}",
    ) {
        let mut fixture = Fixture::registered();
        let mut request = message_to(&format!("sip:{user}@example.com"), &call_id);
        request.cseq = cseq;
        request.body = body.clone().into();
        request.head.extend_from_slice(format!("X-Extra: {extra}\r\n").as_bytes());
        let frame = fixture.sends(1, request);

        let message = parse::parse(frame.as_bytes(), ParseLimits::default()).unwrap();
        let uri = format!("sip:{user}@example.com");
        prop_assert_eq!(message.start, StartLine::Request { method: "MESSAGE", uri: &uri });
        prop_assert_eq!(message.flaw, None);
        prop_assert_eq!(message.body, &body[..]);
        prop_assert_eq!(value(&frame, "Call-ID"), call_id);
        prop_assert_eq!(value(&frame, "CSeq"), format!("{cseq} MESSAGE"));
        prop_assert_eq!(value(&frame, "X-Extra"), extra.trim());
    }

    #[test]
    fn p1_no_line_and_no_body_keeps_an_answer_from_its_request(
        line in proptest::collection::vec(any::<u8>().prop_filter("a line end", |b| !b"\r\n".contains(b)), 1..200),
        body in proptest::collection::vec(any::<u8>(), 0..100),
        reason in "[^\r\n]{0,40}",
        code in 200_u16..700,
    ) {
        let mut fixture = Fixture::registered();
        let frame = fixture.sends(1, message_to("sip:bob@example.com", "call"));
        let neat = reply(&frame, &format!("{code} {reason}"), "");
        // A line of its own, not the continuation of CSeq.
        prop_assume!(!b" \t".contains(&line[0]));
        let at = neat.find("Content-Length:").unwrap();
        let odd = [&neat.as_bytes()[..at], &line, b"\r\n", &neat.as_bytes()[at..], &body].concat();
        fixture.hears(odd);
        // Even 401 and 407: there is no challenge that could be answered.
        prop_assert_eq!(fixture.response().status.as_u16(), code);
    }

    #[test]
    fn no_frame_makes_it_panic_or_say_what_cannot_be_read(frame in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut fixture = Fixture::registered();
        fixture.hears(frame);
        for answer in fixture.frames() {
            prop_assert!(parse::parse(answer.as_bytes(), ParseLimits::default()).is_ok());
        }
    }
}
