//! The options of a sandbox, and its scripted users.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::sip::StatusCode;

/// The domain of a sandbox, unless its options say otherwise. No resolver will ever find it
/// (RFC 6761 §6.4).
pub const DOMAIN: &str = "sandbox.invalid";

/// The password of a user of the sandbox.
pub fn password_of(user: &str) -> &str {
    user
}

/// The options of a sandbox.
#[derive(Clone, Debug)]
pub struct Options {
    /// The domain it serves, and the realm of its challenges.
    pub domain: String,
    /// Whether REGISTER and MESSAGE have to be signed.
    pub challenges: bool,
    /// Passwords of users, where they are not [`password_of`] them.
    pub passwords: HashMap<String, String>,
    /// After that, a nonce is stale.
    pub nonce_lifetime: Duration,
    /// A registration for less is answered 423.
    pub min_expires: Duration,
    /// No registration is granted more.
    pub max_expires: Duration,
    /// A recipient that has not answered by then is answered for with 408. Less than the 32 s that
    /// the sender waits (RFC 3261 §17.1.2.2).
    pub answer_within: Duration,
    /// Scripted users, and what they do.
    pub users: HashMap<String, Behaviour>,
    /// Connections at once.
    pub max_connections: usize,
    /// Bindings at once.
    pub max_bindings: usize,
    /// Requests at once that wait for their answer.
    pub max_pending: usize,
    /// The seed of nonces, tags and branches.
    pub seed: [u8; 32],
    /// Where every request is shown, for tests that look at what was sent.
    pub received: Option<mpsc::UnboundedSender<ReceivedRequest>>,
}

/// A request that reached the sandbox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReceivedRequest {
    pub method: String,
    /// Its Request-URI, as written.
    pub uri: String,
    /// All of it.
    pub frame: Vec<u8>,
}

impl Options {
    /// A server for this domain.
    pub fn new(domain: impl Into<String>) -> Self {
        let domain = domain.into().to_ascii_lowercase();
        Self {
            users: special_users(&domain),
            domain,
            challenges: true,
            passwords: HashMap::new(),
            nonce_lifetime: Duration::from_secs(300),
            min_expires: Duration::from_secs(1),
            max_expires: Duration::from_secs(3600),
            answer_within: Duration::from_secs(30),
            max_connections: 20_000,
            max_bindings: 50_000,
            max_pending: 100_000,
            seed: rand::random(),
            received: None,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new(DOMAIN)
    }
}

/// What a scripted user does with every message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Behaviour {
    /// Always the same answer.
    Answers(Reply),
    /// One answer to the first request with a Call-ID, another to those after it.
    AnswersAtFirst(Reply, Reply),
    /// 200, and then the same body comes back.
    Echoes,
    /// 200, and then the receipts `delivered` and, a second later, `displayed`.
    Reads,
    /// No answer, ever.
    Silent,
    /// No answer, and the connection that the request came on is cut.
    Cuts,
}

/// A response to a request, without a body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    pub status: StatusCode,
    /// Complete header lines with their ends, besides those every response has.
    pub headers: String,
    /// How long it takes; zero for at once.
    pub after: Duration,
}

impl Reply {
    /// At once, without more headers.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: String::new(),
            after: Duration::ZERO,
        }
    }

    /// With these header lines: complete, with their ends.
    #[must_use]
    pub fn with(self, headers: impl Into<String>) -> Self {
        Self {
            headers: headers.into(),
            ..self
        }
    }

    /// After this time.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }
}

/// The names of the scripted users of every sandbox.
pub const USERS: [&str; 13] = [
    "ok", "accepted", "busy", "decline", "notfound", "offline", "moved", "error", "overload",
    "slow", "silent", "echo", "reader",
];

/// The scripted users of every sandbox.
fn special_users(domain: &str) -> HashMap<String, Behaviour> {
    let overloaded = Reply::new(StatusCode::SERVICE_UNAVAILABLE).with("Retry-After: 1\r\n");
    let moved = format!("Contact: <sip:ok@{domain}>\r\n");
    let moved = Reply::new(StatusCode::MOVED_TEMPORARILY).with(moved);
    let ok = Reply::new(StatusCode::OK);
    let users = [
        ("ok", Behaviour::Answers(ok.clone())),
        ("accepted", always(StatusCode::ACCEPTED)),
        ("busy", always(StatusCode::BUSY_HERE)),
        ("decline", always(StatusCode::DECLINE)),
        ("notfound", always(StatusCode::NOT_FOUND)),
        ("offline", always(StatusCode::TEMPORARILY_UNAVAILABLE)),
        ("moved", Behaviour::Answers(moved)),
        ("error", always(StatusCode::SERVER_INTERNAL_ERROR)),
        (
            "overload",
            Behaviour::AnswersAtFirst(overloaded, ok.clone()),
        ),
        ("slow", Behaviour::Answers(ok.after(Duration::from_secs(3)))),
        ("silent", Behaviour::Silent),
        ("echo", Behaviour::Echoes),
        ("reader", Behaviour::Reads),
    ];
    let named = users.map(|(user, behaviour)| (user.to_owned(), behaviour));
    named.into()
}

fn always(status: StatusCode) -> Behaviour {
    Behaviour::Answers(Reply::new(status))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_scripted_user_is_named() {
        let scripted: BTreeSet<String> = special_users(DOMAIN).into_keys().collect();
        let named: BTreeSet<String> = USERS.iter().map(|user| (*user).to_owned()).collect();
        assert_eq!(scripted, named);
    }
}
