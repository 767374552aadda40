//! Envelopes, those of RFC 3862 and of phones.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Unwrapped<'_> {
    unwrap(text.as_bytes()).unwrap()
}

#[test]
fn an_envelope_of_linphone_is_read() {
    let unwrapped = read(
        "From: <sip:bob@example.com>\r\nTo: <sip:alice@example.com>\r\n\
         DateTime: 2026-11-22T05:00:00Z\r\nNS: imdn <urn:ietf:params:imdn>\r\n\
         imdn.Message-ID: a1b2c3\r\n\
         imdn.Disposition-Notification: positive-delivery, negative-delivery, display\r\n\r\n\
         Content-Type: text/plain;charset=utf-8\r\nContent-Length: 13\r\n\r\nYes, at noon.",
    );
    let expected = Envelope {
        from: Some("sip:bob@example.com".to_owned()),
        to: Some("sip:alice@example.com".to_owned()),
        date_time: Some("2026-11-22T05:00:00Z".to_owned()),
        subject: None,
        message_id: Some("a1b2c3".to_owned()),
        wants_delivered: true,
        wants_displayed: true,
    };
    assert_eq!(unwrapped.envelope, expected);
    assert_eq!(unwrapped.content_type, "text/plain;charset=utf-8");
    assert_eq!(&*unwrapped.body, b"Yes, at noon.");
}

#[test]
fn the_example_of_rfc_3862_is_read() {
    let unwrapped = read(
        "From: MR SANDERS <im:piglet@100akerwood.com>\r\n\
         To: Depressed Donkey <im:eeyore@100akerwood.com>\r\n\
         DateTime: 2000-12-13T13:40:00-08:00\r\nSubject: the weather will be fine today\r\n\
         Subject:;lang=fr beau temps prevu pour aujourd'hui\r\n\
         NS: MyFeatures <mid:MessageFeatures@id.foo.com>\r\nRequire: MyFeatures.VitalMessageOption\r\n\
         MyFeatures.VitalMessageOption: Confirmation-requested\r\n\r\n\
         Content-type: text/xml; charset=utf-8\r\nContent-ID: <1234567890@foo.com>\r\n\r\n\
         <body>\r\nHere is the text of my message.\r\n</body>\r\n",
    );
    assert_eq!(
        unwrapped.envelope,
        Envelope {
            from: Some("im:piglet@100akerwood.com".to_owned()),
            to: Some("im:eeyore@100akerwood.com".to_owned()),
            date_time: Some("2000-12-13T13:40:00-08:00".to_owned()),
            subject: Some("the weather will be fine today".to_owned()),
            ..Envelope::default()
        }
    );
    assert_eq!(unwrapped.content_type, "text/xml; charset=utf-8");
    let body = b"<body>\r\nHere is the text of my message.\r\n</body>\r\n";
    assert_eq!(&*unwrapped.body, body);
}

#[test]
fn notifications_are_read_with_and_without_blanks_and_under_any_prefix() {
    for (lines, delivered, displayed) in [
        (
            "imdn.Disposition-Notification: positive-delivery,negative-delivery,display",
            true,
            true,
        ),
        (
            "imdn.Disposition-Notification: positive-delivery, display",
            true,
            true,
        ),
        ("IMDN.disposition-notification: Display", false, true),
        (
            "imdn.Disposition-Notification: negative-delivery, processing",
            false,
            false,
        ),
        (
            "imdn.Disposition-Notification: positive-delivery;x=1 ,y",
            true,
            false,
        ),
        (
            "NS: r <urn:ietf:params:imdn>\r\nr.Disposition-Notification: display",
            false,
            true,
        ),
        (
            "NS: <urn:ietf:params:imdn>\r\nDisposition-Notification: display",
            false,
            true,
        ),
        (
            "NS: r <urn:other>\r\nr.Disposition-Notification: display",
            false,
            false,
        ),
        (
            "NS: r <urn:ietf:params:imdn>\r\nimdn.Disposition-Notification: display",
            false,
            false,
        ),
        ("imdn.Disposition-Notification:", false, false),
    ] {
        let text = format!("{lines}\r\n\r\n\r\nhi");
        let envelope = read(&text).envelope;
        assert_eq!(
            (envelope.wants_delivered, envelope.wants_displayed),
            (delivered, displayed),
            "{lines}"
        );
    }
}

