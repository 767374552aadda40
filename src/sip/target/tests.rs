use proptest::prelude::*;

use super::*;

fn account() -> Uri {
    Uri::parse("sip:gateway:pw@jssip.net;transport=ws?x=y").unwrap()
}

fn normal(target: &str) -> String {
    match normalize(target, &account()) {
        Ok(uri) => uri.to_string(),
        Err(error) => panic!("{target}: {error}"),
    }
}

fn refusal(target: &str) -> TargetError {
    match normalize(target, &account()) {
        Ok(uri) => panic!("{target} becomes {uri}"),
        Err(error) => error,
    }
}

/// Of the twenty-two, the two that begin with `sips:` differ: JsSIP makes them `sip:`.
#[test]
fn n1_the_valid_targets_of_jssip_become_the_same_uris() {
    for (target, uri) in [
        ("%61lice", "sip:alice@jssip.net"),
        ("ALICE", "sip:ALICE@jssip.net"),
        ("alice@DOMAIN.com", "sip:alice@domain.com"),
        ("iñaki", "sip:i%C3%B1aki@jssip.net"),
        ("€€€", "sip:%E2%82%AC%E2%82%AC%E2%82%AC@jssip.net"),
        ("iñaki@aliax.net", "sip:i%C3%B1aki@aliax.net"),
        ("SIP:iñaki@aliax.net:7070", "sip:i%C3%B1aki@aliax.net:7070"),
        (
            "SIPs:iñaki@aliax.net:7070",
            "sips:i%C3%B1aki@aliax.net:7070",
        ),
        ("ibc@gmail.com@aliax.net", "sip:ibc%40gmail.com@aliax.net"),
        ("alice-1:passwd", "sip:alice-1:passwd@jssip.net"),
        ("SIP:alice-2:passwd", "sip:alice-2:passwd@jssip.net"),
        ("sips:alice-2:passwd", "sips:alice-2:passwd@jssip.net"),
        ("alice-3:passwd@domain.COM", "sip:alice-3:passwd@domain.com"),
        (
            "SIP:alice-4:passwd@domain.COM",
            "sip:alice-4:passwd@domain.com",
        ),
        ("sip:+1234@aliax.net", "sip:+1234@aliax.net"),
        ("+999", "sip:+999@jssip.net"),
        ("*999", "sip:*999@jssip.net"),
        ("#999/?:1234", "sip:%23999/?:1234@jssip.net"),
        ("tel:+12345678", "sip:+12345678@jssip.net"),
        ("tel:(+34)-944-43-89", "sip:+349444389@jssip.net"),
        ("+123.456.78-9", "sip:+123456789@jssip.net"),
        ("+ALICE-123.456.78-9", "sip:+ALICE-123.456.78-9@jssip.net"),
    ] {
        assert_eq!(normal(target), uri, "{target}");
    }
}

/// JsSIP's nine are five values that are no text, which JSON refuses before this is reached, a
/// missing domain, which the type of `account` excludes, and these; `ibc@iñaki.com` is N12's.
#[test]
fn n1_the_invalid_targets_of_jssip_are_refused() {
    assert_eq!(refusal(""), TargetError::Empty);
    assert_eq!(
        refusal("ibc@aliax.net;;;;;"),
        TargetError::Uri(UriError::Parameter)
    );
    for (target, error) in [
        ("-", TargetError::NoUser),
        ("()", TargetError::NoUser),
        (".", TargetError::NoUser),
        ("+", TargetError::NoUser),
        ("sip:", TargetError::NoUser),
        ("tel:", TargetError::NotANumber),
        ("sip:@b.com", TargetError::NoUser),
        ("@x", TargetError::NoUser),
        ("@", TargetError::NoUser),
        (":", TargetError::NoUser),
        ("a@", TargetError::Uri(UriError::Host)),
        ("alice@1.2.3.444", TargetError::Uri(UriError::Host)),
        ("alice@123", TargetError::Uri(UriError::Host)),
        ("alice@-b.com", TargetError::Uri(UriError::Host)),
        ("alice@B.COM.", TargetError::Uri(UriError::Host)),
        ("alice@b.com\r\nX: y", TargetError::Invisible('\r')),
        ("alice@b com", TargetError::Invisible(' ')),
        ("alice@b.com\"", TargetError::Uri(UriError::Character)),
    ] {
        assert_eq!(refusal(target), error, "{target}");
    }
}

