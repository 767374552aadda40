//! `sipost config`: what holds, and where it came from.

use std::process::ExitCode;

use super::output::Printer;
use super::{CommandError, ConfigFile};
use crate::config;
use crate::config::{Origin, Setting, Sources};

/// Prints the configuration that holds and where each value came from, secrets masked.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 the configuration is right, 78 it is not.")]
pub(super) struct ConfigCommand {
    /// Prints the file of all keys, with their defaults and what they mean, instead.
    #[arg(long)]
    defaults: bool,

    #[command(flatten)]
    pub(super) config: ConfigFile,
}

pub(super) fn run(arguments: &ConfigCommand, sources: &Sources) -> Result<ExitCode, CommandError> {
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
