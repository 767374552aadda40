use super::*;

fn alice() -> Authenticator {
    Authenticator::new(Credentials {
        username: "alice".to_owned(),
        secret: Secret::Password("wonderland 🐇".to_owned()),
    })
}

/// The header lines for a MESSAGE with this body.
fn authorize(authenticator: &mut Authenticator, body: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    authenticator.authorize("MESSAGE", "sip:bob@b.com", body, "c0ffee", &mut out);
    String::from_utf8(out)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn is_right(line: &str, body: &[u8]) -> bool {
    let (_, value) = line.split_once(": ").unwrap();
    Answer::parse(value)
        .unwrap()
        .is_right("wonderland 🐇", "MESSAGE", body)
}

#[test]
fn every_algorithm_and_qop_is_answered_so_that_a_server_agrees() {
    for algorithm in [
        "",
        "MD5",
        "MD5-sess",
        "SHA-256",
        "SHA-256-sess",
        "SHA-512-256",
        "SHA-512-256-sess",
    ] {
        for qop in ["", "auth", "auth-int", "auth,auth-int"] {
            let mut authenticator = alice();
            let challenge =
                format!(r#"Digest realm="r é", nonce="n", algorithm={algorithm}, qop="{qop}""#);
            let mut rounds = Rounds::default();
            authenticator
                .challenged(401, &[&challenge], &mut rounds)
                .unwrap();
            for body in [&b""[..], "Grüße 🐇".as_bytes()] {
                let lines = authorize(&mut authenticator, body);
                assert_eq!(lines.len(), 1);
                assert!(is_right(&lines[0], body), "{}", lines[0]);
            }
        }
    }
}

#[test]
fn a3_the_strongest_challenge_is_answered_in_any_order() {
    let md5 = r#"Digest realm="r", nonce="1", algorithm=MD5"#;
    let sha = r#"Digest realm="r", nonce="2", algorithm=SHA-256"#;
    for values in [[md5, sha], [sha, md5]] {
        let mut authenticator = alice();
        authenticator
            .challenged(401, &values, &mut Rounds::default())
            .unwrap();
        let lines = authorize(&mut authenticator, b"");
        assert!(
            lines.len() == 1 && lines[0].contains("algorithm=SHA-256"),
            "{lines:?}"
        );
    }
}

#[test]
fn a4_an_unknown_algorithm_alone_is_refused_at_once() {
    let refusal = alice().challenged(
        401,
        &[r#"Digest realm="r", nonce="1", algorithm=SHA-9"#],
        &mut Rounds::default(),
    );
    assert_eq!(refusal, Err(Refusal::Unanswerable(Unanswerable::Algorithm)));
}

#[test]
fn a5_a_proxy_and_a_server_are_both_answered_and_stay_so() {
    let mut authenticator = alice();
    let mut rounds = Rounds::default();
    authenticator
        .challenged(407, &[r#"Digest realm="p", nonce="1""#], &mut rounds)
        .unwrap();
    authenticator
        .challenged(407, &[r#"Digest realm="q", nonce="2""#], &mut rounds)
        .unwrap();
    authenticator
        .challenged(401, &[r#"Digest realm="s", nonce="3""#], &mut rounds)
        .unwrap();
    let lines = authorize(&mut authenticator, b"");
    let proxies = lines
        .iter()
        .filter(|line| line.starts_with("Proxy-Authorization: "))
        .count();
    assert_eq!((lines.len(), proxies), (3, 2));
}

#[test]
fn a6_a_refused_answer_is_not_repeated_unless_its_nonce_was_stale() {
    let mut authenticator = alice();
    let mut rounds = Rounds::default();
    let challenge = |nonce: u32, stale: bool| {
        format!(r#"Digest realm="r", nonce="{nonce}", qop="auth", stale={stale}"#)
    };
    authenticator
        .challenged(401, &[&challenge(1, false)], &mut rounds)
        .unwrap();
    authorize(&mut authenticator, b"");
    authenticator
        .challenged(401, &[&challenge(2, true)], &mut rounds)
        .unwrap();
    assert!(authorize(&mut authenticator, b"")[0].contains("nc=00000001"));
    let refusal = authenticator.challenged(401, &[&challenge(3, false)], &mut rounds);
    assert_eq!(refusal, Err(Refusal::WrongCredentials));
}

#[test]
fn a7_a_nonce_is_used_again_with_a_higher_count_and_nextnonce_begins_anew() {
    let mut authenticator = alice();
    let challenge = r#"Digest realm="r", nonce="1", qop="auth""#;
    authenticator
        .challenged(401, &[challenge], &mut Rounds::default())
        .unwrap();
    for count in 1..=17 {
        let line = &authorize(&mut authenticator, b"")[0];
        assert!(
            line.contains(&format!("nc={count:08x}")) && is_right(line, b""),
            "{line}"
        );
    }
    // The same nonce, learned by another request meanwhile, is no reason to begin anew.
    authenticator
        .challenged(401, &[challenge], &mut Rounds::default())
        .unwrap();
    assert!(authorize(&mut authenticator, b"")[0].contains("nc=00000012"));
    authenticator.learn(r#"qop=auth, nextnonce="2", rspauth="x""#);
    let line = &authorize(&mut authenticator, b"")[0];
    assert!(
        line.contains("nonce=\"2\"") && line.contains("nc=00000001"),
        "{line}"
    );
}

#[test]
fn a9_quotes_in_realm_and_user_name_survive() {
    let mut authenticator = Authenticator::new(Credentials {
        username: r#"al"i\ce"#.to_owned(),
        secret: Secret::Password("wonderland 🐇".to_owned()),
    });
    let challenge = r#"Digest realm="a \"b\" \\c", nonce="n", qop="auth", opaque="""#;
    authenticator
        .challenged(401, &[challenge], &mut Rounds::default())
        .unwrap();
    let line = &authorize(&mut authenticator, b"")[0];
    assert!(
        line.contains(r#"username="al\"i\\ce", realm="a \"b\" \\c""#),
        "{line}"
    );
    assert!(
        line.contains(r#"opaque="""#) && is_right(line, b""),
        "{line}"
    );
}

#[test]
fn a11_the_password_survives_a_foreign_realm() {
    let mut authenticator = alice();
    for realm in ["one", "two", "three"] {
        let challenge = format!(r#"Digest realm="{realm}", nonce="n""#);
        authenticator
            .challenged(401, &[&challenge], &mut Rounds::default())
            .unwrap();
    }
    assert!(
        authorize(&mut authenticator, b"")
            .iter()
            .all(|line| is_right(line, b""))
    );
}

#[test]
fn an_ha1_answers_its_own_realm_and_function_only() {
    let ha1 = Function::Md5.hex(&[b"alice", b"r", "wonderland 🐇".as_bytes()]);
    let mut authenticator = Authenticator::new(Credentials {
        username: "alice".to_owned(),
        secret: Secret::Ha1 {
            realm: "r".to_owned(),
            ha1,
        },
    });
    let mut refused = |challenge| {
        authenticator
            .challenged(401, &[challenge], &mut Rounds::default())
            .err()
    };
    assert_eq!(
        refused(r#"Digest realm="x", nonce="n""#),
        Some(Refusal::NoCredentials)
    );
    let sha = r#"Digest realm="r", nonce="n", algorithm=SHA-256"#;
    assert_eq!(refused(sha), Some(Refusal::NoCredentials));
    assert_eq!(refused(r#"Digest realm="r", nonce="n""#), None);
    assert!(is_right(&authorize(&mut authenticator, b"")[0], b""));
}

#[test]
fn a13_no_request_is_challenged_for_ever() {
    let mut authenticator = alice();
    let mut rounds = Rounds::default();
    let outcomes = (0..20).map(|nonce| {
        let challenge = format!(r#"Digest realm="r", nonce="{nonce}", stale=true"#);
        authenticator.challenged(401, &[&challenge], &mut rounds)
    });
    assert_eq!(
        outcomes.filter(Result::is_ok).count(),
        usize::from(MAX_ROUNDS)
    );
}

#[test]
fn secrets_are_not_printed() {
    assert!(!format!("{:?}", alice()).contains("wonderland"));
}
