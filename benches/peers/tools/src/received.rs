//! Messages that come in: how many a second a gateway stores, how long a sender waits for its 202,
//! and whether what comes in and what goes out hold each other up.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the time that passes"
)]

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::http;
use crate::load;
use crate::load::Costs;
use crate::peers;
use crate::peers::Peer;
use crate::peers::Places;
use crate::wire::Input;
use crate::wire::write_answer;
use crate::wire::write_frame;

/// User agents of the gateway.
const AGENTS: u32 = 8;
/// How long the gateway may take to register them.
const PATIENCE: Duration = Duration::from_secs(30);
/// Before each window, so that what begins is over.
const WARM_UP: Duration = Duration::from_millis(500);
/// Clients that post, where messages go both ways.
const CLIENTS: usize = 16;
/// Requests without a response, where messages go both ways.
const SENDERS: usize = 16;
const BODY: &str = "Yes, at noon. I shall be there with the papers.";
const BUFFER: usize = 64 * 1024;

/// A server that answers what the gateway sends, and sends as many messages as it is told to.
#[derive(Default)]
struct Sender {
    /// Connections whose agent has registered.
    registered: Cell<u32>,
    /// Requests that may be without a response, over all connections.
    allowed: Cell<usize>,
    open: Cell<usize>,
    /// Of all connections, so that no two requests are the same.
    next: Cell<u64>,
    may_send: Notify,
    taken: Cell<u64>,
    refused: Cell<u64>,
    latencies: RefCell<Vec<Duration>>,
}

/// What was measured in one window.
struct Window {
    rate: f64,
    refused: u64,
    p50: Duration,
    p99: Duration,
    cpu: Duration,
    commit: Duration,
}

/// Measures each number of senders in so many rounds, and then both ways at once.
pub async fn run(places: &Places, rounds: usize, seconds: f64, senders: &[usize]) -> Result<()> {
    println!(
        "| senders | messages/s | p50 ms | p99 ms | a commit, ms | p50 ÷ commit | CPU µs each | refused |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|");
    let unlimited = "[receive]\nrate = 1000000\nrate_from = 1000000";
    let (sender, gateway) = start(places, "received", unlimited).await?;
    for &count in senders {
        let mut windows = Vec::new();
        for _ in 0..rounds {
            windows.push(sender.measure(&gateway, count, seconds).await?);
        }
        windows.sort_by(|one, other| one.rate.total_cmp(&other.rate));
        let window = &windows[windows.len() / 2];
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "| {count} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} | {} |",
            window.rate,
            milliseconds(window.p50),
            milliseconds(window.p99),
            milliseconds(window.commit),
            window.p50.as_secs_f64() / window.commit.as_secs_f64().max(1e-9),
            window.cpu.as_secs_f64() * 1e6 / (window.rate * seconds).max(1.0),
            window.refused,
        );
    }
    drop(gateway);
    both_ways(places, rounds, seconds).await
}

/// What goes out and what comes in, each alone and both at once, at the default rates: a flood
/// beyond them is answered 500.
async fn both_ways(places: &Places, rounds: usize, seconds: f64) -> Result<()> {
    let (sender, gateway) = start(places, "both-ways", "").await?;
    let conversation = peers::with_sipost(std::slice::from_ref(&gateway));
    let costs = || Costs {
        gateway: gateway.usage(),
        database: None,
    };
    let mut ratios = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let out_alone = load::measure(&conversation, &costs(), CLIENTS, seconds).await?;
        let in_alone = sender.measure(&gateway, SENDERS, seconds).await?;
        sender.allow(SENDERS);
        let out_beside = load::measure(&conversation, &costs(), CLIENTS, seconds).await?;
        sender.allow(0);
        let costs = costs();
        let posting = load::measure(&conversation, &costs, CLIENTS, seconds + 2.0);
        let receiving = sender.measure(&gateway, SENDERS, seconds);
        let (posted, in_beside) = tokio::join!(posting, receiving);
        posted?;
        let share = |beside: Duration, alone: Duration| {
            beside.as_secs_f64() / alone.as_secs_f64().max(1e-9)
        };
        ratios[0].push(share(
            percentile(&out_beside.latencies, 0.99),
            percentile(&out_alone.latencies, 0.99),
        ));
        ratios[1].push(share(in_beside?.p99, in_alone.p99));
    }
    let [out, come_in] = ratios.map(|mut ratios| {
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    });
    println!("\n| p99 beside the other ÷ alone | |\n|---|--:|");
    println!("| what goes out, {CLIENTS} clients, beside a flood | {out:.2} |");
    println!("| what comes in, {SENDERS} senders, beside {CLIENTS} clients | {come_in:.2} |");
    Ok(())
}

