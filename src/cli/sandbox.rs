//! `sipost sandbox`: the sandbox SIP server alone.

use std::net::SocketAddr;
use std::process::ExitCode;

use super::Failure;
use super::output::Output;
use crate::sandbox::{DOMAIN, Options};
use crate::shutdown::Shutdown;

/// Runs the sandbox SIP server: a WebSocket registrar and proxy to try things out with.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Every user name may register; its password is the name itself.\n\
    These users are nobody and always answer the same: ok, accepted (202), busy (486),\n\
    decline (603), notfound (404), offline (480), moved (302), error (500),\n\
    overload (503, then 200), slow (200 after 3 s), silent (never)."
)]
pub(super) struct Sandbox {
    /// Where it listens: a loopback address. Port 0 is any.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5080")]
    listen: SocketAddr,
}

pub(super) async fn run(arguments: &Sandbox) -> Result<ExitCode, Failure> {
    if !arguments.listen.ip().is_loopback() {
        let trouble = "the sandbox knows no secrets: it listens on loopback addresses only";
        return Err(Failure::Trouble(trouble.to_owned()));
    }
    let sandbox = crate::sandbox::Sandbox::bind(arguments.listen, Options::default())
        .await
        .map_err(|error| Failure::Trouble(format!("{}: {error}", arguments.listen)))?;
    Output::new().line(&format!("a sandbox for {DOMAIN} at {}", sandbox.url()))?;
    let shutdown = Shutdown::new();
    tokio::spawn(shutdown.clone().run());
    sandbox.run(shutdown.begun()).await;
    Ok(ExitCode::SUCCESS)
}
