//! Log lines for people: time, level, message, and the fields after it, dimmed.
//!
//! ```text
//! 17:30:00.041  INFO  registered                         agent.id=alice-1
//! ```

use std::fmt;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Clock;

/// The column at which fields begin after a short message.
const DETAILS_AT: usize = 32;

/// Writes lines for people.
pub(super) struct Pretty {
    pub(super) clock: Clock,
    pub(super) zone: TimeZone,
    pub(super) colour: Colour,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Colour {
    On,
    Off,
}

impl<S, N> FormatEvent<S, N> for Pretty
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = EventText::default();
        event.record(&mut text);
        let now = jiff::Timestamp::from_millisecond(self.clock.now().as_millis());
        let now = self
            .zone
            .to_datetime(now.unwrap_or(jiff::Timestamp::UNIX_EPOCH));
        let time = now.strftime("%H:%M:%S.%3f");
        let (level, style) = level_label(*event.metadata().level());
        let (dim, style) = match self.colour {
            Colour::On => (Style::new().dimmed(), style),
            Colour::Off => (Style::new(), Style::new()),
        };
        write!(writer, "{dim}{time}{dim:#}  {style}{level}{style:#}  ")?;
        let EventText { message, details } = text;
        if details.is_empty() {
            return writeln!(writer, "{message}");
        }
        writeln!(writer, "{message:<DETAILS_AT$}  {dim}{details}{dim:#}")
    }
}

fn level_label(level: Level) -> (&'static str, Style) {
    let of = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match level {
        Level::ERROR => ("ERROR", of(AnsiColor::Red).bold()),
        Level::WARN => ("WARN ", of(AnsiColor::Yellow).bold()),
        Level::INFO => ("INFO ", of(AnsiColor::Green)),
        Level::DEBUG => ("DEBUG", of(AnsiColor::Blue)),
        Level::TRACE => ("TRACE", of(AnsiColor::Magenta)),
    }
}

/// The message of an event, and its fields: `name=value` with a space between.
#[derive(Default)]
struct EventText {
    message: String,
    details: String,
}

impl EventText {
    /// Adds `name=value`. A value whose end would not be seen is in quotes; control characters are
    /// escaped, because they could steer the terminal.
    fn detail(&mut self, name: &str, value: &str) {
        if !self.details.is_empty() {
            self.details.push(' ');
        }
        let is_plain = !value.is_empty()
            && !value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
        // Writing to memory cannot fail.
        let _ = if is_plain {
            write!(self.details, "{name}={value}")
        } else {
            write!(self.details, "{name}={value:?}")
        };
    }
}

impl Visit for EventText {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.escape_debug().to_string(),
            name => self.detail(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "message" => {
                let is_safe = |c: char| !c.is_control();
                self.message = value.chars().filter(|c| is_safe(*c)).collect();
            }
            name => self.detail(name, &value),
        }
    }
}
