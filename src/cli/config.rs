//! `sipost config` and `sipost check`: the effective configuration, and whether it is right.

use std::collections::BTreeSet;
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

/// Where the values of lines without a comment come from.
const HEAD: &str =
    "# A line without a comment has its default: sipost config --defaults says what it means.";

/// TOML, with the origins as comments.
fn write(settings: &[Setting]) -> String {
    let dim = anstyle::Style::new().dimmed();
    let bold = anstyle::Style::new().bold();
    let mut text = format!("{dim}{HEAD}{dim:#}\n");
    let mut section = "";
    for setting in settings {
        if setting.section != section {
            section = &setting.section;
            let title = match section.split_once('[') {
                Some((list, _)) => format!("[[{list}]]"),
                None => format!("[{section}]"),
            };
            text.push_str(&format!("\n{bold}{title}{bold:#}\n"));
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
    let sources = Sources {
        checks_database: true,
        ..sources.clone()
    };
    let loaded = super::load_to_start(&sources)?;
    Printer::new().line(&summary(&loaded))?;
    Ok(ExitCode::SUCCESS)
}

/// How many variables are named one by one.
const NAMED_VARIABLES: usize = 3;

/// The file and the variables that values came from.
fn sources_read(loaded: &Loaded) -> String {
    let variables: BTreeSet<&str> = loaded
        .settings
        .iter()
        .filter_map(|setting| match &setting.origin {
            Origin::Variable(name) => Some(name.as_str()),
            Origin::Default | Origin::File(_) => None,
        })
        .collect();
    let mut read = Vec::new();
    read.extend(loaded.file.as_ref().map(|file| file.display().to_string()));
    read.extend(
        variables
            .iter()
            .take(NAMED_VARIABLES)
            .map(|name| format!("${name}")),
    );
    match (
        read.is_empty(),
        variables.len().saturating_sub(NAMED_VARIABLES),
    ) {
        (true, _) => return "no file, the defaults hold".to_owned(),
        (false, 0) => {}
        (false, 1) => read.push("1 more variable".to_owned()),
        (false, more) => read.push(format!("{more} more variables")),
    }
    if loaded.file.is_none() {
        read.insert(0, "no file".to_owned());
    }
    read.join(", ")
}

fn summary(loaded: &Loaded) -> String {
    let read = sources_read(loaded);
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
        Some(tokens) if tokens.len() == 1 => "to 1 token".to_owned(),
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
    fn one_token_is_one_token() {
        let token =
            |name: &str| format!("{{ name = \"{name}\", sha256 = \"{}\" }}", name.repeat(64));
        let summary = |tokens: &[String]| {
            let text = format!("[http]\ntokens = [{}]", tokens.join(", "));
            let sources = Sources {
                text: Some(text),
                ..Sources::default()
            };
            super::summary(&config::load(&sources).unwrap())
        };
        assert!(summary(&[token("a")]).ends_with(" is open to 1 token."));
        assert!(summary(&[token("a"), token("b")]).ends_with(" is open to 2 tokens."));
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
