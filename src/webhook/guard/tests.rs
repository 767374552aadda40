//! Tricks to reach what should not be reached, and what must stay reachable. Nothing here is sent.

use super::*;

/// URLs that lead, one way or another, to an address that is not public.
const TRICKS: &[&str] = &[
    // Loopback, plainly.
    "http://127.0.0.1/",
    "https://127.0.0.1:8443/hook",
    "http://127.255.255.254/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]:8080/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://app.localhost/",
    "http://loc\u{ad}alhost/",
    // IPv4 in other clothes.
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0x7F.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.0.0.1./",
    "http://%31%32%37.0.0.1/",
    "http://127%2e0%2e0%2e1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://127.0.\t0.1/",
    "http:\\\\127.0.0.1\\hook",
    "http:127.0.0.1",
    "  http://127.0.0.1/  ",
    "hTTp://127.0.0.1/",
    // Unspecified.
    "http://0/",
    "http://0.0.0.0/",
    "http://0.1.2.3/",
    "http://[::]/",
    // Link-local, and the metadata of clouds.
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xA9FEA9FE/",
    "http://[fe80::1]/",
    "http://[febf::1]/",
    "http://[fd00:ec2::254]/",
    "http://100.100.100.200/",
    "http://192.0.0.192/",
    "http://168.63.129.16/",
    // Private and shared.
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://192.168.257/",
    "http://100.64.0.1/",
    "http://100.127.255.255/",
    "http://[fc00::1]/",
    "http://[fdff:ffff::1]/",
    // Documentation, benchmarks, protocols, multicast, reserved.
    "http://192.0.2.1/",
    "http://198.51.100.7/",
    "http://203.0.113.9/",
    "http://198.18.0.1/",
    "http://198.19.255.255/",
    "http://192.0.0.1/",
    "http://192.88.99.1/",
    "http://224.0.0.1/",
    "http://239.255.255.250:1900/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[2001:2::1]/",
    "http://[2001:20::1]/",
    "http://[ff02::1]/",
    "http://[100::1]/",
    "http://[fec0::1]/",
    "http://[5f00::1]/",
    "http://[4000::1]/",
    // IPv4 within IPv6: mapped, compatible, translated, 6to4, Teredo.
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b::10.1.2.3]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:c0a8:1::1]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
];

#[test]
fn no_trick_gets_through() {
    let guard = AddressGuard::default();
    assert!(TRICKS.len() >= 60);
    for trick in TRICKS {
        let refusal = guard.check_url(trick);
        assert!(
            matches!(refusal, Err(UrlRefused::Address(_))),
            "{trick}: {refusal:?}"
        );
    }
}

#[test]
fn what_is_no_url_for_a_webhook_is_refused() {
    let guard = AddressGuard::default();
    let long = format!("https://app.example/{}", "a".repeat(2_048));
    for (text, refusal) in [
        ("", UrlRefused::Form),
        ("app.example/hook", UrlRefused::Form),
        ("/hook", UrlRefused::Form),
        ("//app.example/hook", UrlRefused::Form),
        ("https://", UrlRefused::Form),
        ("https://app.example:99999/", UrlRefused::Form),
        ("https://app example/", UrlRefused::Form),
        ("https://[::1/", UrlRefused::Form),
        ("https://[fe80::1%25eth0]/", UrlRefused::Form),
        ("http://1.2.3.256/", UrlRefused::Form),
        ("http://0x100000000/", UrlRefused::Form),
        (&*long, UrlRefused::Form),
        ("ftp://app.example/", UrlRefused::Form),
        ("file:///etc/passwd", UrlRefused::Form),
        ("gopher://127.0.0.1:25/", UrlRefused::Form),
        ("data:text/plain,hello", UrlRefused::Form),
        ("javascript:alert(1)", UrlRefused::Form),
        ("unix:/run/docker.sock", UrlRefused::Form),
        ("ws://app.example/", UrlRefused::Form),
        ("https://user@app.example/", UrlRefused::UserInfo),
        ("https://user:password@app.example/", UrlRefused::UserInfo),
        ("https://:password@app.example/", UrlRefused::UserInfo),
        ("https://app.example@127.0.0.1/", UrlRefused::UserInfo),
        ("https://app.example/#part", UrlRefused::Fragment),
        ("https://app.example:0/", UrlRefused::Port),
    ] {
        assert_eq!(guard.check_url(text), Err(refusal), "{text}");
    }
}

