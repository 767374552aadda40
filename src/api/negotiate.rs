//! What a client prefers: an answer, a stream, or to wait.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderMap, header};

use super::error::ApiError;
use super::observer::MetricsFormat;

/// The longest `Prefer: wait`.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The two forms in which events are given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    Json,
    Stream,
}

/// The form the client prefers (RFC 9110 §12.5.1). A stream is given only to who names it, because
/// `*/*` is what clients say that think of nothing.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let accepted = accepted(headers);
    let json = Match::of(&accepted, &JSON);
    let stream = Match::of(&accepted, &["text/event-stream", "text/*"]);
    if stream.quality > 0 && stream.quality >= json.quality {
        return Ok(Form::Stream);
    }
    if !accepted.is_empty() && json.quality == 0 {
        Err(ApiError::NotAcceptable(
            "application/json or text/event-stream",
        ))
    } else {
        Ok(Form::Json)
    }
}

/// What names JSON.
const JSON: [&str; 4] = [
    "application/json",
    "application/problem+json",
    "application/*",
    "*/*",
];

/// The forms in which a trace is given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TraceForm {
    Json,
    /// A file for Wireshark.
    Capture,
    /// A diagram, as text.
    Ladder,
}

/// The form of a trace that the client prefers; of two that it likes alike the one that it names
/// more exactly, then JSON.
pub(super) fn trace_form(headers: &HeaderMap) -> Result<TraceForm, ApiError> {
    let accepted = accepted(headers);
    let forms = [
        (&["application/vnd.tcpdump.pcap"][..], TraceForm::Capture),
        (&["text/plain", "text/*"], TraceForm::Ladder),
        (&JSON, TraceForm::Json),
    ];
    let liked = forms.map(|(ranges, form)| (Match::of(&accepted, ranges), form));
    let taken = liked.into_iter().filter(|(liked, _)| liked.quality > 0);
    let best = taken.max_by_key(|(liked, _)| (liked.quality, liked.specificity));
    match best {
        Some((_, form)) => Ok(form),
        None if accepted.is_empty() => Ok(TraceForm::Json),
        None => Err(ApiError::NotAcceptable(
            "application/json, application/vnd.tcpdump.pcap or text/plain",
        )),
    }
}

/// Whether a client takes an event stream, where there is nothing else.
pub(super) fn only_stream(headers: &HeaderMap) -> Result<(), ApiError> {
    let accepted = accepted(headers);
    let stream = Match::of(&accepted, &["text/event-stream", "text/*", "*/*"]);
    if !accepted.is_empty() && stream.quality == 0 {
        Err(ApiError::NotAcceptable("text/event-stream"))
    } else {
        Ok(())
    }
}

/// The format of metrics that the client prefers. OpenMetrics is for clients that name it; the
/// classic format is for all others, because every scraper reads it.
pub(super) fn metrics_format(headers: &HeaderMap) -> MetricsFormat {
    let accepted = accepted(headers);
    let classic = Match::of(&accepted, &["text/plain", "text/*"]);
    let open = Match::of(&accepted, &["application/openmetrics-text"]);
    if open.quality > 0 && open.quality >= classic.quality {
        MetricsFormat::OpenMetrics
    } else {
        MetricsFormat::Classic
    }
}

/// The media ranges of every `Accept`, in lower case, each with its quality in thousandths.
fn accepted(headers: &HeaderMap) -> Vec<(String, u16)> {
    let values = headers.get_all(header::ACCEPT).iter();
    let ranges = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    let ranges = ranges.filter_map(|range| {
        let mut parameters = range.split(';').map(str::trim);
        let media = parameters.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parameters.find_map(quality).unwrap_or(1_000);
        (!media.is_empty()).then_some((media, quality))
    });
    ranges.collect()
}

/// How much a client likes a type: the most specific range that names it decides.
#[derive(Default)]
struct Match {
    specificity: u8,
    quality: u16,
}

