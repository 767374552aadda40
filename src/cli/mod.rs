//! The command line: one file for each subcommand or pair of them.
//!
//! Exit codes: 0 done; 1 the message failed, or the gateway ended with an error; 2 wrong usage, or
//! no gateway was reached; 78 a wrong configuration (`EX_CONFIG` of sysexits); 130 interrupted.

mod agents;
mod backup;
mod body;
mod client;
mod columns;
mod config;
mod documents;
mod follow;
mod found;
mod health;
mod http;
mod limit;
mod lines;
mod listen;
mod messages;
mod output;
mod received;
mod sandbox;
mod send;
mod serve;
mod since;
mod sse;
mod style;
mod table;
mod tail;
mod targets;
mod trace;
mod waiting;
mod webhooks;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{CommandFactory as _, Parser};

use self::client::Trouble;
use crate::clock::Clock;
use crate::config as settings;
use crate::config::{Loaded, Mistakes, Sources};

const EXAMPLES: &str = "\
Examples:
  sipost                                        starts the gateway, with a sandbox to send to
  sipost send ok 'Hello!'                       sends one message and follows it to its end
  sipost tail                                   follows what becomes of all messages
  sipost agents                                 which agents are registered, and why others are not

Times are those of this machine's zone (TZ); with --json they are UTC.

Every setting, its default and what it means: sipost config --defaults";

/// HTTP POST in, SIP MESSAGE out: takes messages over HTTP, keeps them safe, sends them over SIP
/// WebSocket and tells what became of them.
#[derive(Debug, Parser)]
#[command(name = "sipost", version, after_help = EXAMPLES, propagate_version = true)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_help_heading = "Commands",
    max_term_width = 100
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Subcommand>,
    /// Without a subcommand: serve.
    #[command(flatten)]
    serve: serve::Serve,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    Serve(serve::Serve),
    Sandbox(sandbox::SandboxCommand),
    Check(config::CheckCommand),
    Health(health::Health),
    Config(config::ConfigCommand),
    Send(Box<send::Send>),
    Tail(tail::TailCommand),
    Trace(trace::TraceCommand),
    Get(messages::Get),
    List(messages::List),
    Cancel(messages::Cancel),
    Agents(agents::Agents),
    Received(received::ReceivedCommand),
    Webhooks(webhooks::WebhooksCommand),
    Listen(listen::Listen),
    Backup(backup::Backup),
    Restore(backup::Restore),
    /// Prints the version, and the features of this build.
    Version,
    Completions(documents::Completions),
    Man(documents::Man),
}

/// Which configuration file.
#[derive(Clone, Debug, Default, clap::Args)]
struct ConfigFile {
    /// The configuration file. Without it: /etc/sipost/sipost.toml or ./config/sipost.toml, if
    /// there is one.
    #[arg(long, env = "SIPOST_CONFIG", value_name = "FILE", value_parser = path_or_none())]
    config: Option<PathBuf>,
}

impl ConfigFile {
    fn sources(&self) -> Sources {
        // An empty variable counts as not set, as everywhere.
        let named = self
            .config
            .clone()
            .filter(|file| !file.as_os_str().is_empty());
        Sources::of_process(named)
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
enum CommandError {
    /// The configuration is wrong.
    Config(Mistakes),
    /// Any other reason, in one sentence.
    Trouble(String),
    /// Standard output was closed by its reader.
    OutputClosed,
}

impl From<Mistakes> for CommandError {
    fn from(mistakes: Mistakes) -> Self {
        Self::Config(mistakes)
    }
}

impl From<Trouble> for CommandError {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble.to_string())
    }
}

/// sysexits.h, `EX_CONFIG`.
const WRONG_CONFIGURATION: u8 = 78;
const WRONG_USAGE: u8 = 2;

/// Does what the arguments, of which the first is our own name, ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come here too. Standard output may be closed.
            _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_USAGE));
        }
    };
    let (code, text) = match perform(arguments) {
        Ok(code) => return code,
        Err(CommandError::OutputClosed) => return ExitCode::SUCCESS,
        Err(CommandError::Config(mistakes)) => (WRONG_CONFIGURATION, mistakes.to_string()),
        Err(CommandError::Trouble(sentence)) => (WRONG_USAGE, sentence),
    };
    output::print_error(&text);
    ExitCode::from(code)
}

fn perform(arguments: Arguments) -> Result<ExitCode, CommandError> {
    match arguments.command {
        Some(Subcommand::Check(check)) => config::check(&check.config.sources()),
        Some(Subcommand::Config(config)) => config::print(&config, &config.config.sources()),
        Some(Subcommand::Send(send)) => on_one_thread(send::run(&send)),
        Some(Subcommand::Tail(tail)) => on_one_thread(tail::run(&tail)),
        Some(Subcommand::Trace(trace)) => on_one_thread(trace::run(&trace)),
        Some(Subcommand::Get(get)) => on_one_thread(messages::get(&get)),
        Some(Subcommand::List(list)) => on_one_thread(messages::list(&list)),
        Some(Subcommand::Cancel(cancel)) => on_one_thread(messages::cancel(&cancel)),
        Some(Subcommand::Agents(agents)) => on_one_thread(agents::run(&agents)),
        Some(Subcommand::Received(received)) => on_one_thread(received::run(&received)),
        Some(Subcommand::Webhooks(webhooks)) => on_one_thread(webhooks::run(&webhooks)),
        Some(Subcommand::Listen(listen)) => on_one_thread(listen::run(&listen)),
        Some(Subcommand::Health(health)) => on_one_thread(health::run(&health)),
        Some(Subcommand::Backup(backup)) => backup::backup(&backup),
        Some(Subcommand::Restore(restore)) => backup::restore(&restore),
        Some(Subcommand::Version) => documents::version(Arguments::command()),
        Some(Subcommand::Completions(shell)) => {
            documents::completions(&shell, Arguments::command())
        }
        Some(Subcommand::Man(pages)) => documents::man(&pages, Arguments::command()),
        Some(Subcommand::Serve(arguments)) => serve::run(&arguments),
        Some(Subcommand::Sandbox(arguments)) => on_one_thread(sandbox::run(&arguments)),
        None => serve::run(&arguments.serve),
    }
}

/// Reads a configuration that a gateway can start with: the directory of its store is there. A
/// reload does not check this, because it does not move the store.
fn load_to_start(sources: &Sources) -> Result<Loaded, Mistakes> {
    settings::load(&Sources {
        checks_store: true,
        ..sources.clone()
    })
}

fn on_one_thread<T>(
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::Trouble(format!("no runtime can be started: {error}")))?;
    runtime.block_on(work)
}

/// An id as one segment of a path. A text that is no id is not found there.
fn segment(id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    id.chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect()
}

/// The path of a file; it may be empty, because an empty variable counts as not set.
fn path_or_none() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// A duration as the configuration writes it.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let accepted = "a duration such as \"30s\", \"10m\", \"1h\"; a bare number is seconds";
    settings::duration(text).ok_or_else(|| accepted.to_owned())
}

/// Waits before a broken stream is resumed, and says so.
async fn wait(time: Duration, reason: &str) {
    output::print_note(&format!(
        "{reason}; trying again in {:.1} s",
        time.as_secs_f64()
    ));
    tokio::time::sleep(time).await;
}

/// The time as `jiff` has it.
fn wall_time(clock: &Clock) -> jiff::Timestamp {
    let now = jiff::Timestamp::from_millisecond(clock.now().as_millis());
    now.unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_help() {
        for command in Arguments::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{}", argument.get_id());
            }
        }
    }
}