#[test]
fn the_inner_part_ends_with_the_body_whatever_its_length_says() {
    for (head, body, expected) in [
        ("", "hi", "hi"),
        ("Content-Length: 2\r\n", "hi", "hi"),
        ("Content-Length: 2\r\n", "hi\r\n", "hi"),
        // Counted in characters: nothing of the text is cut off.
        ("Content-Length: 2\r\n", "éé", "éé"),
        ("Content-Length: 1\r\n", "hi", "hi"),
        ("Content-Length: 99999999999999999999999\r\n", "hi", "hi"),
        ("Content-Length: 3\r\n", "hi", "hi"),
        ("Content-Length: -1\r\n", "hi", "hi"),
        ("", "", ""),
    ] {
        let text = format!("From: <sip:a@b>\r\n\r\n{head}\r\n{body}");
        assert_eq!(&*read(&text).body, expected.as_bytes(), "{head}{body}");
    }
}

#[test]
fn an_inner_part_without_a_type_is_text_and_base64_is_decoded() {
    let unwrapped = read("From: <sip:a@b>\r\n\r\n\r\nhi");
    assert_eq!(unwrapped.content_type, "text/plain");
    for (text, body) in [
        ("aGkA\r\n/w==", &b"hi\0\xff"[..]),
        ("aGk", b"hi"),
        ("", b""),
    ] {
        let text = format!(
            "From: <sip:a@b>\n\nContent-Type: image/png\nContent-Transfer-Encoding: Base64\n\n{text}"
        );
        assert_eq!(&*read(&text).body, body);
    }
    for encoding in ["base64", "quoted-printable", "x-uuencode"] {
        let text =
            format!("From: <sip:a@b>\r\n\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n=C3=A9");
        assert_eq!(unwrap(text.as_bytes()), Err(CpimError::TransferEncoding));
    }
}

#[test]
fn an_envelope_in_an_envelope_is_the_inner_part() {
    let inner = "From: <sip:c@d>\r\n\r\nContent-Type: text/plain\r\n\r\nhi";
    let text = format!("From: <sip:a@b>\r\n\r\nContent-Type: message/cpim\r\n\r\n{inner}");
    let unwrapped = read(&text);
    assert_eq!(unwrapped.envelope.from.as_deref(), Some("sip:a@b"));
    assert_eq!(unwrapped.content_type, "message/cpim");
    assert_eq!(&*unwrapped.body, inner.as_bytes());
}

#[test]
fn escapes_are_resolved() {
    let text = "Subject: \\\"a\\\" \\\\ \\u00e9\\n\\uD800\\u12\r\nFrom: \"B \\\" <x>\" <sip:b@c>;y=1\r\n\r\n\r\nhi";
    let envelope = read(text).envelope;
    assert_eq!(
        envelope.subject.as_deref(),
        Some("\"a\" \\ é\n\u{fffd}\u{12}")
    );
    assert_eq!(envelope.from.as_deref(), Some("sip:b@c"));
}

