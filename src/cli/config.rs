//! `sipost config` and `sipost check`: the effective configuration, and whether it is right.

use std::process::ExitCode;

use super::output::Printer;
use super::{CommandError, ConfigFile};
use crate::config;
use crate::config::{Loaded, Origin, Setting, Sources};

/// Prints the effective configuration and the origin of each value, secrets masked.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 the configuration is right, 78 it is not.")]
pub(super) struct ConfigCommand {
    /// Prints the file of all keys, with their defaults and what they mean, instead.
    #[arg(long)]
    defaults: bool,

    #[command(flatten)]
    pub(super) config: ConfigFile,
}

pub(super) fn print(
    arguments: &ConfigCommand,
    sources: &Sources,
) -> Result<ExitCode, CommandError> {
    let text = if arguments.defaults {
        config::DEFAULTS.to_owned()
    } else {
        write(&config::load(sources)?.settings)
    };
    Printer::new().line(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// TOML, with the origins as comments.
fn write(settings: &[Setting]) -> String {
    let dim = anstyle::Style::new().dimmed();
    let bold = anstyle::Style::new().bold();
    let mut text = String::new();
    let mut section = "";
    for setting in settings {
        if setting.section != section {
            section = &setting.section;
            let break_before = if text.is_empty() { "" } else { "\n" };
            let title = match section.split_once('[') {
                Some((list, _)) => format!("[[{list}]]"),
                None => format!("[{section}]"),
            };
            text.push_str(&format!("{break_before}{bold}{title}{bold:#}\n"));
        }
        let key = &setting.key;
        let line = match (&setting.value, &setting.origin) {
            (None, _) => format!("{dim}# {key} is not set{dim:#}\n"),
            (Some(value), Origin::Default) => format!("{key} = {value}\n"),
            (Some(value), origin) => {
                let pair = format!("{key} = {value}");
                format!("{pair:<48} {dim}# {origin}{dim:#}\n")
            }
        };
        text.push_str(&line);
    }
    text
}

/// Checks the configuration and lists every mistake in it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 the configuration is right, 78 it is not.")]
pub(super) struct CheckCommand {
    #[command(flatten)]
    pub(super) config: ConfigFile,
}

pub(super) fn check(sources: &Sources) -> Result<ExitCode, CommandError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> String {
        let sources = Sources {
            text: Some(text.to_owned()),
            ..Sources::default()
        };
        let settings = config::load(&sources).unwrap().settings;
        anstream::adapter::strip_str(&write(&settings)).to_string()
    }

    const ACCOUNT: &str = "[[account]]\nuri = \"sip:alice@example.com\"\npassword = \"open sesame\"\n\
                           servers = [{ url = \"wss://a.example\", weight = 3 }]\n";

    #[test]
    fn what_was_set_says_where() {
        let text = printed(&format!("[sip]\ntimer_f = \"10s\"\n{ACCOUNT}"));
        assert!(
            text.contains("\ntimer_f = \"10s\"                                  # sipost.toml:2\n"),
            "{text}"
        );
        assert!(text.contains("\nping_interval = \"25s\"\n"), "{text}");
        assert!(text.contains("\n# ca_file is not set\n"), "{text}");
        assert!(
            text.contains("\n[[account]]\nuri = \"sip:alice@example.com\" "),
            "{text}"
        );
        assert!(
            text.contains("\nservers = [{ url = \"wss://a.example\", weight = 3 }] # "),
            "{text}"
        );
    }

    #[test]
    fn no_secret_is_printed() {
        let text = printed(ACCOUNT);
        assert!(
            text.contains("\npassword = \"***\" ") && !text.contains("sesame"),
            "{text}"
        );
    }

    #[test]
    fn what_is_printed_is_a_configuration_again() {
        let text = printed(&ACCOUNT.replace("password = \"open sesame\"\n", ""));
        assert_eq!(printed(&text).lines().count(), text.lines().count());
    }
}
