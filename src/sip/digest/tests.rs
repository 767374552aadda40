//! Digest authentication, case by case: the catalogue, the examples of the RFCs, and a server.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::algorithm::Once;
use super::*;

const PASSWORD: &str = "wonderland 🐇";

fn alice() -> Authenticator {
    answering(Credentials::password("alice", PASSWORD))
}

/// A user agent that the realms of these tests belong to.
fn answering(credentials: Credentials) -> Authenticator {
    let realms = [
        "r",
        "r é",
        "one",
        "two",
        "three",
        "s",
        "p",
        "a b",
        "a \"b\", \\c",
        "testrealm@host.com",
        "http-auth@example.org",
        "api@example.org",
    ];
    Authenticator::new(Some(credentials.also_for(realms)), "example.com")
}

fn message() -> Signed<'static> {
    Signed {
        method: "MESSAGE",
        uri: "sip:bob@b.com",
        body: b"",
    }
}

/// One request on its way.
struct Request<'a> {
    authenticator: &'a mut Authenticator,
    rounds: Rounds,
    signed: Signed<'a>,
}

impl<'a> Request<'a> {
    fn new(authenticator: &'a mut Authenticator) -> Self {
        Self::signing(authenticator, message())
    }

    fn signing(authenticator: &'a mut Authenticator, signed: Signed<'a>) -> Self {
        Self {
            authenticator,
            rounds: Rounds::default(),
            signed,
        }
    }

    fn server(&mut self, values: &[&str]) -> Result<(), Refusal> {
        let values = values.iter().map(|value| value.as_bytes());
        self.authenticator
            .handle_challenge(&mut self.rounds, self.signed, values, [])
    }

    fn proxy(&mut self, values: &[&str]) -> Result<(), Refusal> {
        let values = values.iter().map(|value| value.as_bytes());
        self.authenticator
            .handle_challenge(&mut self.rounds, self.signed, [], values)
    }

    fn lines(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        self.authenticator
            .authorize(&mut self.rounds, self.signed, "c0ffee", &mut out);
        String::from_utf8(out)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn line(&mut self) -> String {
        let lines = self.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].clone()
    }

    fn info(&mut self, value: &str) {
        self.authenticator
            .handle_info(&self.rounds, [value.as_bytes()], []);
    }
}

/// Computes the answer anew, from nothing but the line and the password.
fn is_right(line: &str, signed: Signed<'_>) -> bool {
    let (_, value) = line.split_once(": ").unwrap();
    let answer = challenge::parse_params(value.as_bytes()).remove(0);
    let find = |name: &str| answer.find(name).unwrap_or_default();
    let algorithm = answer
        .find("algorithm")
        .map_or(Algorithm::MD5, |name| Algorithm::parse(name).unwrap());
    let hash = algorithm.hash;
    let ha1 = hash.of(&[find("username"), find("realm"), PASSWORD.as_bytes()]);
    let qop = answer.find("qop").map(|qop| Qop::parse(qop).unwrap());
    let once = Once {
        nonce: find("nonce"),
        nonce_count: find("nc"),
        cnonce: find("cnonce"),
    };
    let expected = algorithm::response(algorithm, &ha1, qop, once, signed);
    expected.as_bytes() == find("response")
}

