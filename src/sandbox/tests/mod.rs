//! What the server answers is tested on the machine, without sockets; that it is reached, over a
//! real WebSocket.

mod machine;
mod websocket;

use crate::sip::digest::{Authenticator, Credentials, Rounds, Signed};
use crate::sip::parse;
use crate::sip::parse::{Message, ParseLimits, StartLine};

/// A request of `user`, with these header lines besides the usual ones.
fn request(method: &str, uri: &str, user: &str, headers: &str, body: &str) -> String {
    let to = match method {
        "REGISTER" => format!("sip:{user}@sandbox.invalid"),
        _ => uri.to_owned(),
    };
    let call_id = if headers.contains("Call-ID: ") {
        ""
    } else {
        "Call-ID: call\r\n"
    };
    let cseq = if headers.contains("CSeq: ") {
        String::new()
    } else {
        format!("CSeq: 1 {method}\r\n")
    };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/WS {user}.invalid;branch=z9hG4bK{user}1\r\n\
         From: <sip:{user}@sandbox.invalid>;tag={user}\r\nTo: <{to}>\r\n{call_id}{cseq}{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn contact(user: &str) -> String {
    format!("Contact: <sip:{user}-random@{user}.invalid;transport=ws>;expires=60\r\n")
}

fn read(frame: &str) -> Message<'_> {
    parse::parse(frame.as_bytes(), ParseLimits::default()).unwrap()
}

fn status(frame: &str) -> u16 {
    match read(frame).start {
        StartLine::Response { status, .. } => status.as_u16(),
        StartLine::Request { .. } => panic!("a request: {frame}"),
    }
}

fn header(frame: &str, name: &'static str) -> String {
    let values: Vec<String> = read(frame).all(name).map(parse::text).collect();
    values.join(", ")
}

/// The 200 to this request.
fn answer_to(request: &str) -> String {
    let message = read(request);
    let mut lines = String::from("SIP/2.0 200 Got it\r\n");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        for value in message.all(name) {
            lines.push_str(&format!("{name}: {}\r\n", parse::text(value)));
        }
    }
    lines + "Content-Length: 0\r\n\r\n"
}

/// Signs requests, as a user agent does.
struct Signer {
    authenticator: Authenticator,
    rounds: Rounds,
}

impl Signer {
    fn new(user: &str, password: &str) -> Self {
        let credentials = Credentials::password(user, password);
        Self {
            authenticator: Authenticator::new(Some(credentials), "sandbox.test"),
            rounds: Rounds::default(),
        }
    }

    /// Takes the challenge that was the answer to this request.
    fn challenged(&mut self, request: &str, response: &str) {
        let challenge = read(response);
        let rounds = &mut self.rounds;
        let (server, proxy) = (
            challenge.all("WWW-Authenticate"),
            challenge.all("Proxy-Authenticate"),
        );
        self.authenticator
            .handle_challenge(rounds, signed(request), server, proxy)
            .unwrap();
    }

    /// The request with what is known of its server's challenges.
    fn sign(&mut self, request: &str) -> String {
        let mut lines = Vec::new();
        self.authenticator
            .authorize(&mut self.rounds, signed(request), "c0ffee", &mut lines);
        let (first, rest) = request.split_once("\r\n").unwrap();
        format!("{first}\r\n{}{rest}", String::from_utf8(lines).unwrap())
    }
}

fn signed(request: &str) -> Signed<'_> {
    let message = read(request);
    match message.start {
        StartLine::Request { method, uri } => Signed {
            method,
            uri,
            body: message.body,
        },
        StartLine::Response { .. } => panic!("a response: {request}"),
    }
}
