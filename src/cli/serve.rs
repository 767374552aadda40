//! `sipost serve`: the gateway.

use std::process::ExitCode;

use super::{ConfigFile, Failure};
use crate::app;
use crate::config::{Loaded, Sources};
use crate::shutdown::{Reloads, Shutdown};
use crate::telemetry;

/// Runs the gateway until it is told to stop.
///
/// With no account configured it starts the built-in sandbox SIP server on loopback and registers
/// with that, so there is somebody to send to at once.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(
    after_help = "SIGINT or SIGTERM stops in order, a second one at once. SIGHUP reads the configuration again.\n\
                        Exit codes: 0 stopped, 1 it could not start, 78 the configuration is wrong."
)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn run(serve: &Serve) -> Result<ExitCode, Failure> {
    let sources = serve.config.sources();
    let loaded = super::load_to_start(&sources)?;
    telemetry::start(&loaded.config.telemetry)
        .map_err(|error| Failure::Trouble(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Trouble(format!("no runtime can be started: {error}")))?;
    let code = runtime.block_on(until_stopped(sources, loaded));
    // What is still at work when everything was ended in order is not worth waiting for.
    runtime.shutdown_background();
    Ok(code)
}

async fn until_stopped(sources: Sources, loaded: Loaded) -> ExitCode {
    let shutdown = Shutdown::new();
    tokio::spawn(shutdown.clone().run());
    outlive_file_size_limit();
    // Before anything is begun: a signal that nobody waits for would end the process.
    let reloads = match Reloads::new() {
        Ok(reloads) => reloads,
        Err(error) => {
            tracing::error!(%error, "signals cannot be waited for");
            return ExitCode::FAILURE;
        }
    };
    match app::run(sources, loaded, reloads, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the gateway does not start");
            match error.is_configuration() {
                true => ExitCode::from(super::WRONG_CONFIGURATION),
                false => ExitCode::FAILURE,
            }
        }
    }
}

/// Makes a limit on the size of files an error of the store, told to clients like a full disk;
/// left alone, the signal that goes with it would end the process.
fn outlive_file_size_limit() {
    #[cfg(target_os = "linux")]
    {
        use tokio::signal::unix::SignalKind;
        /// SIGXFSZ on every architecture of Linux but MIPS and PA-RISC.
        const FILE_SIZE: i32 = 25;
        // Nobody listens: that the signal is taken is enough, and it is taken from now on.
        if let Err(error) = tokio::signal::unix::signal(SignalKind::from_raw(FILE_SIZE)) {
            tracing::debug!(%error, "a limit on the size of files would end the gateway");
        }
    }
}
