//! SIP requests and responses as events show them.

use std::sync::Arc;

use super::header_map::HeaderMap;
use super::json;

/// A SIP request, as the outside sees it: of an attempt, or one that came in. Credentials are never
/// in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestView {
    /// `MESSAGE`.
    pub method: &'static str,
    /// The Request-URI.
    pub uri: Arc<str>,
    /// The same in every attempt at a message.
    pub call_id: String,
    /// The CSeq number the attempt begins with.
    pub cseq: u32,
    /// What the request says: of an attempt without what the connection adds, of one that came in
    /// as far as it is kept.
    pub headers: HeaderMap,
    /// Whether the peer wrote more than is here.
    pub truncated: bool,
}

/// A SIP response, as the outside sees it. Who answers chooses its size, so it is cut: see
/// [`ResponseView::cut`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResponseView {
    /// 200 to 699.
    pub status_code: u16,
    /// As the peer wrote it; bytes that are not UTF-8 are replaced.
    pub reason_phrase: String,
    /// As the peer wrote them.
    pub headers: HeaderMap,
    /// Whether the peer wrote more than is here.
    pub truncated: bool,
}

/// The bound of the headers that a peer wrote, in bytes of their JSON.
const MAX_HEADERS: usize = 8 * 1024;
/// Headers that are made room for at once: few requests and responses have more.
const USUAL_HEADERS: usize = 32;

/// As many headers of a peer as are kept; those that do not fit are left out whole. Whether any
/// was left out.
fn cut_headers(all: &[(String, String)]) -> (HeaderMap, bool) {
    let bytes = all.iter().map(|(name, value)| name.len() + value.len());
    let bytes = bytes.sum::<usize>().min(MAX_HEADERS);
    let mut headers = HeaderMap::with_capacity(all.len().min(USUAL_HEADERS), bytes);
    let mut truncated = false;
    for (name, value) in all {
        truncated |= !headers.add_within(MAX_HEADERS, name, value);
    }
    (headers, truncated)
}

impl RequestView {
    /// A MESSAGE that came in, as far as it is kept. Headers that do not fit are left out whole.
    pub fn cut(uri: Arc<str>, call_id: String, cseq: u32, all: &[(String, String)]) -> Self {
        let (headers, truncated) = cut_headers(all);
        Self {
            method: "MESSAGE",
            uri,
            call_id,
            cseq,
            headers,
            truncated,
        }
    }

    pub(super) fn weight(&self) -> usize {
        json::weight(self.uri.as_bytes())
            + json::weight(self.call_id.as_bytes())
            + self.headers.weight()
    }

    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"method\":");
        json::string(out, self.method);
        json::member(out, "uri");
        json::string(out, &self.uri);
        json::member(out, "callId");
        json::string(out, &self.call_id);
        json::member(out, "cseq");
        json::number(out, self.cseq);
        json::member(out, "headers");
        self.headers.write_json(out);
        if self.truncated {
            out.extend_from_slice(b",\"truncated\":true");
        }
        out.push(b'}');
    }
}

impl ResponseView {
    /// The bound of the reason phrase, in bytes of its JSON.
    const MAX_REASON: usize = 1024;

    /// A response as far as it is kept. Headers that do not fit are left out whole, and the reason
    /// phrase ends where it has to.
    pub fn cut(status_code: u16, mut reason_phrase: String, all: &[(String, String)]) -> Self {
        let kept = json::prefix(&reason_phrase, Self::MAX_REASON).len();
        let is_cut = kept < reason_phrase.len();
        reason_phrase.truncate(kept);
        let (headers, lacks_some) = cut_headers(all);
        Self {
            status_code,
            reason_phrase,
            headers,
            truncated: is_cut || lacks_some,
        }
    }

    pub(super) fn weight(&self) -> usize {
        json::weight(self.reason_phrase.as_bytes()) + self.headers.weight()
    }

    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"statusCode\":");
        json::number(out, self.status_code.into());
        json::member(out, "reasonPhrase");
        json::string(out, &self.reason_phrase);
        json::member(out, "headers");
        self.headers.write_json(out);
        if self.truncated {
            out.extend_from_slice(b",\"truncated\":true");
        }
        out.push(b'}');
    }
}