#[test]
fn n2_a_bare_user_takes_the_account_s_host_and_an_explicit_one_keeps_its_own() {
    assert_eq!(normal("alice"), "sip:alice@jssip.net");
    assert_eq!(normal("sip:alice"), "sip:alice@jssip.net");
    assert_eq!(normal("Alice@B.com"), "sip:Alice@b.com");
    assert_eq!(normal("a@b@C.com"), "sip:a%40b@c.com");
    assert_eq!(normal("sip:a@b@C.com"), "sip:a%40b@c.com");
    assert_eq!(normal("alice@b_c.com"), "sip:alice@b_c.com");
    assert_eq!(
        normal("alice@[2001:DB8::1]:5060"),
        "sip:alice@[2001:db8::1]:5060"
    );
    assert_eq!(normal("alice@1.2.3.4"), "sip:alice@1.2.3.4");
    let account = Uri::parse("sips:gw@b.com:5070").unwrap();
    assert_eq!(
        normalize("bob", &account).unwrap().as_str(),
        "sip:bob@b.com:5070"
    );
}

#[test]
fn n3_separators_go_from_purely_numeric_users_only() {
    for (target, uri) in [
        ("+1-555-1234@b.com", "sip:+15551234@b.com"),
        ("(555)1234", "sip:5551234@jssip.net"),
        ("sip:555.1234@b.com", "sip:5551234@b.com"),
        ("555-ALICE", "sip:555-ALICE@jssip.net"),
        ("*73", "sip:*73@jssip.net"),
        ("#31#", "sip:%2331%23@jssip.net"),
        ("john.doe", "sip:john.doe@jssip.net"),
        ("1+1", "sip:1+1@jssip.net"),
        ("alice;x=1", "sip:alice%3Bx%3D1@jssip.net"),
        (
            "sip:+1555;phone-context=x@b.com;user=phone",
            "sip:+1555;phone-context=x@b.com;user=phone",
        ),
        ("a:b:c", "sip:a:b%3Ac@jssip.net"),
    ] {
        assert_eq!(normal(target), uri, "{target}");
    }
}

#[test]
fn n4_blanks_and_typographic_hyphens_go_from_phone_numbers() {
    for target in [
        "+1 555 123 4567",
        "+1\u{a0}555\u{202f}123\u{2011}4567",
        "+1%20555%20123%204567",
        "tel:+1 555 123 4567",
        " (+1) 555 - 123 . 4567 ",
        "\u{202a}+15551234567\u{202c}",
        "\u{200e}+1 555 123\u{a0}4567",
        "\u{2068}+1\u{2069} 555\u{ad}123\u{feff}4567",
        "+1\u{2060}555\u{180e}123\u{200d}4567\u{fe0f}",
        "+1\u{2028}555\u{1680}123\t4567",
        "+1\u{2013}555\u{2212}123\u{ff0d}4567",
        "+1\u{2010}555\u{fe63}123\u{2e3a}4567",
        "%E2%80%AA+15551234567%E2%80%AC",
        "sip:\u{202a}+1 555 123 4567\u{202c}",
        "tel:\u{202a}+1-555-123-4567\u{202c}",
    ] {
        assert_eq!(normal(target), "sip:+15551234567@jssip.net", "{target}");
    }
}

#[test]
fn blanks_and_invisible_characters_are_refused_in_names() {
    for (target, found) in [
        ("al ice", ' '),
        ("alice\u{a0}b", '\u{a0}'),
        ("\u{202a}alice\u{202c}", '\u{202a}'),
        ("ali\u{200b}ce", '\u{200b}'),
        ("ali\u{ad}ce@b.com", '\u{ad}'),
        ("sip:ali\u{feff}ce@b.com", '\u{feff}'),
        ("sip:alice@b\u{2060}.com", '\u{2060}'),
        ("sip:alice@ex\u{ad}ample.com", '\u{ad}'),
        ("sip:alice@b.com;x=\u{200f}1", '\u{200f}'),
        ("alice:pass\u{e0001}word@b.com", '\u{e0001}'),
        ("ali%E2%80%8Bce", '\u{200b}'),
        ("a\r\nb", '\r'),
        ("a\0b", '\0'),
        ("a%00b", '\0'),
        ("+49\n30", '\n'),
        ("tel:+1;x=a\u{202e}b", '\u{202e}'),
    ] {
        assert_eq!(refusal(target), TargetError::Invisible(found), "{target:?}");
    }
    let told = refusal("ali\u{200b}ce").to_string();
    assert!(told.contains("U+200B"), "{told}");
    // A blank that was escaped was meant, and a dash is seen.
    assert_eq!(normal("al%20ice"), "sip:al%20ice@jssip.net");
    assert_eq!(normal("a\u{2013}b"), "sip:a%E2%80%93b@jssip.net");
    assert_eq!(normal("\"B\u{200f}\" <sip:bob@b.com>"), "sip:bob@b.com");
}