impl Match {
    /// How much it likes what these media ranges name.
    fn of(accepted: &[(String, u16)], ranges: &[&str]) -> Self {
        let mut liked = Self::default();
        for (media, quality) in accepted {
            if ranges.contains(&media.as_str()) {
                let specificity = match media.as_str() {
                    "*/*" => 1,
                    range if range.ends_with("/*") => 2,
                    _ => 3,
                };
                liked.take(specificity, *quality);
            }
        }
        liked
    }

    fn take(&mut self, specificity: u8, quality: u16) {
        let likes_it_more = specificity == self.specificity && quality > self.quality;
        if specificity > self.specificity || likes_it_more {
            *self = Self {
                specificity,
                quality,
            };
        }
    }
}

/// `q=0.5`, in thousandths (RFC 9110 §12.4.2).
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value: f32 = value.trim().parse().ok()?;
    // Within a thousand, so it fits; NaN becomes 0.
    Some((value.clamp(0.0, 1.0) * 1_000.0) as u16)
}

/// How long the client wants to wait for the end of its message (RFC 7240 §4.3), at most
/// [`MAX_WAIT`].
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all("prefer")
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .find_map(|preference| {
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            let digits = value.trim().trim_matches('"');
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            (name.trim().eq_ignore_ascii_case("wait") && is_number).then(|| {
                // A number too large to read is more than the most.
                digits.parse().map_or(MAX_WAIT, Duration::from_secs)
            })
        })
        .map(|wait| wait.min(MAX_WAIT))
}

/// The client's `Idempotency-Key`, 1 to 255 visible ASCII characters: a string of RFC 9651 §3.3.3,
/// as the draft of the header has it, or bare, as most clients write it. Both are one key.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    let key = match text.strip_prefix('"') {
        Some(quoted) => unquote(quoted),
        None => Some(Cow::Borrowed(text)),
    };
    let fits = |key: &str| (1..=255).contains(&key.len()) && !key.contains('\t');
    let key = key.filter(|key| fits(key) && values.next().is_none());
    key.map(Some).ok_or(ApiError::Header(
        "Idempotency-Key: once, 1 to 255 visible ASCII characters, bare or in quotation marks",
    ))
}

/// What the string says whose opening quotation mark was taken off; `None` when it is none.
fn unquote(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_suffix('"')?;
    if !inner.contains(['"', '\\']) {
        return Some(Cow::Borrowed(inner));
    }
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => return None,
            '\\' => text.push(chars.next().filter(|char| matches!(char, '"' | '\\'))?),
            _ => text.push(char),
        }
    }
    Some(Cow::Owned(text))
}

