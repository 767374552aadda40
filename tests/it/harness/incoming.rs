//! What a person sends to an account: the peer forks it to the account's agents and hears them.

use super::Peer;

/// A MESSAGE to `sip:alice@example.com`, which may be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub(crate) call_id: String,
    body: String,
    /// From Content-Type on, each with its line end.
    headers: String,
}

/// What an agent answered to a request.
#[derive(Clone, Debug)]
pub(crate) struct PeerAnswer {
    pub(crate) status: u16,
    pub(crate) call_id: String,
    text: String,
}

impl PeerAnswer {
    /// `None` for what is no response.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("SIP/2.0 ")?;
        let status = rest.split(' ').next()?.parse().ok()?;
        let lines = text.lines();
        let mut call_ids = lines.filter_map(|line| line.strip_prefix("Call-ID: "));
        Some(Self {
            status,
            call_id: call_ids.next()?.to_owned(),
            text: text.to_owned(),
        })
    }

    /// The value of this header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.text.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(found.1)
    }
}

impl Incoming {
    /// A text of Bob's.
    pub(crate) fn text(call_id: &str, body: &str) -> Self {
        Self::of_type(call_id, "text/plain", body)
    }

    pub(crate) fn of_type(call_id: &str, content_type: &str, body: &str) -> Self {
        Self {
            call_id: call_id.to_owned(),
            body: body.to_owned(),
            headers: format!("Content-Type: {content_type}\r\n"),
        }
    }

    /// With one more header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// Sends it to every agent that is registered now, as a proxy forks it; to how many. Over the
    /// same connection it is a retransmission.
    pub(crate) fn send(&self, peer: &Peer) -> usize {
        let bindings = peer.bindings();
        for (connection, contact) in &bindings {
            peer.write(*connection, self.frame(contact, *connection));
        }
        bindings.len()
    }

    /// Sends it, and waits until every agent has answered; the last answer.
    pub(crate) async fn answered(&self, peer: &Peer) -> PeerAnswer {
        let mine = |answers: &[PeerAnswer]| {
            let is_mine = |answer: &&PeerAnswer| answer.call_id == self.call_id;
            answers.iter().filter(is_mine).count()
        };
        let before = mine(&peer.answers());
        let forks = self.send(peer);
        assert!(forks > 0, "no agent is registered");
        let what = format!("{forks} answers to {}", self.call_id);
        peer.until_answers(&what, |answers| mine(answers) >= before + forks)
            .await;
        let answers = peer.answers();
        let mut mine = answers.into_iter().rev();
        mine.find(|answer| answer.call_id == self.call_id).unwrap()
    }

    fn frame(&self, contact: &str, connection: usize) -> String {
        let Self {
            call_id,
            body,
            headers,
        } = self;
        format!(
            "MESSAGE {contact} SIP/2.0\r\n\
             Via: SIP/2.0/WS peer.example.com;branch=z9hG4bK{call_id}{connection}\r\n\
             Max-Forwards: 69\r\n\
             From: \"Bob\" <sip:bob@example.com>;tag=of-{call_id}\r\n\
             To: <sip:alice@example.com>\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: 1 MESSAGE\r\n\
             {headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}
