//! What an operator relies on: who may call, what changes while it runs, and how it ends.

mod access;
mod agents;
mod compose;
mod reload;
mod secrets;
mod slow_clients;
mod stopping;
mod tls;
mod upgrading;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use reqwest::Method;
use reqwest::RequestBuilder;
use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::Value;
use serde_json::json;
use sha2::Digest as _;
use sha2::Sha256;
use sipost::sandbox;
use sipost::sandbox::Behaviour;
use sipost::sandbox::ReceivedRequest;
use sipost::sandbox::Sandbox;
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncRead;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long what must come may take on a machine that has much else to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway in a process and a folder of its own.
pub(super) struct Running {
    child: Child,
    url: String,
    client: reqwest::Client,
    /// Lines of the log that no test has waited for yet.
    lines: mpsc::UnboundedReceiver<String>,
    /// Everything it printed.
    printed: Arc<Mutex<String>>,
    /// Who read what it prints.
    readers: JoinSet<()>,
    folder: TempDir,
}

impl Running {
    /// Starts one with this file, on a port of its own, and waits until it listens.
    pub(super) async fn start(text: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), text).await
    }

    /// Starts one with this file, where another has been.
    pub(super) async fn start_in(folder: TempDir, text: &str) -> Self {
        Self::start_with(folder, text, &[]).await
    }

    /// The same with these variables.
    pub(super) async fn start_with(folder: TempDir, text: &str, env: &[(&str, &str)]) -> Self {
        let program = Command::new(env!("CARGO_BIN_EXE_sipost"));
        Self::start_as(program, folder, text, env).await
    }

    /// Starts one with these limits of file descriptors, as `soft:hard`.
    async fn start_within(descriptors: &str, text: &str) -> Self {
        let mut program = Command::new("prlimit");
        program.arg(format!("--nofile={descriptors}"));
        program.arg(env!("CARGO_BIN_EXE_sipost"));
        let folder = tempfile::tempdir().unwrap();
        let mut running = Self::start_as(program, folder, text, &[]).await;
        // Where descriptors are few the gateway closes idle connections, and a request must not be
        // written to one of these.
        let client = reqwest::Client::builder().no_proxy();
        running.client = client.pool_max_idle_per_host(0).build().unwrap();
        running
    }

    async fn start_as(
        mut program: Command,
        folder: TempDir,
        text: &str,
        env: &[(&str, &str)],
    ) -> Self {
        fs::write(folder.path().join("sipost.toml"), on_any_port(text)).unwrap();
        let mut child = program
            .args(["serve", "--config", "sipost.toml"])
            .env_clear()
            .envs(env.iter().copied())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let printed = Arc::<Mutex<String>>::default();
        let (sender, lines) = mpsc::unbounded_channel();
        let mut readers = JoinSet::new();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        readers.spawn(read(stderr, Arc::clone(&printed), Some(sender)));
        readers.spawn(read(stdout, Arc::clone(&printed), None));
        let mut running = Self {
            child,
            url: String::new(),
            client: client(),
            lines,
            printed,
            readers,
            folder,
        };
        let line = running.line("taking messages at ").await;
        let (_, url) = line.split_once("taking messages at ").unwrap();
        running.url = url.split('"').next().unwrap().to_owned();
        running
    }

    /// Ends it at once, as a failing machine would, and leaves its folder.
    pub(super) async fn kill(mut self) -> TempDir {
        self.child.kill().await.unwrap();
        self.folder
    }

    /// The path of a file in its folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits for a line of the log with these words.
    pub(super) async fn line(&mut self, words: &str) -> String {
        let found = async {
            while let Some(line) = self.lines.recv().await {
                if line.contains(words) {
                    return Some(line);
                }
            }
            None
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("it ended without {words:?}:\n{}", self.output()),
            Err(_) => panic!("no line with {words:?}:\n{}", self.output()),
        }
    }

    /// Writes another file in place of its own, and tells it to read that.
    pub(super) fn reload(&self, text: &str) {
        fs::write(self.path("sipost.toml"), on_any_port(text)).unwrap();
        self.signal(Signal::HUP);
    }

    pub(super) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap()
    }

    /// Signals until it ends: what comes right after the first signal is that one once more.
    pub(super) async fn ended_by(&mut self, signal: Signal) -> Option<i32> {
        let asked = async {
            loop {
                self.signal(signal);
                let soon = std::time::Duration::from_millis(50);
                if let Ok(status) = tokio::time::timeout(soon, self.child.wait()).await {
                    return status.unwrap().code();
                }
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap()
    }

    /// Waits for its end, after a signal; its exit code.
    pub(super) async fn ended(&mut self) -> Option<i32> {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        status.unwrap().unwrap().code()
    }

    /// Everything it printed until now.
    pub(super) fn output(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// Goes away as a program may that the log was piped to: nothing can be printed any more.
    pub(super) async fn stop_reading(&mut self) {
        self.readers.shutdown().await;
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// Waits until the agents are as the test wants them.
    async fn agents(&self, are_there: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let asked = async {
            loop {
                let answer = self.get("/agents").send().await.unwrap();
                let answer: Value = answer.json().await.unwrap();
                let agents = answer["data"].as_array().unwrap().clone();
                if are_there(&agents) {
                    return agents;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(agents) => agents,
            Err(_) => panic!(
                "the agents do not become what they should:\n{}",
                self.output()
            ),
        }
    }
}

/// The file with port 0 to listen on, unless it says where.
fn on_any_port(text: &str) -> String {
    if text.contains("listen =") {
        text.to_owned()
    } else {
        let text = text.replacen("[http]\n", "", 1);
        format!("[http]\nlisten = \"127.0.0.1:0\"\n{text}")
    }
}

/// Keeps what a stream says, and passes its lines on.
async fn read(
    stream: impl AsyncRead + Unpin,
    printed: Arc<Mutex<String>>,
    lines: Option<mpsc::UnboundedSender<String>>,
) {
    let mut reader = BufReader::new(stream).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        printed.lock().unwrap().push_str(&format!("{line}\n"));
        if let Some(lines) = &lines {
            // The test may have seen enough.
            let _ = lines.send(line);
        }
    }
}

fn client() -> reqwest::Client {
    // reqwest wants a provider for TLS even when it is never used; a second test finds it there.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A token as the configuration names it, with whatever else it says of it.
pub(crate) fn token(name: &str, secret: &str, more: &str) -> String {
    let hash: String = Sha256::digest(secret)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{{ name = \"{name}\", sha256 = \"{hash}\"{more} }}")
}

/// An account whose server is not there: what is sent as it waits.
fn unreachable_account(uri: &str) -> String {
    format!("[[account]]\nuri = \"{uri}\"\nservers = [\"ws://127.0.0.1:1\"]\n")
}

/// A SIP server for the accounts of a test: its URL, and what reaches it.
async fn sip_server(
    more_users: &[(&str, Behaviour)],
) -> (String, mpsc::UnboundedReceiver<ReceivedRequest>) {
    let (sender, received) = mpsc::unbounded_channel();
    let mut options = sandbox::Options {
        received: Some(sender),
        ..sandbox::Options::default()
    };
    for (user, behaviour) in more_users {
        options.users.insert((*user).to_owned(), behaviour.clone());
    }
    let address = "127.0.0.1:0".parse().unwrap();
    let sandbox = Sandbox::bind(address, options).await.unwrap();
    let url = sandbox.url();
    tokio::spawn(sandbox.run(std::future::pending()));
    (url, received)
}

/// An account of that server.
fn account(user: &str, server: &str, more: &str) -> String {
    let domain = sandbox::DOMAIN;
    let password = sandbox::password_of(user);
    format!(
        "[[account]]\nuri = \"sip:{user}@{domain}\"\npassword = \"{password}\"\n\
         servers = [\"{server}\"]\n{more}\n"
    )
}

/// Whether these agents are there and no others, all of them registered.
fn registered(ids: &[&str]) -> impl Fn(&[Value]) -> bool {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    move |agents| {
        let is_registered = |agent: &&Value| agent["state"] == "registered";
        let names = agents.iter().filter(is_registered);
        let mut names: Vec<_> = names.map(|agent| agent["id"].as_str().unwrap()).collect();
        names.sort_unstable();
        names == ids && agents.len() == ids.len()
    }
}

pub(super) fn message(target: &str) -> Value {
    json!({ "target": target, "body": "Hello" })
}

pub(super) async fn json_of(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}
