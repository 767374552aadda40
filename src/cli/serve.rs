//! `sipost serve`: the gateway.

use std::process::ExitCode;
use std::sync::Arc;

use super::ConfigFile;
use super::Failure;
use crate::app;
use crate::config;
use crate::config::Config;
use crate::config::Loaded;
use crate::shutdown::Shutdown;
use crate::telemetry;

/// Runs the gateway until it is told to stop.
///
/// With no account configured it starts the built-in sandbox SIP server on loopback and registers
/// with that, so there is somebody to send to at once.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(
    after_help = "SIGINT or SIGTERM stops in order, a second one at once.\n\
                        Exit codes: 0 stopped, 1 it could not start, 78 the configuration is wrong."
)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn run(serve: &Serve) -> Result<ExitCode, Failure> {
    let Loaded { config, .. } = config::load(&serve.config.sources())?;
    telemetry::start(&config.telemetry).map_err(|error| Failure::Trouble(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Trouble(format!("no runtime can be started: {error}")))?;
    let code = runtime.block_on(until_stopped(config));
    // What is still at work when everything was ended in order is not worth waiting for.
    runtime.shutdown_background();
    Ok(code)
}

async fn until_stopped(config: Arc<Config>) -> ExitCode {
    let shutdown = Shutdown::new();
    tokio::spawn(shutdown.clone().run());
    match app::run(config, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the gateway does not start");
            ExitCode::FAILURE
        }
    }
}
