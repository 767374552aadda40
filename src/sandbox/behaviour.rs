//! What a user of the sandbox does with a message when there is nobody to ask.

use std::collections::HashMap;
use std::time::Duration;

use crate::sip::StatusCode;

/// What a user that is no person does with every message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Behaviour {
    /// Always the same answer.
    Answers(Answer),
    /// One answer to the first request with a Call-ID, another to those after it.
    AnswersAtFirst(Answer, Answer),
    /// No answer, ever.
    Silent,
    /// No answer, and the connection that the request came on is cut.
    Cuts,
}

/// A response to be given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// Its code.
    pub status: StatusCode,
    /// Complete header lines with their ends, besides those every response has.
    pub headers: String,
    /// How long it takes.
    pub after: Duration,
}

impl Answer {
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

/// The users everybody can test against, and what they do.
pub(super) fn special_users(domain: &str) -> HashMap<String, Behaviour> {
    let overloaded = Answer::new(StatusCode::SERVICE_UNAVAILABLE).with("Retry-After: 1\r\n");
    let moved = format!("Contact: <sip:ok@{domain}>\r\n");
    let ok = Answer::new(StatusCode::OK);
    let users = [
        ("ok", Behaviour::Answers(ok.clone())),
        ("accepted", always(StatusCode::ACCEPTED)),
        ("busy", always(StatusCode::BUSY_HERE)),
        ("decline", always(StatusCode::DECLINE)),
        ("notfound", always(StatusCode::NOT_FOUND)),
        ("offline", always(StatusCode::TEMPORARILY_UNAVAILABLE)),
        (
            "moved",
            Behaviour::Answers(Answer::new(StatusCode::MOVED_TEMPORARILY).with(moved)),
        ),
        ("error", always(StatusCode::SERVER_INTERNAL_ERROR)),
        (
            "overload",
            Behaviour::AnswersAtFirst(overloaded, ok.clone()),
        ),
        ("slow", Behaviour::Answers(ok.after(Duration::from_secs(3)))),
        ("silent", Behaviour::Silent),
    ];
    users
        .into_iter()
        .map(|(user, behaviour)| (user.to_owned(), behaviour))
        .collect()
}

fn always(status: StatusCode) -> Behaviour {
    Behaviour::Answers(Answer::new(status))
}