fn response_of(
    credentials: Credentials,
    challenge: &str,
    signed: Signed<'_>,
    cnonce: &str,
) -> String {
    let mut authenticator = answering(credentials);
    let mut request = Request::signing(&mut authenticator, signed);
    request.server(&[challenge]).unwrap();
    let mut out = Vec::new();
    let rounds = &mut request.rounds;
    request
        .authenticator
        .authorize(rounds, signed, cnonce, &mut out);
    let line = String::from_utf8(out).unwrap();
    let (_, rest) = line.split_once("response=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn a1_the_example_of_rfc_2617_3_5_is_answered() {
    let credentials = Credentials::password("Mufasa", "Circle Of Life");
    let challenge = r#"Digest realm="testrealm@host.com", qop="auth,auth-int",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
    let signed = Signed {
        method: "GET",
        uri: "/dir/index.html",
        body: b"",
    };
    let response = response_of(credentials, challenge, signed, "0a4f113b");
    assert_eq!(response, "6629fae49393a05397450978507c4ef1");
}

/// The values of JsSIP's own tests.
#[test]
fn a1_without_qop_and_with_auth_int_the_answers_are_those_of_jssip() {
    for (qop, body, expected) in [
        ("", "", "f99e05f591f147facbc94ff23b4b1dee"),
        ("auth", "", "a69b9c2ea0dea1437a21df6ddc9b05e4"),
        ("auth-int", "", "82b3cab8b1c4df404434db6a0581650c"),
        ("auth-int", "TEST BODY", "7bf0e9de3fbb5da121974509d617f532"),
    ] {
        let challenge = format!(
            r#"Digest realm="testrealm@host.com", qop="{qop}",
            nonce="5a071f75353f667787615249c62dcc7b15a4828f""#
        );
        let credentials = Credentials::password("testuser", "testpassword");
        let signed = Signed {
            method: "REGISTER",
            uri: "sip:testrealm@host.com",
            body: body.as_bytes(),
        };
        let response = response_of(credentials, &challenge, signed, "0a4f113b");
        assert_eq!(response, expected, "{qop} {body}");
    }
}

#[test]
fn a2_the_examples_of_rfc_7616_3_9_1_are_answered() {
    let challenge = |algorithm: &str| {
        format!(
            r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm},
            nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
        )
    };
    let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    let signed = Signed {
        method: "GET",
        uri: "/dir/index.html",
        body: b"",
    };
    for (algorithm, expected) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        (
            "SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let credentials = Credentials::password("Mufasa", "Circle of Life");
        let response = response_of(credentials, &challenge(algorithm), signed, cnonce);
        assert_eq!(response, expected, "{algorithm}");
    }
}

/// With the values of erratum 4897: the printed ones were made with a truncated SHA-512.
#[test]
fn a2_the_example_of_rfc_7616_3_9_2_is_answered_with_a_hashed_user_name() {
    let mut authenticator = answering(Credentials::password("Jäsøn Doe", "Secret, or not?"));
    let signed = Signed {
        method: "GET",
        uri: "/doe.json",
        body: b"",
    };
    let mut request = Request::signing(&mut authenticator, signed);
    let challenge = r#"Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256,
        nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
        opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true"#;
    request.server(&[challenge]).unwrap();
    let mut out = Vec::new();
    let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
    request
        .authenticator
        .authorize(&mut request.rounds, signed, cnonce, &mut out);
    let line = String::from_utf8(out).unwrap();
    let username = "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b";
    let response = "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5";
    assert!(
        line.contains(&format!("username=\"{username}\", userhash=true")),
        "{line}"
    );
    assert!(line.contains(&format!("response=\"{response}\"")), "{line}");
}