#[test]
fn a_target_has_32_parameters_at_most() {
    let params = |count: usize| (0..count).map(|n| format!(";p{n}")).collect::<String>();
    let many = format!("sip:a@b.com{}", params(32));
    assert_eq!(normal(&many), many);
    for target in [
        format!("sip:a@b.com{}", params(33)),
        format!("sip:a@b.com{}", ";x=1".repeat(200)),
        format!("tel:+1{}", params(33)),
        format!("tel:+1@b.com{}", params(33)),
    ] {
        assert_eq!(
            refusal(&target),
            TargetError::Uri(UriError::TooMany),
            "{target}"
        );
    }
}

#[test]
fn n5_sips_is_kept() {
    assert_eq!(normal("SIPS:alice@b.com"), "sips:alice@b.com");
    assert_eq!(normal("sips:alice"), "sips:alice@jssip.net");
}

#[test]
fn n6_a_host_without_a_user_is_refused() {
    for target in [
        "sip:b.com",
        "SIPS:b.com",
        "sip:b.com:5060",
        "sip:b.com;transport=tcp",
        "sip:localhost;lr",
        "sip:1.2.3.4",
        "sip:1.2.3.4:5060",
        "sip:[::1]",
        "sip:b.com?subject=x",
    ] {
        assert_eq!(refusal(target), TargetError::HostOnly, "{target}");
    }
}

#[test]
fn n7_foreign_schemes_are_refused_by_name() {
    for target in [
        "im:alice@b.com",
        "XMPP:a@b.com",
        "mailto:a@b.com",
        "urn:x:y",
        "gopher://b.com",
    ] {
        let scheme = target.split(':').next().unwrap().to_lowercase();
        assert_eq!(
            refusal(target),
            TargetError::ForeignScheme { scheme },
            "{target}"
        );
    }
    assert!(
        refusal("http://b.com")
            .to_string()
            .starts_with("http: addresses cannot")
    );
}

#[test]
fn n8_broken_escapes_are_refused_like_any_other_bad_target() {
    for target in ["a%", "%zz", "%C", "sip:a%2@b.com", "a@b.com;x=%", "tel:%"] {
        assert_eq!(
            refusal(target),
            TargetError::Uri(UriError::Escape),
            "{target}"
        );
    }
    // One byte of a character of two is a valid escape of a byte that is no character.
    assert_eq!(normal("%C3"), "sip:%C3@jssip.net");
}

#[test]
fn n9_tel_parameters_move_into_the_user() {
    for (target, uri) in [
        (
            "tel:+1-555;ext=1-2",
            "sip:+1555;ext=12@jssip.net;user=phone",
        ),
        (
            "tel:7042;phone-context=Example.COM",
            "sip:7042;phone-context=example.com@jssip.net;user=phone",
        ),
        (
            "tel:7042;phone-context=+1-201",
            "sip:7042;phone-context=+1201@jssip.net;user=phone",
        ),
        (
            "tel:+1555;tgrp=x;Isub=12%2034",
            "sip:+1555;isub=12%2034;tgrp=x@jssip.net;user=phone",
        ),
        (
            "tel:863-1234;b;phone-context=+1;a=B",
            "sip:8631234;phone-context=+1;a=b;b@jssip.net;user=phone",
        ),
        ("TEL:+1-555-1234", "sip:+15551234@jssip.net"),
        ("tel:*31#", "sip:*31%23@jssip.net"),
        ("tel:+1-555@B.com", "sip:+1555@b.com"),
    ] {
        assert_eq!(normal(target), uri, "{target}");
    }
    for target in [
        "tel:alice",
        "tel:+",
        "tel:++1",
        "tel:ABC",
        "tel:+1?x=y",
        "tel:+1;ext=x",
    ] {
        assert_eq!(refusal(target), TargetError::NotANumber, "{target}");
    }
    for target in ["tel:+1;", "tel:+1;=x", "tel:+1;a;a", "tel:+1;a b=c"] {
        assert_eq!(
            refusal(target),
            TargetError::Uri(UriError::Parameter),
            "{target}"
        );
    }
}

