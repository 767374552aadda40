//! What SIP costs: reading an answer, knowing whose it is, writing a request, signing it.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::hint::black_box;
use std::time::Instant;

use criterion::criterion_group;
use criterion::criterion_main;
use criterion::{BatchSize, Criterion};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sipost::sip::digest::{Authenticator, Credentials, Rounds, Signed};
use sipost::sip::parse::ParseLimits;
use sipost::sip::uri::Uri;
use sipost::sip::{OutgoingRequest, Output, Settings, Transport, UserAgent, parse};

criterion_group!(sip, reading, matching, writing, signing);
criterion_main!(sip);

fn reading(criterion: &mut Criterion) {
    let (_, _, ok) = waiting_agent();
    criterion.bench_function("read a 200", |bencher| {
        bencher.iter(|| parse::parse(black_box(ok.as_bytes()), ParseLimits::default()));
    });
    let request = request_of_900_bytes();
    criterion.bench_function("read a MESSAGE of 900 bytes", |bencher| {
        bencher.iter(|| parse::parse(black_box(&request), ParseLimits::default()).is_ok());
    });
    criterion.bench_function("read a URI", |bencher| {
        let text = "sip:bob.builder@Edge1.Example.com:5061;transport=ws;lr";
        bencher.iter(|| Uri::parse(black_box(text)));
    });
}

/// A MESSAGE as a proxy passes it on: two Via, two Record-Route, a body of a few sentences.
fn request_of_900_bytes() -> Vec<u8> {
    let head = "MESSAGE sip:bob@0f1e2d3c4b5a.invalid;transport=ws SIP/2.0\r\n\
                Via: SIP/2.0/WSS edge1.example.com;branch=z9hG4bK5f2a.8f3a5c0b1d2e4f60\r\n\
                Via: SIP/2.0/WS 192.0.2.7:40312;branch=z9hG4bK8f3a5c0b1d2e4f60;rport=40312\r\n\
                Record-Route: <sip:edge1.example.com;transport=ws;r2=on;lr>\r\n\
                Record-Route: <sip:10.0.0.4;r2=on;lr>\r\nMax-Forwards: 69\r\n\
                To: <sip:bob@example.com>\r\n\
                From: \"Alice\" <sip:alice@example.com>;tag=8f3a5c0b1d2e4f60\r\n\
                Call-ID: 0193a5c0-1d2e-7f60-8f3a-5c0b1d2e4f60\r\nCSeq: 1 MESSAGE\r\n\
                Date: Sat, 13 Nov 2010 23:29:00 GMT\r\nExpires: 3600\r\nAllow: OPTIONS\r\n\
                Supported: outbound, path\r\nUser-Agent: sipost/0.1.0\r\n\
                Content-Type: text/plain\r\n";
    let end = "Content-Length: 000\r\n\r\n";
    let body = 900 - head.len() - end.len();
    let end = end.replace("000", &format!("{body:03}"));
    [head, &end, &"x".repeat(body)].concat().into_bytes()
}

/// With a nonce that is known: what every message costs where the server challenges.
fn signing(criterion: &mut Criterion) {
    for algorithm in ["MD5", "SHA-256"] {
        let mut authenticator = Authenticator::new(
            Some(Credentials::password("alice", "secret")),
            "example.com",
        );
        let signed = Signed {
            method: "MESSAGE",
            uri: "sip:bob@example.com",
            body: b"Hello Bob!",
        };
        let challenge = format!(
            "Digest realm=\"example.com\", nonce=\"dcd98b7102dd2f0e8b11\", qop=\"auth\", \
             algorithm={algorithm}"
        );
        let asked = [challenge.as_bytes()];
        authenticator
            .handle_challenge(&mut Rounds::default(), signed, asked, [])
            .unwrap();
        let mut out = Vec::new();
        criterion.bench_function(&format!("sign with {algorithm}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                let cnonce = black_box("0123456789abcdef");
                authenticator.authorize(&mut Rounds::default(), signed, cnonce, &mut out);
                out.len()
            });
        });
    }
}

