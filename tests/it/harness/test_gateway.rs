//! A gateway with a folder of its own, opened in this process or as a program.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sipost::app::Gateway;
use sipost::clock::Clock;
use sipost::config::Config;
use tempfile::TempDir;

use super::Client;
use super::Exit;
use super::Peer;
use super::Program;
use super::SmallDisk;
use super::program::CONFIG;

/// Where a gateway lives: its settings and its store. It can be opened again and again.
pub(crate) struct TestGateway {
    folder: Arc<TempDir>,
    settings: Vec<String>,
    of_account: Vec<String>,
    server: String,
    agents: u32,
    disk: Option<SmallDisk>,
}

/// A gateway in this process.
pub(crate) struct OpenGateway {
    /// How it is spoken to.
    pub(crate) http: Client,
    gateway: Gateway,
    /// The folder is there for as long as it runs.
    _folder: Arc<TempDir>,
}

impl TestGateway {
    /// One account, `sip:alice@example.com`, whose user agent registers with this peer.
    ///
    /// Waits are short, so that a test sees in milliseconds what takes seconds in service.
    pub(crate) fn at(peer: &Peer) -> Self {
        let setup = Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            settings: Vec::new(),
            of_account: Vec::new(),
            server: peer.url(),
            agents: 1,
            disk: None,
        };
        setup
            .with("http.listen = '127.0.0.1:0'")
            .with("store.synchronous = 'normal'")
            .with("sip.recovery_min = '50ms'")
            .with("sip.recovery_max = '200ms'")
            .with("delivery.retry_min = '20ms'")
            .with("delivery.retry_max = '100ms'")
            .with("delivery.shutdown_grace = '5s'")
    }

    /// One more setting, `section.key = value` as in TOML; it takes the place of an earlier one.
    pub(crate) fn with(mut self, setting: &str) -> Self {
        let key = |setting: &str| setting.split('=').next().map(|key| key.trim().to_owned());
        self.settings.retain(|known| key(known) != key(setting));
        self.settings.push(setting.to_owned());
        self
    }

    /// One more setting of the account, `key = value` as in TOML.
    pub(crate) fn with_account(mut self, setting: &str) -> Self {
        self.of_account.push(setting.to_owned());
        self
    }

    /// So many user agents.
    pub(crate) fn with_agents(mut self, agents: u32) -> Self {
        self.agents = agents;
        self
    }

    /// With its store on a disk of its own, of this size. It must be launched then: this process
    /// does not see the disk.
    pub(crate) async fn with_disk(mut self, bytes: u64) -> Self {
        let folder = self.folder.path().join("disk");
        fs::create_dir(&folder).unwrap();
        self.disk = Some(SmallDisk::mount(&folder, bytes).await);
        self
    }

    /// Its disk; only of one that has a disk of its own.
    pub(crate) fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().unwrap()
    }

    /// The database, unless a setting names another one.
    pub(crate) fn store(&self) -> PathBuf {
        let folder = self.folder.path();
        match &self.disk {
            Some(_) => folder.join("disk/sipost.db"),
            None => folder.join("sipost.db"),
        }
    }

    /// Opens the gateway in this process.
    pub(crate) async fn open(&self) -> OpenGateway {
        self.open_with(Clock::system()).await
    }

    /// Opens the gateway in this process, with a clock that is so much ahead.
    pub(crate) async fn open_later(&self, by: Duration) -> OpenGateway {
        let time = Clock::system().now().plus(by);
        self.open_with(Clock::starting_at(time)).await
    }

    async fn open_with(&self, clock: Clock) -> OpenGateway {
        let config = Config::from_toml(&self.toml()).unwrap();
        let gateway = Gateway::start(&config, clock).await.unwrap();
        OpenGateway {
            http: Client::new(format!("http://{}", gateway.address())),
            gateway,
            _folder: self.folder.clone(),
        }
    }

    /// Starts the gateway as a program, and waits until it listens.
    pub(crate) async fn launch(&self) -> Program {
        match self.try_launch().await {
            Ok(program) => program,
            Err(exit) => panic!("the gateway did not start: {exit:?}"),
        }
    }

    /// Starts the gateway as a program that must refuse to start: how it ended.
    pub(crate) async fn refused(&self) -> Exit {
        match self.try_launch().await {
            Ok(_) => panic!("the gateway started"),
            Err(exit) => exit,
        }
    }

    async fn try_launch(&self) -> Result<Program, Exit> {
        self.file();
        Program::start(&self.folder, self.disk.as_ref()).await
    }

    /// What `sipost check` says of it.
    #[allow(
        dead_code,
        reason = "not every test binary that shares this file needs it"
    )]
    pub(crate) async fn check(&self) -> Exit {
        Program::check(&self.file(), self.disk.as_ref()).await
    }

    /// Writes its configuration, as it is now, where a gateway that was launched reads it again.
    #[allow(
        dead_code,
        reason = "not every test binary that shares this file needs it"
    )]
    pub(crate) fn rewrite(&self) {
        self.file();
    }

    fn file(&self) -> PathBuf {
        let file = self.folder.path().join(CONFIG);
        fs::write(&file, self.toml()).unwrap();
        file
    }

    fn toml(&self) -> String {
        let Self {
            settings,
            of_account,
            server,
            agents,
            ..
        } = self;
        let store = if settings.iter().any(|one| one.starts_with("store.url")) {
            String::new()
        } else {
            format!("store.url = 'sqlite://{}'\n", self.store().display())
        };
        format!(
            "{store}{}\n[[account]]\nuri = 'sip:alice@example.com'\n\
             connections = {agents}\nservers = ['{server}']\n{}\n",
            settings.join("\n"),
            of_account.join("\n"),
        )
    }
}

impl OpenGateway {
    /// Ends it in order.
    pub(crate) async fn stop(self) {
        super::soon("the gateway stops", self.gateway.stop()).await;
    }
}