#[test]
fn n10_headers_and_method_are_left_out_and_the_account_s_parameters_do_not_leak() {
    for (target, uri) in [
        (
            "alice@b.com;transport=TCP?Subject=hi",
            "sip:alice@b.com;transport=tcp",
        ),
        ("sip:alice@b.com;Method=INVITE;lr", "sip:alice@b.com;lr"),
        ("sip:alice@b.com?", "sip:alice@b.com"),
        ("sip:alice@b.com;x=1;X=2", "sip:alice@b.com;x=2"),
        ("bob", "sip:bob@jssip.net"),
    ] {
        assert_eq!(normal(target), uri, "{target}");
    }
    // JsSIP would send this to d.com.
    assert_eq!(refusal("sip:a@b.com?to=c@d.com"), TargetError::ManyAts);
    assert_eq!(refusal("sip:a@b.com;x=c@d.com"), TargetError::ManyAts);
}

/// Not a `tel` URI, but written all the same: what follows the `@` is read as in a `sip` URI.
#[test]
fn what_follows_the_host_of_a_number_is_read_as_in_a_sip_uri() {
    assert_eq!(normal("tel:+1-5@b.com;x=1"), "sip:+15@b.com;x=1");
    assert_eq!(normal("tel:+15@b.com;method=BYE?to=c"), "sip:+15@b.com");
    assert_eq!(
        normal("tel:+15;ext=2@bü.com;x"),
        "sip:+15;ext=2@xn--b-eha.com;x;user=phone"
    );
    assert_eq!(refusal("tel:0@a.;a"), TargetError::Uri(UriError::Host));
}

#[test]
fn n11_a_port_out_of_range_is_refused() {
    for target in [
        "alice@b.com:0",
        "alice@b.com:99999",
        "alice@b.com:",
        "sip:alice@b.com:x",
    ] {
        assert_eq!(
            refusal(target),
            TargetError::Uri(UriError::Port),
            "{target}"
        );
    }
}

#[test]
fn n12_an_international_domain_becomes_its_a_labels() {
    assert_eq!(normal("ibc@iñaki.com"), "sip:ibc@xn--iaki-gqa.com");
    assert_eq!(
        normal("sip:a@BÜCHER.example:5070;lr"),
        "sip:a@xn--bcher-kva.example:5070;lr"
    );
    assert_eq!(
        refusal("a@ñ\u{200d}.com"),
        TargetError::Invisible('\u{200d}')
    );
    assert_eq!(refusal("a@ba¿r.com/x"), TargetError::Uri(UriError::Host));
}

#[test]
fn n13_a_name_addr_stands_for_its_uri() {
    for target in [
        "<sip:a@b.com>",
        "\"A\" <sip:a@b.com>",
        "A B <sip:a@b.com>",
        "\"say \\\"<hi>\\\"\"<sip:a@b.com>",
        "Ä < sip:a@b.com >",
    ] {
        assert_eq!(normal(target), "sip:a@b.com", "{target}");
    }
    for target in [
        "a>",
        "\"A <sip:a@b.com>",
        "\"A\" sip:a@b.com>",
        "<<sip:a@b.com>>",
        "\"\\>",
    ] {
        assert_eq!(refusal(target), TargetError::Brackets, "{target}");
    }
    assert_eq!(refusal("A <>"), TargetError::Empty);
    assert_eq!(refusal("<sip:b.com>"), TargetError::HostOnly);
}

#[test]
fn n14_blanks_around_a_target_are_dropped() {
    assert_eq!(normal("  alice\n"), "sip:alice@jssip.net");
    assert_eq!(normal("alice@b.com "), "sip:alice@b.com");
    assert_eq!(refusal(" \t\n"), TargetError::Empty);
}

#[test]
fn n15_a_target_has_a_length_bound() {
    assert_eq!(
        refusal(&"a".repeat(Uri::MAX_LENGTH + 1)),
        TargetError::Uri(UriError::TooLong)
    );
    assert_eq!(
        refusal(&"€".repeat(300)),
        TargetError::Uri(UriError::TooLong)
    );
    assert_eq!(normal(&"a".repeat(900)).len(), 914);
}

proptest! {
    #[test]
    fn what_is_normal_stays_as_it_is(
        target in "(sips?:|tel:)?[a-z0-9+%:;=é -]{0,10}(@[a-z0-9.-]{1,9}(:[0-9]{1,5})?(;[a-z=]{1,5}|;method=a)?(\\?a=b)?)?",
    ) {
        if let Ok(uri) = normalize(&target, &account()) {
            prop_assert_eq!(normalize(uri.as_str(), &account()).unwrap(), uri);
        }
    }

    #[test]
    fn no_target_at_all_makes_it_panic(target in "\\PC{0,80}") {
        let _ = normalize(&target, &account());
    }
}
