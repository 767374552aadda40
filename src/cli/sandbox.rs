//! `sipost sandbox`: the sandbox SIP server alone.

use std::net::SocketAddr;
use std::process::ExitCode;

use super::CommandError;
use super::output::Printer;
use crate::message::without_os_error;
use crate::sandbox::{DOMAIN, Options};
use crate::shutdown::Shutdown;

/// Runs the sandbox SIP server: a WebSocket registrar and proxy to try things out with.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Every user name of sandbox.invalid may register, sip:alice@sandbox.invalid for\n\
    example; its password is the name itself.\n\
    These users always answer the same: ok, accepted (202), busy (486), decline (603),\n\
    notfound (404), offline (480), moved (302), error (500), overload (503, then 200),\n\
    slow (200 after 3 s), silent (never). echo sends the body back, and reader sends\n\
    the receipts `delivered` and `displayed`."
)]
pub(super) struct SandboxCommand {
    /// Where it listens: a loopback address. Port 0 is any.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:5080",
        value_parser = parse_address
    )]
    listen: SocketAddr,
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "an IP address and a port, such as 127.0.0.1:5080".to_owned())
}

pub(super) async fn run(arguments: &SandboxCommand) -> Result<ExitCode, CommandError> {
    if !arguments.listen.ip().is_loopback() {
        let trouble = "the sandbox knows no secrets: it listens on loopback addresses only";
        return Err(CommandError::Trouble(trouble.to_owned()));
    }
    let sandbox = crate::sandbox::Sandbox::bind(arguments.listen, Options::default())
        .await
        .map_err(|error| {
            let (listen, error) = (arguments.listen, without_os_error(error));
            CommandError::Trouble(format!("failed to listen on {listen} (--listen): {error}"))
        })?;
    Printer::new().line(&format!("a sandbox for {DOMAIN} at {}", sandbox.url()))?;
    let shutdown = Shutdown::new();
    tokio::spawn(shutdown.clone().run());
    sandbox.run(shutdown.begun()).await;
    Ok(ExitCode::SUCCESS)
}
