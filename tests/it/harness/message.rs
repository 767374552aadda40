//! SIP as a peer reads and writes it: plain text, and nothing of the code that is tested.

/// A request that came in.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) uri: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Request {
    /// `None` for what is no request, such as a keep-alive or a response.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let mut start = lines.next()?.split(' ');
        let (method, uri) = (start.next()?.to_owned(), start.next()?.to_owned());
        if start.next() != Some("SIP/2.0") {
            return None;
        }
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Some(Self {
            method,
            uri,
            headers,
            body: body.to_owned(),
        })
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// The user of the Request-URI.
    pub(super) fn user(&self) -> &str {
        let rest = self.uri.split_once(':').map_or("", |(_, rest)| rest);
        rest.split('@').next().unwrap_or_default()
    }

    /// A response to this request, with complete header lines of its own.
    pub(super) fn response(&self, status: u16, headers: &str) -> String {
        let mut text = format!("SIP/2.0 {status} {}\r\n", reason(status));
        for (name, value) in &self.headers {
            if name.eq_ignore_ascii_case("Via") {
                text.push_str(&format!("Via: {value}\r\n"));
            }
        }
        for name in ["From", "Call-ID", "CSeq"] {
            text.push_str(&format!("{name}: {}\r\n", self.header(name)));
        }
        text.push_str(&format!("To: {};tag=peer\r\n", self.header("To")));
        text.push_str(headers);
        text.push_str("Content-Length: 0\r\n\r\n");
        text
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        302 => "Moved Temporarily",
        404 => "Not Found",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        503 => "Service Unavailable",
        603 => "Decline",
        _ => "As The Test Says",
    }
}