#[test]
fn what_can_never_be_posted_to_is_refused() {
    let long_label = format!("http://{}.example/", "a".repeat(64));
    let long_name = format!("http://{}example/", "a.".repeat(130));
    for (text, refusal) in [
        ("http://{}", UrlRefused::Host),
        ("https://a*b.example/", UrlRefused::Host),
        ("https://*.example/", UrlRefused::Host),
        ("http://a!b/", UrlRefused::Host),
        ("http://a..example/", UrlRefused::Host),
        ("http://.example/", UrlRefused::Host),
        ("http://example../", UrlRefused::Host),
        ("http://./", UrlRefused::Host),
        ("http://$(host)/", UrlRefused::Host),
        (&long_label, UrlRefused::Host),
        (&long_name, UrlRefused::Host),
        ("http://a b/", UrlRefused::Form),
        ("http://app.ex\nample/", UrlRefused::Form),
        ("https://app.example/\u{0}", UrlRefused::Form),
        ("https://app.example/\t", UrlRefused::Form),
        ("\nhttps://app.example/", UrlRefused::Form),
    ] {
        let refused = AddressGuard::default().check_url(text);
        assert_eq!(refused, Err(refusal), "{text:?}");
    }
}

#[test]
fn whatever_is_taken_can_be_posted_to() {
    let rest = "{}|^`\"<>'[]\\~!$&()*+,;=:@%zz é😀";
    let url = format!("https://a_b.bücher.example./{rest}?{rest}");
    let url = AddressGuard::default().check_url(&url).unwrap();
    assert!(
        reqwest::Request::try_from(http::Request::post(url.as_str()).body("").unwrap()).is_ok()
    );
    let name = rustls_pki_types::ServerName::try_from(url.domain().unwrap_or_default());
    assert!(name.is_ok());
}

#[test]
fn what_is_public_is_taken() {
    let guard = AddressGuard::default();
    for url in [
        "https://app.example/hook?a=b",
        "http://app.example:8080",
        "https://bücher.example/",
        "https://not-localhost/",
        "https://localhost.example/",
        "http://1.1.1.1/",
        "http://9.255.255.255/",
        "http://11.0.0.0/",
        "http://100.63.255.255/",
        "http://100.128.0.0/",
        "http://126.255.255.255/",
        "http://128.0.0.0/",
        "http://169.253.255.255/",
        "http://172.15.255.255/",
        "http://172.32.0.0/",
        "http://192.167.255.255/",
        "http://198.17.255.255/",
        "http://198.20.0.0/",
        "http://223.255.255.255/",
        "http://[2606:4700:4700::1111]/",
        "http://[2a00:1450:4001::1]/",
        "http://[2001:200::1]/",
        "http://[64:ff9b::1.1.1.1]/",
        "http://[::ffff:1.1.1.1]/",
    ] {
        assert!(guard.check_url(url).is_ok(), "{url}");
    }
}

#[test]
fn allowed_networks_open_exactly_themselves() {
    let networks = ["127.0.0.0/8", "10.1.0.0/16", "fd12::/16"];
    let guard = AddressGuard::new(networks.map(|text| text.parse().unwrap()).to_vec());
    for url in [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
        "http://10.1.2.3/",
        "http://[64:ff9b::10.1.2.3]/",
        "http://[fd12::1]/",
    ] {
        assert!(guard.check_url(url).is_ok(), "{url}");
    }
    for url in [
        "http://[::1]/",
        "http://10.2.0.1/",
        "http://[fd13::1]/",
        "http://169.254.169.254/",
        "http://[2002:7f00:1::]/",
        "http://[::127.0.0.1]/",
    ] {
        assert!(guard.check_url(url).is_err(), "{url}");
    }
}

#[test]
fn a_refusal_says_which_address_and_why() {
    let refusal = AddressGuard::default()
        .check_url("http://0x7f.1/")
        .unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "127.0.0.1 is loopback (RFC 1122); webhooks.allowed_networks can allow networks that are \
         not public"
    );
}

#[test]
fn every_address_of_the_table_is_refused_at_both_its_ends() {
    let guard = AddressGuard::default();
    for (network, _) in SPECIAL_V4 {
        for address in [network.network(), network.broadcast()] {
            assert!(guard.check_address(address.into()).is_err(), "{address}");
            let mapped = address.to_ipv6_mapped();
            assert!(guard.check_address(mapped.into()).is_err(), "{mapped}");
        }
    }
    for (network, _) in SPECIAL_V6 {
        for address in [network.network(), network.broadcast()] {
            assert!(guard.check_address(address.into()).is_err(), "{address}");
        }
    }
}
