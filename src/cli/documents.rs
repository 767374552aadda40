//! Commands about the command line itself: `version`, `completions` and `man`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use super::CommandError;
use super::output::Printer;
use crate::message::without_os_error;

/// Prints a script that completes the command line in a shell.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  source <(sipost completions bash)                     in this shell; or in ~/.bashrc
  sipost completions zsh > ~/.zfunc/_sipost             with ~/.zfunc in fpath
  sipost completions fish > ~/.config/fish/completions/sipost.fish")]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

/// Prints the manual page, of sipost or of one of its commands.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sipost man | man -l -                                 reads it
  sipost man send | man -l -
  sipost man --into /usr/local/share/man/man1           writes one page for each command")]
pub(super) struct Man {
    /// The command; without it, the page of sipost itself.
    command: Option<String>,

    /// Writes the pages of all commands into this directory instead: sipost.1, sipost-send.1 …
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "command")]
    into: Option<PathBuf>,
}

pub(super) fn version(command: Command) -> Result<ExitCode, CommandError> {
    let features = if cfg!(feature = "otlp") {
        "otlp"
    } else {
        "none; otlp, for traces to an OpenTelemetry collector, is not in this build"
    };
    let mut output = Printer::new();
    output.line(command.render_version().trim_end())?;
    output.line(&format!("features: {features}"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn completions(
    arguments: &Completions,
    mut command: Command,
) -> Result<ExitCode, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "sipost", &mut script);
    Printer::new().bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(arguments: &Man, command: Command) -> Result<ExitCode, CommandError> {
    let pages = pages(command)?;
    if let Some(folder) = &arguments.into {
        return write(folder, &pages);
    }
    let name = match &arguments.command {
        Some(command) => format!("sipost-{command}.1"),
        None => "sipost.1".to_owned(),
    };
    let page = pages.iter().find(|page| page.0 == name);
    let (_, page) = page.ok_or_else(|| {
        let commands = pages
            .iter()
            .filter_map(|page| page.0.strip_prefix("sipost-"));
        let commands: Vec<_> = commands
            .filter_map(|name| name.strip_suffix(".1"))
            .collect();
        let commands = commands.join(", ");
        CommandError::Trouble(format!("there is no such command; there are {commands}"))
    })?;
    Printer::new().bytes(page)?;
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path, pages: &[(String, Vec<u8>)]) -> Result<ExitCode, CommandError> {
    for (name, page) in pages {
        let file = folder.join(name);
        fs::write(&file, page).map_err(|error| {
            let error = without_os_error(error);
            CommandError::Trouble(format!("{} cannot be written: {error}", file.display()))
        })?;
    }
    let (count, folder) = (pages.len(), folder.display());
    Printer::new().line(&format!("{count} pages are in {folder}"))?;
    Ok(ExitCode::SUCCESS)
}

/// The page of each command, by the name of its file.
fn pages(command: Command) -> Result<Vec<(String, Vec<u8>)>, CommandError> {
    let mut command = command.disable_help_subcommand(true);
    // Fills in the names of subcommands: `sipost-send`.
    command.build();
    let mut commands = Vec::new();
    gather(&command, &mut commands);
    let page = |command: Command| {
        let name = command
            .get_display_name()
            .unwrap_or_else(|| command.get_name());
        let (file, mut page) = (format!("{name}.1"), Vec::new());
        clap_mangen::Man::new(command)
            .manual("sipost")
            .render(&mut page)
            .map_err(|error| CommandError::Trouble(format!("no page can be made: {error}")))?;
        Ok((file, page))
    };
    commands.into_iter().map(page).collect()
}

/// A command and all below it.
fn gather(command: &Command, commands: &mut Vec<Command>) {
    commands.push(command.clone());
    for below in command.get_subcommands() {
        gather(below, commands);
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::Arguments;
    use super::*;

    #[test]
    fn every_command_has_a_page_that_names_its_options() {
        let pages = pages(Arguments::command()).ok().unwrap();
        assert_eq!(pages[0].0, "sipost.1");
        for command in Arguments::command().get_subcommands() {
            let file = format!("sipost-{}.1", command.get_name());
            let page = pages.iter().find(|page| page.0 == file);
            let page = String::from_utf8(page.unwrap_or_else(|| panic!("no {file}")).1.clone());
            let page = page.unwrap();
            for argument in command.get_arguments() {
                let Some(long) = argument.get_long().filter(|long| *long != "help") else {
                    continue;
                };
                let option = format!("\\-\\-{}", long.replace('-', "\\-"));
                assert!(page.contains(&option), "{file}: no {option}");
            }
        }
    }

    #[test]
    fn every_shell_completes_every_command() {
        for shell in [
            Shell::Bash,
            Shell::Zsh,
            Shell::Fish,
            Shell::PowerShell,
            Shell::Elvish,
        ] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "sipost", &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in Arguments::command().get_subcommands() {
                assert!(
                    script.contains(command.get_name()),
                    "{shell}: {}",
                    command.get_name()
                );
            }
        }
    }
}