/// What an event source saw last.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("last-event-id")?;
    let text = String::from_utf8_lossy(value.as_bytes());
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            axum::http::HeaderName::from_static(name),
            value.parse().unwrap(),
        )])
    }

    #[test]
    fn a_stream_is_given_to_who_prefers_it() {
        let given = |accept| form(&headers("accept", accept)).ok();
        for accept in [
            "text/event-stream",
            "TEXT/Event-Stream",
            "text/event-stream, application/json",
            "text/event-stream, */*;q=0.1",
            "text/event-stream, */*",
            "text/*",
            "text/event-stream;q=0.5, application/json;q=0, */*",
        ] {
            assert_eq!(given(accept), Some(Form::Stream), "{accept}");
        }
        for accept in [
            "application/json",
            "*/*",
            "",
            "text/event-stream;q=0.5, application/json",
            "text/event-stream;q=0, */*;q=0.1",
            "text/html, application/xml;q=0.9, */*;q=0.8",
            "text/event-stream;q=0.2, application/*;Q=0.3",
        ] {
            assert_eq!(given(accept), Some(Form::Json), "{accept}");
        }
        for accept in ["text/html", "application/json;q=0", "*/*;q=0", "nonsense"] {
            assert_eq!(given(accept), None, "{accept}");
        }
        assert_eq!(form(&HeaderMap::new()).ok(), Some(Form::Json));
    }

    #[test]
    fn open_metrics_are_for_clients_that_prefer_them_by_name() {
        let given = |accept| metrics_format(&headers("accept", accept));
        for accept in [
            "application/openmetrics-text",
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1",
            "text/plain, application/openmetrics-text",
        ] {
            assert_eq!(given(accept), MetricsFormat::OpenMetrics, "{accept}");
        }
        for accept in [
            "*/*",
            "",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/plain;version=0.0.4",
            "application/openmetrics-text;q=0, */*",
            "application/openmetrics-text;q=0.3, text/plain;q=0.5",
        ] {
            assert_eq!(given(accept), MetricsFormat::Classic, "{accept}");
        }
        assert_eq!(metrics_format(&HeaderMap::new()), MetricsFormat::Classic);
    }

    #[test]
    fn a_trace_is_given_in_the_form_that_is_liked_best_and_named_most_exactly() {
        let given = |accept| trace_form(&headers("accept", accept)).ok();
        for (accept, form) in [
            ("application/vnd.tcpdump.pcap", Some(TraceForm::Capture)),
            ("text/plain", Some(TraceForm::Ladder)),
            ("text/plain, */*", Some(TraceForm::Ladder)),
            ("text/*;q=0.5, */*;q=0.1", Some(TraceForm::Ladder)),
            ("application/json, text/plain, */*", Some(TraceForm::Json)),
            ("text/html, */*;q=0.8", Some(TraceForm::Json)),
            ("application/*", Some(TraceForm::Json)),
            ("", Some(TraceForm::Json)),
            ("image/png", None),
            ("text/plain;q=0", None),
        ] {
            assert_eq!(given(accept), form, "{accept}");
        }
        assert_eq!(trace_form(&HeaderMap::new()).ok(), Some(TraceForm::Json));
    }

    #[test]
    fn what_is_only_a_stream_is_given_to_who_takes_one() {
        let given = |accept| only_stream(&headers("accept", accept)).is_ok();
        for accept in ["text/event-stream", "*/*", "", "text/*, text/plain;q=0"] {
            assert!(given(accept), "{accept}");
        }
        for accept in ["application/json", "text/event-stream;q=0, */*"] {
            assert!(!given(accept), "{accept}");
        }
    }

    #[test]
    fn waiting_is_bounded() {
        let wait_of = |value| wait(&headers("prefer", value)).map(|wait| wait.as_secs());
        assert_eq!(wait_of("wait=10"), Some(10));
        assert_eq!(wait_of("wait=\"10\""), Some(10));
        assert_eq!(wait_of("respond-async, WAIT = 5; x"), Some(5));
        assert_eq!(wait_of("wait=3600"), Some(30));
        assert_eq!(wait_of("wait=99999999999999999999999"), Some(30));
        assert_eq!(wait_of("wait=0"), Some(0));
        assert_eq!(wait_of("wait=soon"), None);
        assert_eq!(wait_of("wait=-1"), None);
        assert_eq!(wait_of("return=minimal"), None);
    }

    #[test]
    fn a_key_in_quotation_marks_is_the_same_key() {
        let key = |value: &str| {
            let headers = headers("idempotency-key", value);
            idempotency_key(&headers)
                .ok()
                .flatten()
                .map(Cow::into_owned)
        };
        for (value, expected) in [
            ("k1", "k1"),
            (r#""k1""#, "k1"),
            (r#" "k 1" "#, "k 1"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            (r#"a"b\c"#, r#"a"b\c"#),
        ] {
            assert_eq!(key(value).as_deref(), Some(expected), "{value}");
        }
        for broken in [
            r#"""#, r#""a"#, r#""a"b""#, r#""a\""#, r#""a\n""#, r#""a";b"#,
        ] {
            assert_eq!(key(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_key_is_given_once_and_has_255_characters_at_most() {
        let key = |value: &str| idempotency_key(&headers("idempotency-key", value)).is_ok();
        assert!(key("a") && key(&"k".repeat(255)) && key(&format!("\"{}\"", "k".repeat(255))));
        for value in ["", "  ", "é", "a\tb", "\"a\tb\"", &"k".repeat(256), "\"\""] {
            assert!(!key(value), "{value:?}");
        }
        let mut twice = headers("idempotency-key", "a");
        twice.append("idempotency-key", "a".parse().unwrap());
        assert!(idempotency_key(&twice).is_err());
    }
}
