//! `sipost check`: whether the configuration is right.

use std::process::ExitCode;

use super::output::Printer;
use super::{CommandError, ConfigFile};
use crate::config::{Loaded, Sources};

/// Reads the configuration and tells every mistake at once.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 the configuration is right, 78 it is not.")]
pub(super) struct CheckCommand {
    #[command(flatten)]
    pub(super) config: ConfigFile,
}

pub(super) fn run(sources: &Sources) -> Result<ExitCode, CommandError> {
    let loaded = super::load_to_start(sources)?;
    Printer::new().line(&summary(&loaded))?;
    Ok(ExitCode::SUCCESS)
}

fn summary(loaded: &Loaded) -> String {
    let file = loaded.file.as_ref().map(|file| file.display().to_string());
    let read = file.unwrap_or_else(|| "no file, the defaults hold".to_owned());
    let config = &loaded.config;
    let agents: u32 = config
        .accounts
        .iter()
        .map(|account| account.connections)
        .sum();
    let accounts = match config.accounts.len() {
        0 => "no account, so the sandbox stands in".to_owned(),
        1 => format!("1 account with {agents} agents"),
        count => format!("{count} accounts with {agents} agents"),
    };
    let callers = match &config.http.access.tokens {
        Some(tokens) => format!("to {} tokens", tokens.len()),
        None if config.http.is_open => "to anyone who reaches it".to_owned(),
        None => "to this machine only".to_owned(),
    };
    let listen = config.http.listen;
    let scheme = config.http.tls.as_ref().map_or("http", |_| "https");
    format!(
        "The configuration is right ({read}): {accounts}; {scheme}://{listen} is open {callers}."
    )
}
