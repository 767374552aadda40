//! `[receive]`: which messages from peers are accepted.

use super::section::Section;
use super::sip::SipSettings;
use super::value;
use crate::dispatch::InboundSettings;
use crate::message::is_media_type;
use crate::sip;
use crate::sip::StatusCode;

/// Which messages are accepted, and the answers to the others.
#[derive(Clone, Debug)]
pub struct ReceivingSettings {
    /// What agents take, and how they answer.
    pub agents: sip::ReceiveSettings,
    /// How much is taken in, and when.
    pub inbound: InboundSettings,
}

/// What a request needs besides its body: its headers, which its server has added to.
const HEADERS: usize = 16 << 10;

impl ReceivingSettings {
    pub(super) fn read(mut section: Section<'_>, sip: &SipSettings) -> Self {
        let answer = section.required("answer", "202 or 200", |value| {
            match value::whole_number(value)? {
                200 => Some(StatusCode::OK),
                202 => Some(StatusCode::ACCEPTED),
                _ => None,
            }
        });
        let receive = Self {
            agents: sip::ReceiveSettings {
                answer: answer.unwrap_or(StatusCode::ACCEPTED),
                accepts: section.texts("accepts", MEDIA_RANGE, media_range),
                max_body: section.size("max_body", 1024..=16 << 20),
                trust_asserted: section.flag("trust_asserted"),
            },
            inbound: InboundSettings {
                rate: section.positive("rate").unwrap_or(MANY),
                rate_from: section.positive("rate_from").unwrap_or(MANY),
                require_consumer: section.flag("require_consumer"),
            },
        };
        if receive.agents.max_body + HEADERS > sip.max_frame {
            let problem = "leaves no room for headers in sip.max_frame";
            section.wrong("max_body", problem, "16 KiB less than sip.max_frame");
        }
        section.finish();
        receive
    }
}

/// No limit: more than any agent reads.
const MANY: f64 = 1_000_000.0;

const MEDIA_RANGE: &str = "a media type without parameters, such as \"text/plain\", \"text/*\" or \
                           \"*/*\"";

fn media_range(text: &str) -> Option<String> {
    let (kind, subtype) = text.split_once('/')?;
    let is_range = kind != "*" || subtype == "*";
    (is_media_type(text) && !text.contains(';') && is_range).then(|| text.to_ascii_lowercase())
}