#[test]
fn a2_every_algorithm_and_protection_is_answered_so_that_a_server_agrees() {
    let names = [
        "MD5",
        "SHA-256",
        "SHA-512-256",
        "md5-SESS",
        "SHA-256-sess",
        "SHA-512-256-sess",
    ];
    for algorithm in names {
        for qop in ["", "auth", "auth-int", "auth,auth-int"] {
            for body in [&b""[..], "Grüße 🐇".as_bytes()] {
                let signed = Signed { body, ..message() };
                let mut authenticator = alice();
                let mut request = Request::signing(&mut authenticator, signed);
                let challenge =
                    format!(r#"Digest realm="r é", nonce="n", algorithm={algorithm}, qop="{qop}""#);
                request.server(&[&challenge]).unwrap();
                let line = request.line();
                assert!(is_right(&line, signed), "{line}");
                // A second request with the same nonce, in the same session.
                let line = Request::signing(&mut authenticator, signed).line();
                assert!(is_right(&line, signed), "{line}");
            }
        }
    }
}

#[test]
fn a3_of_several_challenges_the_strongest_is_answered_in_any_order() {
    let challenge = |algorithm: &str| {
        format!(r#"Digest realm="r", nonce="{algorithm}", algorithm={algorithm}, qop="auth""#)
    };
    let (md5, sha) = (&challenge("MD5"), &challenge("SHA-256"));
    let (best, unknown) = (&challenge("SHA-512-256"), &challenge("SHA-3"));
    let one_line = format!("{md5}, Basic realm=\"r\", {best}, {sha}");
    for values in [
        vec![md5, best, sha],
        vec![unknown, best, md5],
        vec![&one_line],
    ] {
        let values: Vec<&str> = values.into_iter().map(String::as_str).collect();
        let mut authenticator = alice();
        let mut request = Request::new(&mut authenticator);
        request.server(&values).unwrap();
        assert!(request.line().contains("nonce=\"SHA-512-256\""));
    }
}

#[test]
fn a4_an_unknown_algorithm_or_protection_alone_is_refused_at_once() {
    for challenge in [
        r#"Digest realm="r", nonce="n", algorithm=SHA-3"#,
        r#"Digest realm="r", nonce="n", algorithm="""#,
        r#"Digest realm="r", nonce="n", qop="auth-conf""#,
    ] {
        let mut authenticator = alice();
        let mut request = Request::new(&mut authenticator);
        assert_eq!(
            request.server(&[challenge]),
            Err(Refusal::Unsupported),
            "{challenge}"
        );
        assert!(request.lines().is_empty());
    }
}

#[test]
fn a5_two_proxies_and_a_server_are_all_answered() {
    let mut authenticator = alice();
    let mut request = Request::new(&mut authenticator);
    request
        .proxy(&[r#"Digest realm="one", nonce="1", qop="auth""#])
        .unwrap();
    request
        .proxy(&[r#"Digest realm="two", nonce="2", qop="auth""#])
        .unwrap();
    request
        .server(&[r#"Digest realm="one", nonce="3", qop="auth""#])
        .unwrap();
    let lines = request.lines();
    let proxies = lines
        .iter()
        .filter(|line| line.starts_with("Proxy-Authorization: "))
        .count();
    assert_eq!((lines.len(), proxies), (3, 2));
    assert!(lines.iter().all(|line| is_right(line, message())));
}

#[test]
fn a5_a_forking_proxy_may_pass_on_both_kinds_in_one_response() {
    let mut authenticator = alice();
    let mut rounds = Rounds::default();
    let server = [&br#"Digest realm="s", nonce="1""#[..]];
    let proxy = [&br#"Digest realm="p", nonce="2""#[..]];
    authenticator
        .handle_challenge(&mut rounds, message(), server, proxy)
        .unwrap();
    assert_eq!(Request::new(&mut authenticator).lines().len(), 2);
}

#[test]
fn a6_refused_credentials_are_not_sent_again_without_stale() {
    let mut authenticator = alice();
    let mut request = Request::new(&mut authenticator);
    request
        .server(&[r#"Digest realm="r", nonce="1", qop="auth""#])
        .unwrap();
    request.line();
    request
        .server(&[r#"Digest realm="r", nonce="2", qop="auth", stale=true"#])
        .unwrap();
    assert!(request.line().contains("nonce=\"2\""));
    let refusal = request.server(&[r#"Digest realm="r", nonce="3", qop="auth""#]);
    assert_eq!(refusal, Err(Refusal::Rejected));
    // And not ahead of the next request either.
    assert!(Request::new(&mut authenticator).lines().is_empty());
}

#[test]
fn a6_a_request_signed_ahead_has_a_second_chance_when_the_nonce_is_forgotten() {
    let mut authenticator = alice();
    Request::new(&mut authenticator)
        .server(&[r#"Digest realm="r", nonce="1""#])
        .unwrap();

    let mut request = Request::new(&mut authenticator);
    request.line();
    assert_eq!(request.server(&[r#"Digest realm="r", nonce="2""#]), Ok(()));
    request.line();
    assert_eq!(
        request.server(&[r#"Digest realm="r", nonce="3""#]),
        Err(Refusal::Rejected)
    );

    Request::new(&mut authenticator)
        .server(&[r#"Digest realm="r", nonce="4""#])
        .unwrap();
    let mut request = Request::new(&mut authenticator);
    request.line();
    assert_eq!(
        request.server(&[r#"Digest realm="r", nonce="4""#]),
        Err(Refusal::Rejected)
    );
}

/// Two requests are in flight when the nonce expires, and the server, like Kamailio, does not say
/// `stale`: both are challenged with the next nonce, which the second one finds known already.
#[test]
fn a6_of_many_requests_that_meet_an_expired_nonce_every_one_is_answered() {
    let mut authenticator = alice();
    Request::new(&mut authenticator)
        .server(&[r#"Digest realm="r", nonce="1", qop="auth""#])
        .unwrap();
    let mut in_flight = [Rounds::default(); 3];
    for rounds in &mut in_flight {
        authenticator.authorize(rounds, message(), "c", &mut Vec::new());
    }
    for (number, rounds) in in_flight.iter_mut().enumerate() {
        let challenge = [&br#"Digest realm="r", nonce="2", qop="auth""#[..]];
        assert_eq!(
            authenticator.handle_challenge(rounds, message(), challenge, []),
            Ok(())
        );
        let mut out = Vec::new();
        authenticator.authorize(rounds, message(), "c", &mut out);
        let line = String::from_utf8(out).unwrap();
        assert!(line.contains("nonce=\"2\""), "{line}");
        assert!(
            line.contains(&format!("nc=0000000{}", number + 1)),
            "{line}"
        );
    }
    // Once asked, a request is let in or refused like any other.
    let challenge = [&br#"Digest realm="r", nonce="3", qop="auth""#[..]];
    assert_eq!(
        authenticator.handle_challenge(&mut in_flight[0], message(), challenge, []),
        Err(Refusal::Rejected)
    );
}

#[test]
fn a6_the_count_begins_anew_with_a_new_nonce() {
    let mut authenticator = alice();
    let mut request = Request::new(&mut authenticator);
    request
        .server(&[r#"Digest realm="r", nonce="1", qop="auth""#])
        .unwrap();
    assert!(request.line().contains("nc=00000001"));
    request
        .server(&[r#"Digest realm="r", nonce="2", qop="auth", stale=true"#])
        .unwrap();
    assert!(request.line().contains("nc=00000001"));
}

#[test]
fn a7_a_nonce_is_used_again_with_a_higher_count() {
    let mut authenticator = alice();
    Request::new(&mut authenticator)
        .server(&[r#"Digest realm="r", nonce="1", qop="auth""#])
        .unwrap();
    for count in 1..=17 {
        let line = Request::new(&mut authenticator).line();
        assert!(
            line.contains(&format!("nc={count:08x}")) && is_right(&line, message()),
            "{line}"
        );
    }
    // The same nonce, given to a request that was sent meanwhile, is no reason to begin anew.
    let mut request = Request::new(&mut authenticator);
    request
        .server(&[r#"Digest realm="r", nonce="1", qop="auth""#])
        .unwrap();
    assert!(request.line().contains("nc=00000012"));
}

#[test]
fn a7_the_next_nonce_of_a_server_is_taken() {
    let mut authenticator = alice();
    let mut request = Request::new(&mut authenticator);
    request
        .server(&[r#"Digest realm="r", nonce="1", qop="auth""#])
        .unwrap();
    request.line();
    request.info(r#"qop=auth, rspauth="abc", nextnonce = "2""#);
    let line = Request::new(&mut authenticator).line();
    assert!(
        line.contains("nonce=\"2\"") && line.contains("nc=00000001"),
        "{line}"
    );
    assert!(is_right(&line, message()));
}

#[test]
fn a7_a_next_nonce_that_would_make_every_message_longer_is_not_taken() {
    let mut authenticator = alice();
    let mut request = Request::new(&mut authenticator);
    request
        .server(&[r#"Digest realm="r", nonce="1", qop="auth""#])
        .unwrap();
    request.line();
    request.info(&format!(r#"nextnonce="{}""#, r#"\""#.repeat(600)));
    let line = Request::new(&mut authenticator).line();
    assert!(line.contains("nonce=\"1\""), "{line}");
}

#[test]
fn a7_a_session_keeps_its_cnonce_as_long_as_its_nonce() {
    let mut authenticator = alice();
    let mut request = Request::new(&mut authenticator);
    request
        .server(&[r#"Digest realm="r", nonce="1", qop=auth, algorithm=MD5-sess"#])
        .unwrap();
    request.line();
    let mut out = Vec::new();
    authenticator.authorize(&mut Rounds::default(), message(), "another", &mut out);
    assert!(
        String::from_utf8(out)
            .unwrap()
            .contains("cnonce=\"c0ffee\"")
    );
}

#[test]
fn a7_what_a_server_was_told_is_not_shown_to_others() {
    let register = Signed {
        method: "REGISTER",
        uri: "sip:b.com",
        body: b"",
    };
    let elsewhere = Signed {
        uri: "sip:bob@c.com",
        ..message()
    };
    let mut authenticator = alice();
    Request::signing(&mut authenticator, register)
        .server(&[r#"Digest realm="r", nonce="1""#])
        .unwrap();
    assert!(Request::new(&mut authenticator).lines().is_empty());
    Request::new(&mut authenticator)
        .server(&[r#"Digest realm="r", nonce="2""#])
        .unwrap();
    assert!(
        Request::signing(&mut authenticator, elsewhere)
            .lines()
            .is_empty()
    );
    assert!(
        Request::signing(&mut authenticator, register)
            .line()
            .contains("nonce=\"1\"")
    );
    let same_host = Signed {
        uri: "sip:carol@B.com;x=y",
        ..message()
    };
    assert!(
        Request::signing(&mut authenticator, same_host)
            .line()
            .contains("nonce=\"2\"")
    );
}

#[test]
fn a8_odd_spellings_of_a_challenge_say_the_same() {
    let plain = r#"Digest realm="r", nonce="n", qop="auth", algorithm=MD5, stale=true"#;
    let read = |value: &str| challenge::parse(value.as_bytes()).collect::<Vec<_>>();
    for odd in [
        r#"digest  Realm = "r",nonce="n" , qop=auth,ALGORITHM="md5",stale="TRUE","#,
        "Digest\r\n realm=\"r\",\r\n\tnonce=\"n\", qop=\"auth-int , auth\", algorithm=md5, stale=True, x=y",
        r#"DIGEST nonce=n, realm=r, qop=auth-int,auth, algorithm=MD5, stale=true, domain="a,b=c""#,
        r#",Digest realm="r" nonce="n"; qop="auth" algorithm=MD5 stale=true charset=UTF-8,,"#,
    ] {
        assert_eq!(read(odd), read(plain), "{odd}");
    }
}

#[test]
fn a9_quotes_and_backslashes_in_realm_and_user_name_survive() {
    let mut authenticator = answering(Credentials::password(r#"al"i\ce"#, PASSWORD));
    let mut request = Request::new(&mut authenticator);
    let challenge = r#"Digest realm="a \"b\", \\c", nonce="n", qop="auth", opaque="""#;
    request.server(&[challenge]).unwrap();
    let line = request.line();
    assert!(
        line.contains(r#"username="al\"i\\ce", realm="a \"b\", \\c""#),
        "{line}"
    );
    assert!(
        line.contains(r#", opaque="","#) && is_right(&line, message()),
        "{line}"
    );
}

#[test]
fn a9_what_would_break_a_line_is_not_sent_back() {
    let mut authenticator = alice();
    let mut request = Request::new(&mut authenticator);
    request
        .server(&["Digest realm=\"a\r\n b\", nonce=\"n\""])
        .unwrap();
    assert!(request.line().contains("realm=\"a b\""));
    for challenge in [
        "Digest realm=\"r\", nonce=\"a\\\r\\\nX: y\"",
        "Digest realm=\"\0\", nonce=n",
    ] {
        assert_eq!(
            request.server(&[challenge]),
            Err(Refusal::Unsupported),
            "{challenge:?}"
        );
    }
}

#[test]
fn a11_the_password_survives_a_foreign_realm() {
    let mut authenticator = alice();
    let mut request = Request::new(&mut authenticator);
    for realm in ["one", "two", "three"] {
        let challenge = format!(r#"Digest realm="{realm}", nonce="n""#);
        request.server(&[&challenge]).unwrap();
    }
    assert!(request.lines().iter().all(|line| is_right(line, message())));
}

#[test]
fn a12_what_is_no_digest_challenge_is_refused_at_once() {
    for (values, refusal) in [
        (vec![r#"Basic realm="r""#], Refusal::Unsupported),
        (vec!["Bearer", "Negotiate abc=="], Refusal::Unsupported),
        (vec![r#"Digest realm="r""#], Refusal::Unsupported),
        (vec![r#"Digest realm="r", nonce="""#], Refusal::Unsupported),
        (vec![r#"Digest nonce="n""#], Refusal::Unsupported),
        (vec![""], Refusal::NoChallenge),
        (vec![], Refusal::NoChallenge),
    ] {
        let mut authenticator = alice();
        let mut request = Request::new(&mut authenticator);
        assert_eq!(request.server(&values), Err(refusal), "{values:?}");
        assert!(request.lines().is_empty());
    }
    let mut nobody = Authenticator::new(None, "example.com");
    let mut request = Request::new(&mut nobody);
    let challenge = r#"Digest realm="r", nonce="n""#;
    assert_eq!(request.server(&[challenge]), Err(Refusal::NoCredentials));
}

#[test]
fn a12_an_ha1_answers_its_realm_and_hash_only() {
    let hex = Hash::Md5.of(&[b"alice", b"r", PASSWORD.as_bytes()]);
    let ha1 = std::str::from_utf8(hex.as_bytes()).unwrap();
    let credentials = Credentials::ha1("alice", "r", &ha1.to_uppercase()).unwrap();
    let mut authenticator = answering(credentials);
    let mut request = Request::new(&mut authenticator);
    let sha = r#"Digest realm="r", nonce="1", algorithm=SHA-256"#;
    let elsewhere = r#"Digest realm="x", nonce="2", algorithm=MD5"#;
    assert_eq!(
        request.server(&[sha, elsewhere]),
        Err(Refusal::ForeignRealm)
    );
    request
        .server(&[sha, elsewhere, r#"Digest realm="r", nonce="3""#])
        .unwrap();
    let line = request.line();
    assert!(
        line.contains("nonce=\"3\"") && is_right(&line, message()),
        "{line}"
    );
    assert!(Credentials::ha1("alice", "r", "abc").is_err());
    assert!(Credentials::ha1("alice", "r", &"x".repeat(32)).is_err());
}

#[test]
fn a13_no_request_is_challenged_for_ever_and_nothing_grows() {
    let mut authenticator = alice();
    let mut request = Request::new(&mut authenticator);
    let outcomes: Vec<_> = (0..20)
        .map(|nonce| {
            request.server(&[&format!(r#"Digest realm="r", nonce="{nonce}", stale=true"#)])
        })
        .collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 6);
    assert_eq!(outcomes.last(), Some(&Err(Refusal::TooManyRounds)));

    for realm in 0..100 {
        let register = Signed {
            method: "REGISTER",
            ..message()
        };
        let mut request = Request::signing(&mut authenticator, register);
        request
            .proxy(&[&format!(r#"Digest realm="{realm}", nonce="n""#)])
            .unwrap();
        let lines = request.lines();
        assert!(
            lines.len() <= 4 && lines[0].contains(&format!("realm=\"{realm}\"")),
            "{lines:?}"
        );
    }
}

fn register() -> Signed<'static> {
    Signed {
        method: "REGISTER",
        uri: "sip:example.com",
        body: b"",
    }
}

fn stranger() -> Authenticator {
    Authenticator::new(
        Some(Credentials::password("alice", PASSWORD)),
        "example.com",
    )
}

#[test]
fn a15_a_message_is_not_signed_for_a_realm_that_only_its_way_has_named() {
    let mut authenticator = stranger();
    let mallory = r#"Digest realm="mallory", nonce="chosen", algorithm=MD5"#;
    let refused = Err(Refusal::UntrustedRealm {
        realm: "mallory".to_owned(),
    });
    for _ in 0..2 {
        let mut request = Request::new(&mut authenticator);
        assert_eq!(request.server(&[mallory]), refused);
        assert_eq!(request.proxy(&[mallory]), refused);
        assert!(request.lines().is_empty());
    }
    // Beside one that may be answered it is left out.
    let mut request = Request::new(&mut authenticator);
    let ours = r#"Digest realm="Example.COM", nonce="n""#;
    request.server(&[mallory, ours]).unwrap();
    assert!(request.line().contains("realm=\"Example.COM\""));
    // Every recipient knows the domain: no other message is signed for what one of them asked.
    assert!(Request::new(&mut authenticator).lines().is_empty());
    let long = format!(r#"Digest realm="{}", nonce="n""#, "x".repeat(2000));
    let refusal = Request::new(&mut authenticator).server(&[&long]);
    assert!(refusal.unwrap_err().to_string().len() < 300);
}

#[test]
fn a15_the_registrar_s_realm_the_domain_and_those_configured_are_answered() {
    let challenge = |realm: &str| format!(r#"Digest realm="{realm}", nonce="n""#);
    let mut authenticator = stranger();
    let is_refused = |authenticator: &mut Authenticator, realm: &str| {
        Request::new(authenticator)
            .server(&[&challenge(realm)])
            .is_err()
    };
    assert!(is_refused(&mut authenticator, "asterisk"));
    Request::signing(&mut authenticator, register())
        .server(&[&challenge("asterisk")])
        .unwrap();
    assert!(!is_refused(&mut authenticator, "asterisk"));
    assert!(is_refused(&mut authenticator, "Asterisk"));
    assert!(!is_refused(&mut authenticator, "example.com"));
    assert!(is_refused(&mut authenticator, "example.com.evil"));

    let credentials = Credentials::password("alice", PASSWORD).also_for(["edge"]);
    let mut authenticator = Authenticator::new(Some(credentials), "example.com");
    assert!(!is_refused(&mut authenticator, "edge"));
    let credentials = Credentials::password("alice", PASSWORD).only_for("edge");
    let mut authenticator = Authenticator::new(Some(credentials), "example.com");
    assert!(!is_refused(&mut authenticator, "edge"));
    assert!(is_refused(&mut authenticator, "example.com"));
    let register = Request::signing(&mut authenticator, register()).server(&[&challenge("x")]);
    assert_eq!(register, Err(Refusal::ForeignRealm));
}

#[test]
fn a16_no_algorithm_is_weaker_than_the_realm_has_used() {
    let challenge = |algorithm: &str| {
        format!(r#"Digest realm="example.com", nonce="{algorithm}", algorithm={algorithm}"#)
    };
    let mut authenticator = stranger();
    let mut early = Request::new(&mut authenticator);
    early.server(&[&challenge("MD5")]).unwrap();
    Request::signing(&mut authenticator, register())
        .server(&[&challenge("MD5"), &challenge("SHA-256")])
        .unwrap();
    // What was signed ahead with the weaker one is not any more.
    assert!(Request::new(&mut authenticator).lines().is_empty());
    let mut request = Request::new(&mut authenticator);
    for weak in [challenge("MD5"), challenge("MD5-sess")] {
        assert_eq!(request.server(&[&weak]), Err(Refusal::Weaker));
        assert_eq!(request.proxy(&[&weak]), Err(Refusal::Weaker));
    }
    assert!(request.lines().is_empty());
    // A recipient cannot raise it above what the registrar asked for, and lock out its proxy.
    let mut request = Request::new(&mut authenticator);
    request.server(&[&challenge("SHA-512-256")]).unwrap();
    let proxy = Request::new(&mut authenticator).server(&[&challenge("SHA-256")]);
    assert_eq!(proxy, Ok(()));
    // The registrar may go back: what it asks for is what the realm uses.
    Request::signing(&mut authenticator, register())
        .server(&[&challenge("MD5")])
        .unwrap();
    let mut request = Request::new(&mut authenticator);
    assert_eq!(request.server(&[&challenge("MD5")]), Ok(()));
}

#[test]
fn a16_a_realm_that_the_registrar_has_not_named_gets_no_weaker_answer_either() {
    let challenge = |algorithm: &str| {
        format!(r#"Digest realm="example.com", nonce="{algorithm}", algorithm={algorithm}"#)
    };
    let mut authenticator = stranger();
    let mut request = Request::new(&mut authenticator);
    request.server(&[&challenge("SHA-256")]).unwrap();
    let weaker = Request::new(&mut authenticator).server(&[&challenge("MD5")]);
    assert_eq!(weaker, Err(Refusal::Weaker));
}

#[test]
fn a15_a_challenge_of_a_recipient_makes_no_other_request_longer() {
    let long = r#"\\"#.repeat(900);
    let realms = ["example.com", "Example.com", "eXample.com"];
    let challenges = realms.map(|realm| {
        format!(r#"Digest realm="{realm}", nonce="{long}", opaque="{long}", qop="auth""#)
    });
    let mut authenticator = stranger();
    let ours = r#"Digest realm="example.com", nonce="ours""#;
    let mut registering = Request::signing(&mut authenticator, register());
    registering.server(&[ours]).unwrap();
    registering.lines();

    let mut challenged = Request::new(&mut authenticator);
    challenged
        .proxy(&challenges.each_ref().map(String::as_str))
        .unwrap();
    assert_eq!(challenged.lines().len(), 3);
    assert!(Request::new(&mut authenticator).lines().is_empty());
    let registering = Request::signing(&mut authenticator, register()).line();
    assert!(registering.contains("nonce=\"ours\""));

    // A short one of a realm of ours is signed ahead, but no REGISTER carries it.
    let mut challenged = Request::new(&mut authenticator);
    challenged
        .proxy(&[r#"Digest realm="example.com", nonce="short""#])
        .unwrap();
    assert_eq!(Request::new(&mut authenticator).lines().len(), 1);
    assert_eq!(
        Request::signing(&mut authenticator, register())
            .lines()
            .len(),
        1
    );
}

#[test]
fn challenges_beyond_sixteen_in_one_response_are_not_looked_at() {
    let mut authenticator = stranger();
    let ours = r#"Digest realm="example.com", nonce="n""#;
    let many = vec![r#"Digest realm="x", nonce="n""#; 16];
    let first: Vec<&str> = std::iter::once(ours).chain(many.clone()).collect();
    let last: Vec<&str> = many.into_iter().chain([ours]).collect();
    assert_eq!(Request::new(&mut authenticator).server(&first), Ok(()));
    let mut authenticator = stranger();
    assert!(Request::new(&mut authenticator).server(&last).is_err());
}

#[test]
fn a14_characters_beyond_the_bmp_are_hashed_as_utf_8() {
    // `printf 'alice:r:wonderland 🐇' | md5sum`
    let hex = Hash::Md5.of(&[b"alice", b"r", PASSWORD.as_bytes()]);
    assert_eq!(hex.as_bytes(), b"c5d792066d52346054317656e02455c4");
}

#[test]
fn secrets_are_not_printed() {
    let credentials = Credentials::ha1("alice", "r", &"a".repeat(32)).unwrap();
    let mut authenticator = alice();
    let mut request = Request::new(&mut authenticator);
    request.server(&[r#"Digest realm="r", nonce="n""#]).unwrap();
    request.line();
    let text = format!("{credentials:?}{authenticator:?}");
    assert!(
        !text.contains("wonderland") && !text.contains("aaaa"),
        "{text}"
    );
}

fn start() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to begin at"
    )]
    Instant::now()
}

fn guard(now: Instant) -> Guard {
    let algorithms = vec![Algorithm::SHA_256, Algorithm::MD5];
    Guard::new("r", algorithms, Duration::from_secs(60), [7; 32], now)
}

fn ha1_of_alice(username: &str, hash: Hash) -> Option<Hex> {
    let known = username == "alice";
    known.then(|| Hash::of(hash, &[b"alice", b"r", PASSWORD.as_bytes()]))
}

/// Has the guard challenge, and gives the value of the answer.
fn answer(guard: &Guard, now: Instant, authenticator: &mut Authenticator) -> String {
    let mut out = Vec::new();
    guard.challenge(now, 1, "WWW-Authenticate", Denial::Missing, &mut out);
    let text = String::from_utf8(out).unwrap();
    let values: Vec<&str> = text
        .lines()
        .map(|line| line.split_once(": ").unwrap().1)
        .collect();
    assert_eq!(values.len(), 2);
    let mut request = Request::new(authenticator);
    request.server(&values).unwrap();
    request.line().split_once(": ").unwrap().1.to_owned()
}

#[test]
fn a_guard_lets_in_who_answers_its_challenge_and_again_with_the_same_nonce() {
    let now = start();
    let (guard, mut authenticator) = (guard(now), alice());
    let first = answer(&guard, now, &mut authenticator);
    let second = Request::new(&mut authenticator).line();
    for value in [first.as_str(), second.split_once(": ").unwrap().1] {
        assert!(value.contains("SHA-256"));
        let verified = guard.verify(now, message(), [value.as_bytes()], ha1_of_alice);
        assert_eq!(verified, Ok("alice".to_owned()));
    }
}

#[test]
fn a_guard_tells_what_is_missing_wrong_and_only_too_old() {
    let now = start();
    let (guard, mut authenticator) = (guard(now), alice());
    let value = answer(&guard, now, &mut authenticator);
    let verify = |at, signed, value: &str| {
        guard
            .verify(at, signed, [value.as_bytes()], ha1_of_alice)
            .unwrap_err()
    };
    let other_uri = Signed {
        uri: "sip:carol@b.com",
        ..message()
    };
    let other_method = Signed {
        method: "REGISTER",
        ..message()
    };
    assert_eq!(
        verify(now, message(), "Digest realm=\"x\""),
        Denial::Missing
    );
    assert_eq!(verify(now, other_uri, &value), Denial::Wrong);
    assert_eq!(verify(now, other_method, &value), Denial::Wrong);
    assert_eq!(
        verify(now, message(), &value.replace("alice", "bob")),
        Denial::Wrong
    );
    assert_eq!(
        verify(now, message(), &value.replace("nonce=\"0", "nonce=\"1")),
        Denial::Wrong
    );
    let later = now + Duration::from_secs(61);
    assert_eq!(verify(later, message(), &value), Denial::Stale);
    assert_eq!(verify(later, other_uri, &value), Denial::Wrong);
    let none: [&[u8]; 0] = [];
    assert_eq!(
        guard.verify(now, message(), none, ha1_of_alice),
        Err(Denial::Missing)
    );
}

proptest! {
    #[test]
    fn no_header_value_makes_it_panic(
        value in "(Digest )?(realm=\"r\", nonce=n, )?[a-zA-Z=\", \\\\\r\n;-]{0,60}",
    ) {
        let mut authenticator = alice();
        let mut request = Request::new(&mut authenticator);
        if request.server(&[&value]).is_ok() {
            let lines = request.lines();
            prop_assert!(lines.iter().all(|line| is_right(line, message())));
        }
        request.info(&value);
        let now = start();
        let _ = guard(now).verify(now, message(), [value.as_bytes()], ha1_of_alice);
    }
}
