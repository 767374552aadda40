//! `sipost backup` and `sipost restore`: a copy of the store, and a store made of a copy.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::output::Printer;
use super::{CommandError, ConfigFile, output};
use crate::app;
use crate::clock::Clock;
use crate::config;
use crate::config::Backend;
use crate::store::sqlite;

/// Copies the store to a new file that only its owner can read. The gateway may run meanwhile.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 copied, 1 it could not be, 2 the store is in PostgreSQL, which has \
                  pg_dump for this, 78 the configuration is wrong."
)]
pub(super) struct Backup {
    /// The file to create. An existing file is not replaced.
    file: PathBuf,
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn backup(arguments: &Backup) -> Result<ExitCode, CommandError> {
    let settings = config::load_store(&arguments.config.sources())?;
    let Backend::Sqlite(store) = &settings.backend else {
        return Err(CommandError::Trouble(
            "the store is in PostgreSQL: copy it with `pg_dump --format=custom`".to_owned(),
        ));
    };
    let file = &arguments.file;
    let copied = sqlite::backup(store, file)
        .map(|()| format!("{} is copied to {}", store.display(), file.display()))
        .map_err(|error| format!("no copy was made: {error}"));
    print(copied)
}

/// Replaces the store with a copy. It begins a new epoch, so that no id of an event is used twice.
/// The old store is kept under another name. Refuses while a gateway runs.
///
/// With PostgreSQL: run pg_restore first, and then this command without a file.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 restored, 1 it could not be, 2 FILE is missing, or given with \
                  PostgreSQL, 78 the configuration is wrong."
)]
pub(super) struct Restore {
    /// What `sipost backup` made. Left out with PostgreSQL.
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn restore(arguments: &Restore) -> Result<ExitCode, CommandError> {
    let settings = config::load_store(&arguments.config.sources())?;
    let clock = Clock::system();
    let restored = match (&settings.backend, &arguments.file) {
        (Backend::Sqlite(store), Some(file)) => of_copy(store, file, &clock),
        (Backend::Postgres(address), None) => super::on_one_thread(async {
            Ok(app::begin_epoch(&settings, address, &clock)
                .await
                .map(|epoch| format!("the database has begun epoch {epoch}"))
                .map_err(|error| error.to_string()))
        })?,
        (Backend::Sqlite(_), None) => {
            return Err(CommandError::Trouble(
                "FILE is missing: the copy that `sipost backup` made".to_owned(),
            ));
        }
        (Backend::Postgres(_), Some(_)) => {
            return Err(CommandError::Trouble(
                "the store is in PostgreSQL: put it back with `pg_restore`, and then run \
                 `sipost restore` without a file, so that it begins a new epoch"
                    .to_owned(),
            ));
        }
    };
    print(restored.map_err(|error| format!("nothing was restored: {error}")))
}

fn print(result: Result<String, String>) -> Result<ExitCode, CommandError> {
    match result {
        Ok(text) => {
            Printer::new().line(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(text) => {
            output::print_error(&text);
            Ok(ExitCode::FAILURE)
        }
    }
}

fn of_copy(store: &Path, file: &Path, clock: &Clock) -> Result<String, String> {
    let restored = sqlite::restore(store, file, clock.now()).map_err(|error| error.to_string())?;
    let (store, file, epoch) = (store.display(), file.display(), restored.epoch);
    let kept = restored.kept.map(|kept| {
        let kept = kept.display();
        format!("; what was there is {kept}")
    });
    Ok(format!(
        "{store} is made of {file}, and has begun epoch {epoch}{}",
        kept.unwrap_or_default()
    ))
}
