//! The programs of the comparison: two SIP servers, and the gateways in front of them.

use std::fs;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::UdpSocket;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;
use tokio::time::timeout;

use crate::load::Conversation;
use crate::usage::Usage;

/// How many different targets the messages are spread over.
pub const TARGETS: usize = 1000;

/// What every message says: as long as a short chat message.
const BODY: &str = "The quick brown fox jumps over the lazy dog, and the lazy dog sleeps on.";

/// Where everything is.
pub struct Places {
    /// The checkout.
    pub repository: PathBuf,
    /// The folder of the built programs.
    pub programs: PathBuf,
    /// A folder on a real disk for the stores.
    pub scratch: TempDir,
}

/// A program that ends, with its children, when this value does.
pub struct Peer {
    group: u32,
    port: u16,
    _child: Child,
}

impl Peer {
    async fn start(command: &mut Command, ready: impl Fn(&str) -> Option<u16>) -> Result<Self> {
        let name = format!("{:?}", command.as_std().get_program());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("{name} cannot be started: run scripts/test --install"))?;
        let group = child.id().context("a child just started has an id")?;
        let mut output = BufReader::new(child.stdout.take().context("piped")?).lines();
        let mut errors = BufReader::new(child.stderr.take().context("piped")?).lines();
        let mut peer = Self {
            group,
            port: 0,
            _child: child,
        };

        let mut said = Vec::new();
        let wait = async {
            loop {
                let line = tokio::select! {
                    Ok(Some(line)) = output.next_line() => line,
                    Ok(Some(line)) = errors.next_line() => line,
                    else => return None,
                };
                if let Some(port) = ready(&line) {
                    return Some(port);
                }
                said.push(line);
            }
        };
        let port = timeout(Duration::from_secs(20), wait).await.ok().flatten();
        peer.port = port.with_context(|| format!("{name} is not ready: {}", said.join("\n")))?;

        // A program that writes to a closed pipe may end, so both pipes are read to their ends.
        tokio::task::spawn_local(
            async move { while let Ok(Some(_)) = output.next_line().await {} },
        );
        tokio::task::spawn_local(
            async move { while let Ok(Some(_)) = errors.next_line().await {} },
        );
        Ok(peer)
    }

    /// What it costs.
    pub fn usage(&self) -> Usage {
        Usage::of(self.group)
    }

    /// The process group that it leads.
    pub fn group(&self) -> u32 {
        self.group
    }

    /// Where it takes SIP over WebSocket.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.group).ok().and_then(Pid::from_raw) {
            // The only failure is that it has ended already.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

/// A SIP server, with what the tables call it.
pub struct Server {
    pub name: &'static str,
    peer: Peer,
}

/// A gateway in front of a server.
pub struct Gateway {
    pub name: &'static str,
    pub server: &'static str,
    pub peer: Peer,
    pub conversation: Rc<Conversation>,
}

/// Starts the servers: Kamailio, which answers every MESSAGE itself and without a transaction,
/// and the sink.
pub async fn servers(places: &Places) -> Result<Vec<Server>> {
    let defines = ["ANSWER_MESSAGES", "OPEN_MESSAGES"];
    let kamailio = kamailio(places, &defines).await?;
    let sink = sink(places).await?;
    Ok(vec![
        Server {
            name: "kamailio",
            peer: kamailio,
        },
        Server {
            name: "sink",
            peer: sink,
        },
    ])
}

/// Starts the sink.
pub async fn sink(places: &Places) -> Result<Peer> {
    let mut command = Command::new(places.programs.join("sink"));
    Peer::start(&mut command, listening_port).await
}

/// Starts the gateways whose names begin so, or all of them, in front of this server.
pub async fn gateways(places: &Places, server: &Server, wanted: &[String]) -> Result<Vec<Gateway>> {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|w| name.starts_with(w));
    let mut gateways = Vec::new();
    if is_wanted("sipost") {
        let program = places.programs.join("sipost");
        gateways.extend(sipost(places, server, ["sipost", "sipost, 202"], &program).await?);
    }
    for (name, agents) in [("jssip, 1 agent", 1), ("jssip, 8 agents", 8)] {
        if is_wanted(name) {
            gateways.push(jssip(places, server, name, agents).await?);
        }
    }
    if is_wanted("kamailio") {
        gateways.push(kamailio_rpc(places, server).await?);
    }
    Ok(gateways)
}