fn matching(criterion: &mut Criterion) {
    let (mut agent, now, ok) = waiting_agent();
    let trying = ok.replace("200 OK", "100 Trying");
    criterion.bench_function("read an answer and find its request", |bencher| {
        bencher.iter(|| agent.handle_frame(now, black_box(trying.as_bytes())));
    });
    criterion.bench_function("send a message and take its 200", |bencher| {
        bencher.iter_batched(
            message,
            |message| {
                agent.send(now, 2, message);
                let Some(Output::Transmit(frame, _)) = agent.poll() else {
                    panic!("nothing written");
                };
                let branch = frame
                    .windows(7)
                    .position(|bytes| bytes == b"z9hG4bK")
                    .unwrap();
                let at = ok.find("z9hG4bK").unwrap();
                let mut answer = ok.clone().into_bytes();
                answer[at..at + 23].copy_from_slice(&frame[branch..branch + 23]);
                agent.handle_frame(now, &answer);
                agent.poll()
            },
            BatchSize::SmallInput,
        );
    });
}

fn writing(criterion: &mut Criterion) {
    criterion.bench_function("write a message", |bencher| {
        let (mut agent, now, _) = waiting_agent();
        let mut sent = 0;
        bencher.iter_batched(
            message,
            |message| {
                sent += 1;
                if sent % 4_096 == 0 {
                    agent.handle_disconnected();
                    while agent.poll().is_some() {}
                    agent.handle_connected(now, Transport::Ws);
                }
                agent.send(now, sent, message);
                agent.poll()
            },
            BatchSize::SmallInput,
        );
    });
}

/// A user agent with a request on its way, and the 200 that would answer it.
fn waiting_agent() -> (UserAgent, Instant, String) {
    let now = now();
    let mut agent = UserAgent::new(settings().into(), StdRng::from_seed([5; 32]));
    agent.handle_connected(now, Transport::Ws);
    while agent.poll().is_some() {}
    agent.send(now, 1, message());
    let Some(Output::Transmit(frame, _)) = agent.poll() else {
        panic!("nothing written");
    };
    let request = parse::parse(&frame, ParseLimits::default()).unwrap();
    let lines = ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| {
        let value = parse::text(request.first(name).unwrap());
        match name {
            "Via" => format!("{name}: {value};received=192.0.2.1\r\n"),
            "To" => format!("{name}: {value};tag=82746-4376\r\n"),
            _ => format!("{name}: {value}\r\n"),
        }
    });
    let lines = lines.concat();
    let ok =
        format!("SIP/2.0 200 OK\r\n{lines}Server: kamailio (5.6.3)\r\nContent-Length: 0\r\n\r\n");
    (agent, now, ok)
}

fn message() -> OutgoingRequest {
    let head = "Max-Forwards: 70\r\nTo: <sip:bob@example.com>\r\n\
                From: \"Alice\" <sip:alice@example.com>;tag=8f3a5c0b1d2e4f60\r\n\
                Call-ID: 0193a5c0-1d2e-7f60-8f3a-5c0b1d2e4f60\r\nDate: Sat, 13 Nov 2010 23:29:00 GMT\r\n\
                Expires: 3600\r\nAllow: OPTIONS\r\nSupported: outbound, path\r\n\
                User-Agent: sipost/0.1.0\r\nContent-Type: text/plain\r\n";
    OutgoingRequest {
        method: "MESSAGE",
        uri: "sip:bob@example.com".into(),
        call_id: "0193a5c0-1d2e-7f60-8f3a-5c0b1d2e4f60".to_owned(),
        from_tag: "8f3a5c0b1d2e4f60".to_owned(),
        cseq: 1,
        head: head.into(),
        body: "Hello Bob!".into(),
        fallback: None,
    }
}

fn settings() -> Settings {
    let aor = Uri::parse("sip:alice@example.com").unwrap();
    let instance = "00000000-0000-4000-8000-000000000001";
    Settings {
        via_host: "0f1e2d3c4b5a.invalid".to_owned(),
        ..Settings::new(aor, "c0ffee", instance)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark needs some moment to begin at"
)]
fn now() -> Instant {
    Instant::now()
}