/// A gateway whose agents have registered with a sender.
async fn start(places: &Places, name: &str, more: &str) -> Result<(Rc<Sender>, Peer)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", listener.local_addr()?);
    let sender = Rc::new(Sender::default());
    let serving = sender.clone();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = serving.clone();
            // A gateway that has ended is no error.
            tokio::task::spawn_local(async move { drop(sender.serve(stream).await) });
        }
    });
    let gateway = peers::start_sipost(places, &url, name, AGENTS, more).await?;
    let begun = Instant::now();
    while sender.registered.get() < AGENTS {
        if begun.elapsed() > PATIENCE {
            bail!(
                "{} of {AGENTS} agents have registered",
                sender.registered.get()
            );
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok((sender, gateway))
}

impl Sender {
    fn allow(&self, count: usize) {
        self.allowed.set(count);
        self.may_send.notify_waiters();
    }

    async fn measure(&self, gateway: &Peer, senders: usize, seconds: f64) -> Result<Window> {
        self.allow(senders);
        sleep(WARM_UP).await;
        let usage = gateway.usage();
        let (cpu, commits) = (usage.cpu()?, Commits::read(gateway).await?);
        self.taken.set(0);
        self.refused.set(0);
        self.latencies.borrow_mut().clear();
        let begun = Instant::now();
        sleep(Duration::from_secs_f64(seconds)).await;
        let elapsed = begun.elapsed().as_secs_f64();
        let rate = self.taken.get() as f64 / elapsed;
        let refused = self.refused.get();
        let cpu = usage.cpu()?.saturating_sub(cpu);
        let mut latencies = self.latencies.take();
        latencies.sort_unstable();
        let commit = Commits::read(gateway).await?.mean_since(&commits);
        self.allow(0);
        while self.open.get() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        Ok(Window {
            rate,
            refused,
            p50: percentile(&latencies, 0.5),
            p99: percentile(&latencies, 0.99),
            cpu,
            commit,
        })
    }

    /// Serves one agent.
    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut input = Input::open(&mut stream).await?;
        let mut connection = Connection::default();
        let mut output = Vec::with_capacity(BUFFER);
        loop {
            let goes_on = input.take(&mut output, |message, output| {
                self.read(message, &mut connection, output);
            });
            self.send(&mut connection, &mut output);
            if !output.is_empty() {
                stream.write_all(&output).await?;
                output.clear();
            }
            let has_more = goes_on
                && tokio::select! {
                    more = input.more(&mut stream) => more?,
                    () = self.may_send.notified() => true,
                };
            if !has_more {
                self.open.set(self.open.get() - connection.open.len());
                return Ok(());
            }
        }
    }

    fn read(&self, message: &[u8], connection: &mut Connection, output: &mut Vec<u8>) {
        let Some(status) = message.strip_prefix(b"SIP/2.0 ") else {
            let mut sip = Vec::new();
            write_answer(message, &mut sip);
            write_frame(0x1, &sip, output);
            if connection.contact.is_none() && message.starts_with(b"REGISTER") {
                connection.contact = contact_of(message);
                self.registered.set(self.registered.get() + 1);
            }
            return;
        };
        let Some(sent) = number_of(message).and_then(|number| connection.open.remove(&number))
        else {
            return;
        };
        self.open.set(self.open.get() - 1);
        if status.starts_with(b"20") {
            self.taken.set(self.taken.get() + 1);
            self.latencies.borrow_mut().push(sent.elapsed());
        } else {
            self.refused.set(self.refused.get() + 1);
        }
    }

    /// Sends as much as is allowed.
    fn send(&self, connection: &mut Connection, output: &mut Vec<u8>) {
        let Some(contact) = &connection.contact else {
            return;
        };
        while self.open.get() < self.allowed.get() {
            let number = self.next.replace(self.next.get() + 1);
            let user = number % peers::TARGETS as u64;
            let request = format!(
                "MESSAGE {contact} SIP/2.0\r\n\
                 Via: SIP/2.0/WS 127.0.0.1;branch=z9hG4bK-{number}\r\nMax-Forwards: 69\r\n\
                 From: <sip:user-{user}@example.test>;tag={number:x}\r\n\
                 To: <sip:alice@example.test>\r\nCall-ID: {number}@bench\r\nCSeq: 1 MESSAGE\r\n\
                 Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{BODY}",
                BODY.len()
            );
            write_frame(0x1, request.as_bytes(), output);
            connection.open.insert(number, Instant::now());
            self.open.set(self.open.get() + 1);
        }
    }
}

/// The connection of one agent.
#[derive(Default)]
struct Connection {
    /// Its Contact, once it has registered.
    contact: Option<String>,
    /// When each request without a response was sent.
    open: HashMap<u64, Instant>,
}

fn contact_of(register: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(register);
    let line = text.lines().find(|line| line.starts_with("Contact:"))?;
    let (_, uri) = line.split_once('<')?;
    Some(uri.split_once('>')?.0.to_owned())
}

/// The number that our branch carries.
fn number_of(response: &[u8]) -> Option<u64> {
    let mark = b";branch=z9hG4bK-";
    let at = memchr::memmem::find(response, mark)? + mark.len();
    let digits = response[at..].split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let at = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

/// Commits of the store until now, and how long they took together.
struct Commits {
    count: f64,
    seconds: f64,
}

impl Commits {
    async fn read(gateway: &Peer) -> Result<Self> {
        let metrics = http::get(gateway.address(), "/metrics").await?;
        let value = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok())
                .with_context(|| format!("/metrics has no {name}"))
        };
        Ok(Self {
            count: value("sipost_store_commit_seconds_count ")?,
            seconds: value("sipost_store_commit_seconds_sum ")?,
        })
    }

    fn mean_since(&self, before: &Self) -> Duration {
        let (count, seconds) = (self.count - before.count, self.seconds - before.seconds);
        Duration::from_secs_f64((seconds / count.max(1.0)).max(0.0))
    }
}
