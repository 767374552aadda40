//! A Kamailio of the test's own.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::process::Process;
use crate::process::folder;
use crate::process::free_port;
use crate::recipient::Place;

/// A running Kamailio; `kamailio/kamailio.cfg` says what it does, or for [`Kamailio::shipped`]
/// `config/kamailio/kamailio.cfg`.
pub(crate) struct Kamailio {
    process: Process,
    port: u16,
    settings: Settings,
}

struct Settings {
    config: PathBuf,
    transports: &'static [&'static str],
    defines: Vec<String>,
    /// Where it may write.
    scratch: TempDir,
}

impl Kamailio {
    /// Starts one on a free port, with what the configuration file lets one define.
    pub(crate) async fn start(defines: &[&str]) -> Self {
        Self::start_with(Settings {
            config: folder().join("kamailio/kamailio.cfg"),
            transports: &["tcp", "udp"],
            defines: defines.iter().map(|&define| define.to_owned()).collect(),
            scratch: TempDir::new().unwrap(),
        })
        .await
    }

    /// Starts one as we ship it, with these users.
    pub(crate) async fn shipped(users: &[&str]) -> Self {
        let scratch = TempDir::new().unwrap();
        let config = scratch.path().join("kamailio.cfg");
        fs::write(&config, shipped_config(users)).unwrap();
        Self::start_with(Settings {
            config,
            transports: &["tcp"],
            defines: Vec::new(),
            scratch,
        })
        .await
    }

    async fn start_with(settings: Settings) -> Self {
        // Another program may take the port between our choosing it and Kamailio's binding it.
        for _ in 0..5 {
            let port = free_port();
            if let Some(process) = launch(port, &settings).await {
                return Self {
                    process,
                    port,
                    settings,
                };
            }
        }
        panic!(
            "Kamailio did not start on any of five free ports: is kamailio-websocket-modules installed?"
        );
    }

    /// The port that agents connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Kills it with all its connections, transactions and bindings, and starts it again on the
    /// same port.
    pub(crate) async fn restart(&mut self) {
        self.process.kill().await;
        self.process = launch(self.port, &self.settings)
            .await
            .expect("Kamailio comes back on its own port");
    }

    /// Where its WebSocket clients connect to.
    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Where scripts register.
    pub(crate) fn place(&self) -> Place {
        Place::new(self.url(), "example.test")
    }

    /// Where its UDP clients send to.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Waits until its log has a line with this in it.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        self.process
            .line(|line| line.contains(text).then(|| line.to_owned()))
            .await
    }
}

/// The configuration that we ship: its users here, as `start` writes them, and a line when it
/// serves.
fn shipped_config(users: &[&str]) -> String {
    let config = folder().join("../../config/kamailio/kamailio.cfg");
    let config = fs::read_to_string(config).unwrap();
    let include = "include_file \"/run/kamailio/users.cfg\"";
    assert!(config.contains(include), "the users come from elsewhere");
    let password = |user: &&str| format!("\t$sht(passwords=>{user}) = \"{user}-secret\";\n");
    let passwords: String = users.iter().map(password).collect();
    let passwords = format!("event_route[htable:mod-init] {{\n{passwords}}}");
    let ready =
        "event_route[core:worker-one-init] {\n\txlog(\"L_ALERT\", \"kamailio is ready\\n\");\n}";
    format!("{}\n{ready}\n", config.replace(include, &passwords))
}

/// Starts Kamailio and waits until it serves; `None` when it ended instead.
async fn launch(port: u16, settings: &Settings) -> Option<Process> {
    let scratch = settings.scratch.path().display().to_string();
    let config = settings.config.display().to_string();
    let mut arguments: Vec<String> = [
        "-f", &config, "-DD", "-E", "-w", &scratch, "-Y", &scratch, "-n", "2", "-N", "2", "-m",
        "64", "-M", "8",
    ]
    .map(str::to_owned)
    .into();
    for transport in settings.transports {
        arguments.extend(["-l".to_owned(), format!("{transport}:127.0.0.1:{port}")]);
    }
    for define in &settings.defines {
        arguments.extend(["-A".to_owned(), define.clone()]);
    }

    let mut process = Process::start(
        "kamailio",
        "kamailio kamailio-websocket-modules",
        "kamailio",
        &arguments,
    );
    process
        .find_line(|line| line.contains("kamailio is ready").then_some(()))
        .await?;
    Some(process)
}
