//! `sipost serve`: the gateway.

use std::process::ExitCode;

use super::{CommandError, ConfigFile};
use crate::app;
use crate::config::{Loaded, Sources};
use crate::shutdown::{Reloads, Shutdown};
use crate::telemetry;

/// Runs the gateway until it is stopped by a signal.
///
/// With no account configured it starts the built-in sandbox SIP server on loopback and registers
/// with that, so that messages can be sent at once.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(
    after_help = "SIGINT or SIGTERM stops in order, a second one at once. SIGHUP reads the configuration again.\n\
                        Exit codes: 0 stopped, 1 it could not start, 78 the configuration is wrong."
)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn run(serve: &Serve) -> Result<ExitCode, CommandError> {
    let sources = serve.config.sources();
    let loaded = super::load_to_start(&sources)?;
    telemetry::start(&loaded.config.telemetry)
        .map_err(|error| CommandError::Trouble(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::Trouble(format!("no runtime can be started: {error}")))?;
    let code = runtime.block_on(until_stopped(sources, loaded));
    // Everything was shut down in order: tasks that remain need not be waited for.
    runtime.shutdown_background();
    Ok(code)
}

async fn until_stopped(sources: Sources, loaded: Loaded) -> ExitCode {
    let shutdown = Shutdown::new();
    tokio::spawn(shutdown.clone().run());
    outlive_file_size_limit();
    // First: a SIGHUP without a handler would end the process.
    let reloads = match Reloads::new() {
        Ok(reloads) => reloads,
        Err(error) => {
            tracing::error!(%error, "failed to wait for signals");
            return ExitCode::FAILURE;
        }
    };
    match app::run(sources, loaded, reloads, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "failed to start the gateway");
            if error.is_configuration() {
                ExitCode::from(super::WRONG_CONFIGURATION)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Turns a limit on the size of files into an error of the store, answered like a full disk.
/// Without a handler its signal would end the process.
fn outlive_file_size_limit() {
    #[cfg(target_os = "linux")]
    {
        use tokio::signal::unix::SignalKind;
        /// SIGXFSZ on every architecture of Linux but MIPS and PA-RISC.
        const FILE_SIZE: i32 = 25;
        // The handler stays installed; its stream is not needed.
        if let Err(error) = tokio::signal::unix::signal(SignalKind::from_raw(FILE_SIZE)) {
            tracing::debug!(%error, "failed to catch SIGXFSZ; a limit on the size of files would end the gateway");
        }
    }
}
