//! Log lines, on standard error: JSON objects, or for people the time, the level, the message, and
//! the fields after it, dimmed.
//!
//! ```text
//! 17:30:00.041  INFO  registered                         agent.id=alice-1
//! ```

use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::io::IsTerminal as _;

use anstyle::AnsiColor;
use jiff::tz::TimeZone;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::Settings;
use crate::clock::Clock;

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

/// Why the log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one; reading the configuration would have said so.
    #[error("telemetry.log_level: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something writes the log of this process already.
    #[error("the log of this process has a writer already: {0}")]
    Taken(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Begins to write the log of this process to standard error.
pub fn start(settings: &Settings) -> Result<(), TelemetryError> {
    let stderr = io::stderr();
    let colour = match anstream::AutoStream::choice(&stderr) {
        anstream::ColorChoice::Never => Colour::Off,
        anstream::ColorChoice::Auto
        | anstream::ColorChoice::Always
        | anstream::ColorChoice::AlwaysAnsi => Colour::On,
    };
    let style = match (settings.log_format, stderr.is_terminal()) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => LineStyle::Json,
        (LogFormat::Pretty, _) | (LogFormat::Auto, true) => LineStyle::Pretty(colour),
    };
    let filter = EnvFilter::try_new(&settings.log_level)?;
    let subscriber = subscriber(
        style,
        filter,
        Clock::system(),
        TimeZone::system(),
        io::stderr,
    );
    Ok(tracing::subscriber::set_global_default(subscriber)?)
}

#[derive(Clone, Copy, Debug)]
enum LineStyle {
    /// For people.
    Pretty(Colour),
    /// An object a line.
    Json,
}

type Subscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn subscriber<W>(
    style: LineStyle,
    filter: EnvFilter,
    clock: Clock,
    zone: TimeZone,
    writer: W,
) -> Subscriber
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(Wall(clock.clone()))
        // It would say on standard error that it cannot write to standard error, and panic at that.
        .log_internal_errors(false)
        .with_writer(writer);
    match style {
        LineStyle::Pretty(colour) => Box::new(
            builder
                .event_format(Pretty {
                    clock,
                    zone,
                    colour,
                })
                .finish(),
        ),
        LineStyle::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

/// Stamps lines as events are stamped: RFC 3339, UTC, milliseconds.
struct Wall(Clock);

impl FormatTime for Wall {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", self.0.now())
    }
}

/// The column at which fields begin after a short message.
const DETAILS_AT: usize = 32;

struct Pretty {
    clock: Clock,
    zone: TimeZone,
    colour: Colour,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Colour {
    On,
    Off,
}

impl<S, N> FormatEvent<S, N> for Pretty
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
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
            Colour::On => (anstyle::Style::new().dimmed(), style),
            Colour::Off => (anstyle::Style::new(), anstyle::Style::new()),
        };
        write!(writer, "{dim}{time}{dim:#}  {style}{level}{style:#}  ")?;
        let EventText { message, details } = text;
        if details.is_empty() {
            return writeln!(writer, "{message}");
        }
        writeln!(writer, "{message:<DETAILS_AT$}  {dim}{details}{dim:#}")
    }
}

fn level_label(level: Level) -> (&'static str, anstyle::Style) {
    let of = |colour: AnsiColor| anstyle::Style::new().fg_color(Some(colour.into()));
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::Secret;
    use crate::message::Timestamp;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(style: LineStyle, filter: &str) -> String {
        written_by(style, filter, || {
            let password = Secret::new("open sesame");
            tracing::info!(agent.id = "alice-1", %password, "registered");
            tracing::debug!("not asked for");
        })
    }

    fn written_by(style: LineStyle, filter: &str, tell: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let clock = Clock::starting_at(Timestamp::from_millis(1_000));
        let filter = EnvFilter::try_new(filter).unwrap();
        let subscriber = subscriber(style, filter, clock, TimeZone::UTC, move || writer.clone());
        tracing::subscriber::with_default(subscriber, tell);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pretty_line_says_when_how_grave_and_what_and_then_the_details() {
        assert_eq!(
            written(LineStyle::Pretty(Colour::Off), "info"),
            "00:00:01.000  INFO   registered                        agent.id=alice-1 password=***\n"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn colours_are_for_terminals() {
        let line = written(LineStyle::Pretty(Colour::On), "info");
        assert!(line.contains("\x1b[32mINFO \x1b[0m"), "{line:?}");
        let line = written(LineStyle::Pretty(Colour::Off), "info");
        assert!(!line.contains('\x1b'), "{line:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_that_is_told_steers_the_terminal() {
        let line = written_by(LineStyle::Pretty(Colour::Off), "info", || {
            tracing::warn!(
                reason = "\x1b[2J\nbad",
                empty = "",
                "he said {}",
                "\x1b[31mred\n"
            );
        });
        let expected = r#"reason="\u{1b}[2J\nbad" empty="""#;
        assert!(line.contains(expected), "{line:?}");
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(!line.contains('\x1b'), "{line:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn json_is_an_object_a_line_with_fields_of_their_own() {
        let line = written(LineStyle::Json, "info");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["timestamp"], "1970-01-01T00:00:01.000Z");
        assert_eq!(object["level"], "INFO");
        assert_eq!(object["message"], "registered");
        assert_eq!(object["agent.id"], "alice-1");
        assert_eq!(object["password"], "***");
    }

    #[tokio::test(start_paused = true)]
    async fn directives_choose_what_is_told() {
        assert_eq!(written(LineStyle::Json, "warn"), "");
        assert_eq!(
            written(LineStyle::Json, "warn,sipost=debug")
                .lines()
                .count(),
            2
        );
    }
}