#[test]
fn what_is_no_envelope_is_refused() {
    let many = "a: b\r\n".repeat(100);
    let long = format!("Subject: {}\r\n\r\n\r\nhi", "x".repeat(5_000));
    let folded = format!("Subject: x\r\n{}\r\n\r\nhi", " x\r\n".repeat(5_000));
    for (text, error) in [
        ("", CpimError::Headers),
        ("hello", CpimError::Headers),
        ("hello\r\n\r\nx: y\r\n\r\nz", CpimError::Headers),
        ("From: <sip:a@b>\r\n", CpimError::Headers),
        ("From: <sip:a@b>\r\n\r\n", CpimError::Headers),
        ("From: <sip:a@b>\r\n\r\nhello", CpimError::Headers),
        (
            "From: <sip:a@b>\r\n\r\nContent-Type: text/plain\r\n",
            CpimError::Headers,
        ),
        (&many, CpimError::TooLong),
        (&long, CpimError::TooLong),
        (&folded, CpimError::TooLong),
    ] {
        assert_eq!(unwrap(text.as_bytes()), Err(error), "{text}");
    }
}

#[test]
fn an_envelope_is_written_as_phones_want_it() {
    let wrapped = WrappedBody {
        from: "\"Alice \\\"A\\\"\" <sip:alice@example.com:5070>",
        to: "<sip:bob:5060@example.com:5060;transport=ws>",
        date_time: "2026-11-22T05:00:00.123Z",
        message_id: "01930000-0000-7000-8000-000000000001",
        wants_delivered: true,
        wants_displayed: true,
        content_type: "text/plain;charset=utf-8",
        body: "né".as_bytes(),
    };
    assert_eq!(
        String::from_utf8(wrapped.write()).unwrap(),
        "From: \"Alice \\\"A\\\"\" <sip:alice@example.com>\r\n\
         To: <sip:bob:5060@example.com;transport=ws>\r\nDateTime: 2026-11-22T05:00:00.123Z\r\n\
         NS: imdn <urn:ietf:params:imdn>\r\n\
         imdn.Message-ID: 01930000-0000-7000-8000-000000000001\r\n\
         imdn.Disposition-Notification: positive-delivery, negative-delivery, display\r\n\r\n\
         Content-Type: text/plain;charset=utf-8\r\n\r\nné"
    );
}

#[test]
fn a_port_is_left_out_of_an_address_and_nothing_else() {
    for (address, plain) in [
        ("<sip:a@b:5060>", "<sip:a@b>"),
        (
            "<sip:a@[2001:db8::1]:5060;x=1>",
            "<sip:a@[2001:db8::1];x=1>",
        ),
        ("<sip:a@[2001:db8::1]>", "<sip:a@[2001:db8::1]>"),
        (
            "\"sip:a@b:1\" <sip:5060:5060@b:5060>",
            "\"sip:a@b:1\" <sip:5060:5060@b>",
        ),
        ("sip:a@b:5060", "sip:a@b"),
        ("<tel:+1>", "<tel:+1>"),
        ("", ""),
    ] {
        assert_eq!(without_port(address), plain);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_wrapped_is_unwrapped_the_same(
        user in "[a-z0-9.+-]{1,20}",
        message_id in "[a-zA-Z0-9.@-]{1,60}",
        body in proptest::collection::vec(any::<u8>(), 0..300),
        wants_delivered: bool,
        wants_displayed: bool,
    ) {
        let address = format!("<sip:{user}@example.com>");
        let wrapped = WrappedBody {
            from: &address,
            to: &address,
            date_time: "2026-11-22T05:00:00.123Z",
            message_id: &message_id,
            wants_delivered,
            wants_displayed,
            content_type: "application/octet-stream",
            body: &body,
        }
        .write();
        let unwrapped = unwrap(&wrapped).unwrap();
        prop_assert_eq!(&*unwrapped.body, &body[..]);
        prop_assert_eq!(unwrapped.content_type, "application/octet-stream");
        let envelope = unwrapped.envelope;
        prop_assert_eq!(envelope.from, Some(format!("sip:{user}@example.com")));
        prop_assert_eq!(envelope.message_id, Some(message_id));
        prop_assert_eq!(envelope.wants_delivered, wants_delivered);
        prop_assert_eq!(envelope.wants_displayed, wants_displayed);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = unwrap(&bytes);
        let _ = unwrap(&[b"Subject: \\", &bytes[..], b"\r\n\r\n\r\n"].concat());
    }
}
