//! `sipost backup`: a copy of the store.

use std::path::PathBuf;
use std::process::ExitCode;

use super::output::Printer;
use super::{CommandError, ConfigFile, output};
use crate::config;
use crate::config::Backend;
use crate::store::sqlite;

/// Copies the store to a new file, which its owner alone can read; a gateway may be at work.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 copied, 1 it could not be, 2 the store is in PostgreSQL, which has \
                  pg_dump for this, 78 the configuration is wrong."
)]
pub(super) struct Backup {
    /// The file to make. One that is there already is not touched.
    file: PathBuf,
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn run(backup: &Backup) -> Result<ExitCode, CommandError> {
    let loaded = config::load(&backup.config.sources())?;
    let Backend::Sqlite(store) = &loaded.config.store.backend else {
        return Err(CommandError::Trouble(
            "the store is in PostgreSQL: copy it with `pg_dump --format=custom`".to_owned(),
        ));
    };
    let file = &backup.file;
    match sqlite::backup(store, file) {
        Ok(()) => {
            let (store, file) = (store.display(), file.display());
            Printer::new().line(&format!("{store} is copied to {file}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            output::print_error(&format!("no copy was made: {error}"));
            Ok(ExitCode::FAILURE)
        }
    }
}