/// Another build of sipost, with the same configuration.
pub async fn before(places: &Places, server: &Server, program: &Path) -> Result<[Gateway; 2]> {
    sipost(places, server, ["before", "before, 202"], program).await
}

/// sipost with its defaults: SQLite, every commit on the disk before it counts. Once for clients
/// that wait for the end of a message, and once for clients that take the 202.
async fn sipost(
    places: &Places,
    server: &Server,
    [waiting, accepted]: [&'static str; 2],
    program: &Path,
) -> Result<[Gateway; 2]> {
    let start = async |name: &str| {
        let folder = format!("{}-{}", name.replace(", ", "-"), server.name);
        start_program(program, places, &server.peer.url(), &folder, 8, "").await
    };
    let (one, other) = (start(waiting).await?, start(accepted).await?);
    Ok([
        Gateway {
            name: waiting,
            server: server.name,
            conversation: with_sipost(std::slice::from_ref(&one)),
            peer: one,
        },
        Gateway {
            name: accepted,
            server: server.name,
            conversation: with_sipost_that_accepts(&other),
            peer: other,
        },
    ])
}

/// What clients say to a sipost that they do not wait for.
fn with_sipost_that_accepts(peer: &Peer) -> Rc<Conversation> {
    Rc::new(Conversation {
        addresses: vec![peer.address()],
        requests: messages_to_sipost(peer, ""),
        success: "HTTP/1.1 202 ",
        leaves_open: true,
    })
}

fn messages_to_sipost(peer: &Peer, headers: &str) -> Vec<Vec<u8>> {
    requests(
        peer,
        "/messages",
        headers,
        |user| json!({ "target": format!("sip:{user}@example.test"), "body": BODY }),
    )
}

/// What clients say to a sipost, or to its replicas.
pub fn with_sipost(replicas: &[Peer]) -> Rc<Conversation> {
    let requests = replicas
        .first()
        .map(|peer| messages_to_sipost(peer, "Prefer: wait=30\r\n"));
    Rc::new(Conversation {
        addresses: replicas.iter().map(Peer::address).collect(),
        requests: requests.unwrap_or_default(),
        success: r#""status":"succeeded""#,
        leaves_open: false,
    })
}

/// Starts sipost in front of this SIP server with so many agents of one account, in a folder of
/// this name. `more` is added to its configuration.
pub async fn start_sipost(
    places: &Places,
    url: &str,
    name: &str,
    agents: u32,
    more: &str,
) -> Result<Peer> {
    let program = places.programs.join("sipost");
    start_program(&program, places, url, name, agents, more).await
}

async fn start_program(
    program: &Path,
    places: &Places,
    url: &str,
    name: &str,
    agents: u32,
    more: &str,
) -> Result<Peer> {
    let folder = places.scratch.path().join(name);
    fs::create_dir(&folder)?;
    let config = folder.join("sipost.toml");
    let http = if more.contains("[http]") {
        ""
    } else {
        "[http]\nlisten = \"127.0.0.1:0\""
    };
    let store = if more.contains("[store]") {
        String::new()
    } else {
        format!(
            "[store]\nurl = \"sqlite://{}\"",
            folder.join("sipost.db").display()
        )
    };
    let text = format!(
        r#"
        {http}
        {more}
        {store}
        [[account]]
        uri = "sip:alice@example.test"
        password = "alice-secret"
        connections = {agents}
        servers = [{{ url = "{url}" }}]
        "#
    );
    fs::write(&config, text)?;
    let mut command = Command::new(program);
    command.args(["serve".as_ref(), "--config".as_ref(), config.as_os_str()]);
    // One line for each of ten thousand agents is not what is measured.
    command.env("SIPOST__TELEMETRY__LOG_LEVEL", "info,sipost::agent=warn");
    Peer::start(&mut command, |line| {
        let (_, after) = line.split_once("http://127.0.0.1:")?;
        first_number(after)
    })
    .await
}

/// What one writes in an afternoon with JsSIP.
async fn jssip(
    places: &Places,
    server: &Server,
    name: &'static str,
    agents: u32,
) -> Result<Gateway> {
    let script = places
        .repository
        .join("benches/peers/jssip-gateway/gateway.js");
    let mut command = Command::new("node");
    command
        .arg(script)
        .args([server.peer.url(), agents.to_string()]);
    let peer = Peer::start(&mut command, listening_port).await?;

    let requests = requests(
        &peer,
        "/messages",
        "",
        |user| json!({ "target": format!("sip:{user}@example.test"), "body": BODY }),
    );
    Ok(Gateway {
        name,
        server: server.name,
        conversation: conversation(&peer, requests, r#""status":"succeeded""#),
        peer,
    })
}

/// Kamailio's own HTTP interface, which sends over UDP.
async fn kamailio_rpc(places: &Places, server: &Server) -> Result<Gateway> {
    let peer = kamailio(places, &["GATEWAY"]).await?;
    let next_hop = format!("sip:127.0.0.1:{}", server.peer.port);
    let requests = requests(&peer, "/RPC", "", |user| {
        let headers = format!(
            "From: <sip:alice@example.test>\r\nTo: <sip:{user}@example.test>\r\n\
             Content-Type: text/plain\r\n"
        );
        let uri = format!("sip:{user}@example.test");
        let params = json!(["MESSAGE", uri, next_hop, ".", headers, BODY]);
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tm.t_uac_wait", "params": params })
    });
    Ok(Gateway {
        name: "kamailio json-rpc",
        server: server.name,
        conversation: conversation(&peer, requests, "\"result\":\t[200,"),
        peer,
    })
}

async fn kamailio(places: &Places, defines: &[&str]) -> Result<Peer> {
    let config = places.repository.join("tests/peers/kamailio/kamailio.cfg");
    let scratch = places.scratch.path();
    let port = free_port()?;
    let mut command = Command::new("kamailio");
    command.arg("-f").arg(config);
    command.arg("-w").arg(scratch).arg("-Y").arg(scratch);
    // Each of its transactions stays in shared memory for five seconds after its end.
    command.args(["-DD", "-E", "-n", "4", "-N", "4", "-m", "2048", "-M", "16"]);
    for transport in ["tcp", "udp"] {
        command.args(["-l", &format!("{transport}:127.0.0.1:{port}")]);
    }
    for define in defines.iter().chain(&["QUIET"]) {
        command.args(["-A", define]);
    }
    let ready = |line: &str| line.contains("kamailio is ready").then_some(port);
    Peer::start(&mut command, ready).await
}

fn conversation(peer: &Peer, requests: Vec<Vec<u8>>, success: &'static str) -> Rc<Conversation> {
    Rc::new(Conversation {
        addresses: vec![peer.address()],
        requests,
        success,
        leaves_open: false,
    })
}

fn requests(
    peer: &Peer,
    path: &str,
    headers: &str,
    body: impl Fn(&str) -> serde_json::Value,
) -> Vec<Vec<u8>> {
    let request = |number| {
        let body = body(&format!("user-{number}")).to_string();
        format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             {headers}Content-Length: {}\r\n\r\n{body}",
            peer.port,
            body.len()
        )
        .into_bytes()
    };
    (0..TARGETS).map(request).collect()
}

fn listening_port(line: &str) -> Option<u16> {
    first_number(line.strip_prefix("listening on ")?)
}

fn first_number(text: &str) -> Option<u16> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text[..end.unwrap_or(text.len())].parse().ok()
}

/// A port that nothing uses over TCP and UDP.
fn free_port() -> Result<u16> {
    loop {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
}

/// The checkout this program was built from.
pub fn repository() -> Result<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR"));
    let repository = tools.ancestors().nth(3).context("three folders up")?;
    Ok(repository.to_owned())
}
