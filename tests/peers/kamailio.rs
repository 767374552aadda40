//! A Kamailio of the test's own.

use tempfile::TempDir;

use crate::process::Process;
use crate::process::folder;
use crate::process::free_port;
use crate::recipient::Place;

/// A running Kamailio; `kamailio/kamailio.cfg` says what it does.
pub(crate) struct Kamailio {
    process: Process,
    port: u16,
    defines: Vec<String>,
    /// Where it may write.
    scratch: TempDir,
}

impl Kamailio {
    /// Starts one on a free port, with what the configuration file lets one define.
    pub(crate) async fn start(defines: &[&str]) -> Self {
        let scratch = TempDir::new().unwrap();
        let defines: Vec<String> = defines.iter().map(|&define| define.to_owned()).collect();
        // Another program may take the port between our choosing it and Kamailio's binding it.
        for _ in 0..5 {
            let port = free_port();
            if let Some(process) = launch(port, &defines, &scratch).await {
                return Self {
                    process,
                    port,
                    defines,
                    scratch,
                };
            }
        }
        panic!(
            "Kamailio did not start on any of five free ports: is kamailio-websocket-modules installed?"
        );
    }

    /// Kills it with all its connections, transactions and bindings, and starts it again on the
    /// same port.
    pub(crate) async fn restart(&mut self) {
        self.process.kill().await;
        self.process = launch(self.port, &self.defines, &self.scratch)
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

/// Starts Kamailio and waits until it serves; `None` when it ended instead.
async fn launch(port: u16, defines: &[String], scratch: &TempDir) -> Option<Process> {
    let scratch = scratch.path().display().to_string();
    let config = folder().join("kamailio/kamailio.cfg").display().to_string();
    let mut arguments: Vec<String> = [
        "-f", &config, "-DD", "-E", "-w", &scratch, "-Y", &scratch, "-n", "2", "-N", "2", "-m",
        "64", "-M", "8",
    ]
    .map(str::to_owned)
    .into();
    for transport in ["tcp", "udp"] {
        arguments.extend(["-l".to_owned(), format!("{transport}:127.0.0.1:{port}")]);
    }
    for define in defines {
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
