//! URIs: read, written, compared.

use proptest::prelude::*;

use super::*;

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn written(text: &str) -> String {
    uri(text).to_string()
}

fn refusal(text: &str) -> UriError {
    match Uri::parse(text) {
        Ok(uri) => panic!("{text} is read as {uri}"),
        Err(error) => error,
    }
}

#[test]
fn every_part_of_a_uri_is_found() {
    let uri = uri("sip:alice:secret@atlanta.com:5070;transport=tcp;lr?subject=hi%20there&x=");
    assert_eq!(uri.scheme(), Scheme::Sip);
    assert_eq!(
        (uri.user(), uri.password()),
        (Some("alice"), Some("secret"))
    );
    assert_eq!((uri.host(), uri.port()), ("atlanta.com", Some(5070)));
    assert_eq!(uri.host_and_port(), "atlanta.com:5070");
    let params: Vec<_> = uri.params().collect();
    assert_eq!(params, [("transport", Some("tcp")), ("lr", None)]);
    assert_eq!(
        (uri.param("lr"), uri.param("transport")),
        (Some(""), Some("tcp"))
    );
    assert_eq!(uri.param("ttl"), None);
    let headers: Vec<_> = uri.headers().collect();
    assert_eq!(headers, [("subject", "hi%20there"), ("x", "")]);
}

#[test]
fn the_examples_of_rfc_3261_19_1_3_are_read_and_written_unchanged() {
    for text in [
        "sip:alice@atlanta.com",
        "sip:alice:secretword@atlanta.com;transport=tcp",
        "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sips:1212@gateway.com",
        "sip:alice@192.0.2.4",
        "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
        "sip:alice;day=tuesday@atlanta.com",
    ] {
        assert_eq!(written(text), text);
    }
}

#[test]
fn what_may_be_spelled_differently_is_written_one_way() {
    for (text, canonical) in [
        ("SIP:Alice@ATLANTA.com", "sip:Alice@atlanta.com"),
        ("SIPS:%61lice@b.com", "sips:alice@b.com"),
        ("sip:a%c3%b1o@b.com", "sip:a%C3%B1o@b.com"),
        ("sip:año@b.com", "sip:a%C3%B1o@b.com"),
        ("sip:#31#@b.com", "sip:%2331%23@b.com"),
        ("sip:a%3bb;c@b.com", "sip:a%3Bb;c@b.com"),
        (
            "sip:a@b.com;Transport=TCP;X=Yes",
            "sip:a@b.com;transport=tcp;x=Yes",
        ),
        ("sip:a@b.com:05060", "sip:a@b.com:5060"),
        ("sip:a@[2001:DB8:0::1]:5060", "sip:a@[2001:db8::1]:5060"),
        ("sip:a@b.com?", "sip:a@b.com"),
    ] {
        assert_eq!(written(text), canonical);
        assert_eq!(written(canonical), canonical);
    }
}

#[test]
fn hosts_are_names_or_addresses() {
    for host in [
        "b", "b.com", "b.com.", "b_c.com", "b-.com", "1a.com", "1.2.3.4", "[::1]", "x9",
    ] {
        assert_eq!(uri(&format!("sip:a@{host}")).host(), host);
    }
    let long = "a".repeat(64);
    for host in [
        "",
        ".",
        "-b.com",
        "b..com",
        "1.2.3.444",
        "123",
        "b.c1.2",
        "ñ.com",
        "[::1",
        "[::g]",
        "[1]",
        "b%63.com",
        "::1",
        "[::1]x",
        &long,
    ] {
        let error = refusal(&format!("sip:a@{host}"));
        assert!(
            matches!(error, UriError::Host | UriError::Port),
            "{host}: {error:?}"
        );
    }
}

#[test]
fn n11_ports_are_1_to_65535() {
    assert_eq!(uri("sip:a@b.com:1").port(), Some(1));
    assert_eq!(uri("sip:a@b.com:65535").port(), Some(65_535));
    for port in [
        "",
        "0",
        "65536",
        "99999",
        "+80",
        "-1",
        "8o",
        "5060:5061",
        " 1",
    ] {
        let error = refusal(&format!("sip:a@b.com:{port}"));
        assert!(
            matches!(error, UriError::Port | UriError::Character),
            "{port}: {error:?}"
        );
    }
}

#[test]
fn what_is_no_uri_is_refused_with_its_reason() {
    for (text, error) in [
        ("", UriError::Scheme),
        ("alice", UriError::Scheme),
        ("tel:+123", UriError::Scheme),
        ("sip:", UriError::Host),
        ("sip:@b.com", UriError::User),
        ("sip::secret@b.com", UriError::User),
        ("sip:a@b@c.com", UriError::Host),
        ("sip:a b@c.com", UriError::Character),
        ("sip:a@b.com\r\nX: y", UriError::Character),
        ("<sip:a@b.com>", UriError::Character),
        ("sip:a%@b.com", UriError::Escape),
        ("sip:a%zz@b.com", UriError::Escape),
        ("sip:a%C@b.com", UriError::Escape),
        ("sip:a%+1@b.com", UriError::Escape),
        ("sip:a@b.com;;", UriError::Parameter),
        ("sip:a@b.com;=x", UriError::Parameter),
        ("sip:a@b.com?subject", UriError::Header),
        ("sip:a@b.com?=x", UriError::Header),
    ] {
        assert_eq!(refusal(text), error, "{text}");
    }
}

