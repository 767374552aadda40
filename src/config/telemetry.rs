//! `[telemetry]`: what is told of what goes on.

use super::section::Section;

/// What is told of what goes on.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// How log lines look.
    pub log_format: LogFormat,
    /// A level, or directives for parts of the program; known to be well-formed.
    pub log_level: String,
    /// Whether log lines show targets only as hashes.
    pub hash_targets: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Pretty,
    /// An object a line.
    Json,
}

impl Telemetry {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let formats = [
            ("auto", LogFormat::Auto),
            ("pretty", LogFormat::Pretty),
            ("json", LogFormat::Json),
        ];
        let accepted = "\"error\", \"warn\", \"info\", \"debug\", \"trace\", \"off\", or directives \
                        such as \"info,sipost::agent=debug\"";
        let telemetry = Self {
            log_format: section.word("log_format", &formats),
            log_level: section
                .required_text("log_level", accepted, directives)
                .unwrap_or_default(),
            hash_targets: section.word("targets", &[("hashed", true), ("plain", false)]),
        };
        section.finish();
        telemetry
    }
}

fn directives(text: &str) -> Option<String> {
    // A bare word that is no level would be taken for the name of a module, and silence us.
    let is_level = |word: &str| word.parse::<tracing::level_filters::LevelFilter>().is_ok();
    let plain = text.split(',').filter(|part| !part.contains(['=', '[']));
    let known = plain.into_iter().all(|word| is_level(word.trim()));
    let parsed = tracing_subscriber::EnvFilter::try_new(text);
    (known && parsed.is_ok()).then(|| text.to_owned())
}
