//! The load: clients that each post a message, wait for its end, and post the next.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the time that passes"
)]

use std::cell::Cell;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio::time::timeout;

use crate::http;
use crate::usage::Usage;

/// How long a gateway may take for what is under way.
const PATIENCE: Duration = Duration::from_secs(40);

/// What clients say to a gateway, and how they know that it worked.
pub struct Conversation {
    /// Where the gateway listens, or each of its replicas; clients are divided among them.
    pub addresses: Vec<SocketAddr>,
    /// Whole HTTP requests, one for each target.
    pub requests: Vec<Vec<u8>>,
    /// What stands in the answer when the message succeeded.
    pub success: &'static str,
    /// Whether a message may be open when its answer is there. Then the measurement goes on until
    /// none is: what was left to do counts.
    pub leaves_open: bool,
}

/// What was measured in one window of time.
pub struct Sample {
    /// Messages that succeeded in it.
    pub succeeded: u64,
    /// Answers in it that were not a success.
    pub other: u64,
    /// From request to answer, of those that succeeded; sorted.
    pub latencies: Vec<Duration>,
    /// How long the window was.
    pub elapsed: Duration,
    /// What the gateway's processes used in it.
    pub cpu: Duration,
    /// What those of its database used in it, where they are processes of their own.
    pub database_cpu: Option<Duration>,
    /// What the gateway's held at its end, in bytes.
    pub memory: u64,
}

impl Sample {
    /// Messages a second.
    pub fn rate(&self) -> f64 {
        self.succeeded as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the messages did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.latencies.get(at).copied().unwrap_or_default()
    }

    /// CPU time of the gateway for each message.
    pub fn cpu_per_message(&self) -> Duration {
        self.for_each_message(self.cpu)
    }

    /// CPU time of the database for each message.
    pub fn database_cpu_per_message(&self) -> Option<Duration> {
        self.database_cpu.map(|cpu| self.for_each_message(cpu))
    }

    fn for_each_message(&self, cpu: Duration) -> Duration {
        cpu.div_f64(self.succeeded.max(1) as f64)
    }
}

/// Common to the clients of one measurement, which share a thread.
#[derive(Default)]
struct Window {
    measuring: Cell<bool>,
    over: Cell<bool>,
    next: Cell<usize>,
    other: Cell<u64>,
    latencies: RefCell<Vec<Duration>>,
}

/// Whose cost is measured.
pub struct Costs {
    pub gateway: Usage,
    pub database: Option<Usage>,
}

impl Costs {
    fn cpu(&self) -> Result<(Duration, Option<Duration>)> {
        let database = self.database.as_ref().map(Usage::cpu).transpose()?;
        Ok((self.gateway.cpu()?, database))
    }
}

/// Loads the gateway with so many clients and measures for so long, after a warm-up. Runs in a
/// `LocalSet`.
pub async fn measure(
    conversation: &Rc<Conversation>,
    costs: &Costs,
    clients: usize,
    seconds: f64,
) -> Result<Sample> {
    let window = Rc::new(Window::default());
    let mut tasks = JoinSet::new();
    for &address in conversation.addresses.iter().cycle().take(clients) {
        let stream = TcpStream::connect(address)
            .await
            .context("the gateway takes no connection")?;
        stream.set_nodelay(true)?;
        tasks.spawn_local(client(stream, conversation.clone(), window.clone()));
    }

    sleep(Duration::from_secs_f64((seconds / 4.0).min(1.0))).await;
    let (cpu, database_cpu) = costs.cpu()?;
    let start = Instant::now();
    window.measuring.set(true);
    sleep(Duration::from_secs_f64(seconds)).await;
    window.measuring.set(false);
    let mut elapsed = start.elapsed();
    let (mut cpu_then, mut database_cpu_then) = costs.cpu()?;
    let memory = costs.gateway.memory()?;

    window.over.set(true);
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok::<(), anyhow::Error>(())
    };
    timeout(PATIENCE, all)
        .await
        .context("the gateway left a client without an answer")??;
    if conversation.leaves_open {
        all_ended(&conversation.addresses).await?;
        elapsed = start.elapsed();
        (cpu_then, database_cpu_then) = costs.cpu()?;
    }

    let mut latencies = window.latencies.take();
    latencies.sort_unstable();
    Ok(Sample {
        succeeded: latencies.len() as u64,
        other: window.other.get(),
        latencies,
        elapsed,
        cpu: cpu_then.saturating_sub(cpu),
        database_cpu: database_cpu_then
            .zip(database_cpu)
            .map(|(then, before)| then.saturating_sub(before)),
        memory,
    })
}

/// Waits until no message is open.
async fn all_ended(addresses: &[SocketAddr]) -> Result<()> {
    let begun = Instant::now();
    for address in addresses {
        for open in ["sipost_messages_queued", "sipost_messages_sending"] {
            while http::metric(*address, open).await? > 0 {
                if begun.elapsed() > PATIENCE {
                    bail!("messages are open after {PATIENCE:?}");
                }
                sleep(Duration::from_millis(5)).await;
            }
        }
    }
    Ok(())
}

async fn client(
    mut stream: TcpStream,
    conversation: Rc<Conversation>,
    window: Rc<Window>,
) -> Result<()> {
    let mut input = Vec::with_capacity(8192);
    while !window.over.get() {
        // One counter for all: no two clients have the same target in flight.
        let turn = window.next.get();
        window.next.set(turn + 1);
        let request = &conversation.requests[turn % conversation.requests.len()];

        let start = Instant::now();
        stream.write_all(request).await?;
        let answer = read_answer(&mut stream, &mut input).await?;
        let took = start.elapsed();

        if !window.measuring.get() {
            continue;
        }
        if contains(answer, conversation.success.as_bytes()) {
            window.latencies.borrow_mut().push(took);
        } else {
            if window.other.get() == 0 {
                eprintln!("not a success: {}", String::from_utf8_lossy(answer));
            }
            window.other.set(window.other.get() + 1);
        }
    }
    Ok(())
}

/// Reads one HTTP answer that has a Content-Length; gives all of it.
async fn read_answer<'a>(stream: &mut TcpStream, input: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    input.clear();
    let mut length = None;
    loop {
        if length.is_none() {
            length = answer_length(input)?;
        }
        if length.is_some_and(|length| input.len() >= length) {
            return Ok(input);
        }
        if stream.read_buf(input).await? == 0 {
            bail!(
                "the gateway closed the connection after {}",
                String::from_utf8_lossy(input)
            );
        }
    }
}

/// How long the answer is, head and body, once its head is there.
fn answer_length(input: &[u8]) -> Result<Option<usize>> {
    let Some(head) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&input[..head])?;
    let body = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("an answer without Content-Length")?;
    Ok(Some(head + 4 + body.1.trim().parse::<usize>()?))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