#[test]
fn n15_a_uri_has_a_length_bound_before_and_after_escaping() {
    let longest = format!("sip:{}@b.com", "a".repeat(Uri::MAX_LENGTH - 10));
    assert_eq!(written(&longest).len(), Uri::MAX_LENGTH);
    assert_eq!(refusal(&format!("{longest}m")), UriError::TooLong);
    assert_eq!(
        refusal(&format!("sip:{}@b.com", "#".repeat(500))),
        UriError::TooLong
    );
}

#[test]
fn a_uri_has_32_parameters_and_32_headers_at_most() {
    let params = |count| format!("sip:a@b{}", ";x=1".repeat(count));
    let headers = |count: usize| format!("sip:a@b?x=1{}", "&x=1".repeat(count - 1));
    for text in [params(32), headers(32)] {
        assert_eq!(written(&text), text);
    }
    for text in [params(33), headers(33), params(250), headers(250)] {
        assert_eq!(refusal(&text), UriError::TooMany, "{text}");
    }
}

#[test]
fn p4_the_equivalent_pairs_of_rfc_3261_19_1_4_are_equivalent() {
    for (one, other) in [
        (
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtLanTa.CoM;Transport=tcp",
        ),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;newparam=5",
        ),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0:0::1]"),
    ] {
        assert!(uri(one).is_equivalent(&uri(other)), "{one} {other}");
        assert!(uri(other).is_equivalent(&uri(one)), "{other} {one}");
    }
}

#[test]
fn an_escaped_capital_in_the_name_of_a_parameter_is_a_capital_like_any_other() {
    let uri = Uri::parse("sip:a@b.c;%55ser%c3%BC;transport=%54CP").unwrap();
    assert_eq!(uri.as_str(), "sip:a@b.c;user%C3%BC;transport=tcp");
    assert_eq!(Uri::parse(uri.as_str()), Ok(uri));
}

#[test]
fn p4_a_uri_with_a_parameter_twice_is_equivalent_to_itself() {
    let uri = Uri::parse("sip:a@b.c;transport=tcp;transport=ws").unwrap();
    assert!(uri.is_equivalent(&uri));
}

#[test]
fn p4_the_different_pairs_of_rfc_3261_19_1_4_are_different() {
    for (one, other) in [
        (
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
        ),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        (
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com:6000;transport=tcp",
        ),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
        ),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
        ),
        ("sip:a@b.com", "sips:a@b.com"),
        ("sip:a@b.com", "sip:b.com"),
        ("sip:a@b.com", "sip:a:@b.com"),
        ("sip:a@b.com;user=phone", "sip:a@b.com"),
        ("sip:a@b.com;method=MESSAGE", "sip:a@b.com"),
    ] {
        assert!(!uri(one).is_equivalent(&uri(other)), "{one} {other}");
        assert!(!uri(other).is_equivalent(&uri(one)), "{other} {one}");
    }
}

#[test]
fn an_address_of_record_and_its_registrar_are_cut_out_of_a_uri() {
    let uri = uri("sips:alice:pw@b.com:5061;transport=ws?x=y");
    assert_eq!(uri.address_of_record().as_str(), "sips:alice@b.com:5061");
    assert_eq!(
        uri.address_of_record(),
        Uri::parse("sips:alice@b.com:5061").unwrap()
    );
    assert_eq!(uri.registrar(), Uri::parse("sips:b.com:5061").unwrap());
}

#[test]
fn the_password_is_not_in_the_debug_text() {
    let text = format!("{:?}", uri("sip:alice:secret@b.com;lr"));
    assert_eq!(text, "sip:alice:***@b.com;lr");
}

#[test]
fn other_schemes_are_kept_as_written_where_any_uri_may_stand() {
    assert_eq!(AnyUri::parse("TEL:+1-201").unwrap().as_str(), "TEL:+1-201");
    assert!(matches!(AnyUri::parse("sip:a@b").unwrap(), AnyUri::Sip(_)));
    assert_eq!(AnyUri::parse("sip:a@"), Err(UriError::Host));
    assert_eq!(AnyUri::parse("nothing"), Err(UriError::Scheme));
    assert_eq!(AnyUri::parse("1x:y"), Err(UriError::Scheme));
    assert_eq!(AnyUri::parse("tel:"), Err(UriError::Scheme));
}

proptest! {
    #[test]
    fn what_is_read_is_written_so_that_it_reads_the_same(
        text in "[sS][iI][pP][sS]?:([a-zA-Z0-9%&=+$,;?/#ñ:._-]{1,12}@)?[a-zA-Z0-9._:-]{1,12}\
                 (;[a-zA-Z%=/:]{0,8}){0,3}(\\?[a-z=&%]{0,9})?",
    ) {
        if let Ok(read) = Uri::parse(&text) {
            let again = Uri::parse(read.as_str()).unwrap();
            prop_assert_eq!(&again, &read);
            prop_assert!(again.is_equivalent(&read) || read.params().count() > 1);
        }
    }

    #[test]
    fn no_text_at_all_makes_it_panic(text in "(sip:)?\\PC{0,60}") {
        let _ = AnyUri::parse(&text).map(|uri| match uri {
            AnyUri::Sip(uri) => format!("{:?}{:?}{:?}", uri, uri.user_unescaped(), uri.host_and_port()),
            AnyUri::Other(text) => text.into(),
        });
    }
}
