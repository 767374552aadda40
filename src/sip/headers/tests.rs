//! The grammar cases that JsSIP and SIP.js test.

use super::*;

#[test]
fn p2_display_names_of_every_kind_are_told_from_their_addresses() {
    for (text, name, uri) in [
        (
            r#""A \"B\" \\<x>" <sip:a@b>;tag=1"#,
            r#""A \"B\" \\<x>""#,
            "sip:a@b",
        ),
        (
            "Alice \t  Liddell <sip:a@b>",
            "Alice \t  Liddell",
            "sip:a@b",
        ),
        ("\"Alice\"<sip:a@b>", "\"Alice\"", "sip:a@b"),
        ("\"\u{fffd}lice\" <sip:a@b>", "\"\u{fffd}lice\"", "sip:a@b"),
        ("\"\" <sip:a@b>", "\"\"", "sip:a@b"),
        ("<sip:a@b>", "", "sip:a@b"),
        ("<sip:b>", "", "sip:b"),
        ("sip:a@b", "", "sip:a@b"),
        ("<tel:+123;ext=4>", "", "tel:+123;ext=4"),
        (
            "<sip:a:pw@b:5060;lr;x=1?h=1&h=2>;q=0.5",
            "",
            "sip:a:pw@b:5060;lr;x=1?h=1&h=2",
        ),
    ] {
        let address = NameAddr::parse(text).unwrap();
        assert_eq!((address.display_name, address.uri), (name, uri), "{text}");
    }
}

#[test]
fn p2_three_contacts_in_one_line_are_three() {
    let line = "\"@, \\\" <x>\" <sip:a@b;y=\"1,2\">;q=1;expires=60 ,sip:c@d;q=0.5\r\n\t, <sip:host.example>;EXPIRES = 7";
    let contacts: Vec<_> = Contact::list(line).collect();
    let uris: Vec<_> = contacts.iter().map(|contact| contact.address.uri).collect();
    assert_eq!(uris, ["sip:a@b;y=\"1,2\"", "sip:c@d", "sip:host.example"]);
    let expires: Vec<_> = contacts.iter().map(Contact::expires).collect();
    assert_eq!(expires, [Some(60), None, Some(7)]);
}

#[test]
fn p2_via_is_read_with_blanks_folds_ipv6_and_rport() {
    for (text, transport, sent_by) in [
        (
            "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK1",
            "UDP",
            "192.0.2.1:5060",
        ),
        (
            "SIP /  2.0\r\n / WSS \t x.invalid ; rport=5060 ; branch = z9hG4bK1",
            "WSS",
            "x.invalid",
        ),
        (
            "SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bK1;received=2001:db8::2",
            "TLS",
            "[2001:db8::1]:5061",
        ),
        (
            "sip/2.0/ws x.invalid;BRANCH=z9hG4bK1, SIP/2.0/UDP y;branch=z9hG4bK2",
            "ws",
            "x.invalid",
        ),
    ] {
        let via = Via::parse(text.as_bytes()).unwrap();
        assert_eq!((via.transport, via.sent_by), (transport, sent_by), "{text}");
        assert_eq!(via.branch, Some("z9hG4bK1"), "{text}");
        assert_eq!(
            via::branch(text.as_bytes()),
            Some(&b"z9hG4bK1"[..]),
            "{text}"
        );
    }
}

#[test]
fn p2_cseq_is_read_with_blanks_and_leading_zeros() {
    for text in ["314159  INVITE", "00314159 \tINVITE", "314159\r\n INVITE"] {
        let cseq = CSeq::parse(text.as_bytes()).unwrap();
        assert_eq!((cseq.number, cseq.method), (314_159, "INVITE"), "{text}");
    }
}
