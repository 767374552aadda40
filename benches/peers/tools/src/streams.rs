//! Many who follow the log at once: whether they keep up, how late they are, and what it costs.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the time that passes"
)]

use std::cell::Cell;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio::time::sleep;

use crate::peers;
use crate::peers::Places;

/// Events of each message: `sending` and `succeeded`.
const EVENTS_PER_MESSAGE: u32 = 2;
/// Messages come in groups, so many times a second.
const TICKS: u32 = 100;
/// How long readers may take to get what is still on its way at the end.
const REST: Duration = Duration::from_secs(5);

/// What the readers of one run share.
#[derive(Default)]
struct Window {
    delivered: Cell<u64>,
    bytes: Cell<u64>,
    /// How late, in milliseconds, a sample of the events was.
    lags: RefCell<Vec<u64>>,
}

/// So many readers of the whole log while so many events a second happen.
pub async fn run(places: &Places, readers: u32, events: u32, seconds: f64) -> Result<()> {
    let sink = peers::sink(places).await?;
    let more = format!(
        "[http]\nlisten = \"127.0.0.1:0\"\nmax_streams = {}\nmax_connections = {}",
        readers + 1,
        readers + 1_000
    );
    let gateway = peers::start_sipost(places, &sink.url(), "streams", 8, &more).await?;
    let window = Rc::new(Window::default());
    let mut tasks = JoinSet::new();
    for _ in 0..readers {
        let mut stream = TcpStream::connect(gateway.address()).await?;
        let request =
            "GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        tasks.spawn_local(read(stream, window.clone()));
    }
    sleep(Duration::from_secs(1)).await;

    let usage = gateway.usage();
    let before = usage.cpu()?;
    let ticks = (seconds * f64::from(TICKS)).round() as u32;
    let per_tick = (events / EVENTS_PER_MESSAGE / TICKS).max(1);
    post(gateway.address(), ticks, per_tick).await?;
    let expected = u64::from(readers) * u64::from(ticks * per_tick * EVENTS_PER_MESSAGE);
    let end = tokio::time::Instant::now() + REST;
    while window.delivered.get() < expected && tokio::time::Instant::now() < end {
        sleep(Duration::from_millis(20)).await;
    }
    let cpu = usage.cpu()?.saturating_sub(before);
    let delivered = window.delivered.get();
    let mut lags = window.lags.take();
    lags.sort_unstable();
    let lag = |share: f64| {
        let at = (lags.len().saturating_sub(1) as f64 * share).round() as usize;
        lags.get(at).copied().unwrap_or_default()
    };
    println!(
        "| readers | events/s | delivered | of | p50 late | p99 late | CPU per delivery | MB |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|");
    println!(
        "| {readers} | {} | {delivered} | {expected} | {} ms | {} ms | {:.2} µs | {} |",
        per_tick * TICKS * EVENTS_PER_MESSAGE,
        lag(0.5),
        lag(0.99),
        cpu.as_secs_f64() * 1e6 / delivered.max(1) as f64,
        window.bytes.get() / 1_000_000,
    );
    if delivered != expected {
        bail!("{delivered} of {expected} events were delivered");
    }
    Ok(())
}

/// Posts batches at a steady pace.
async fn post(address: SocketAddr, ticks: u32, per_tick: u32) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let mut pace = interval(Duration::from_secs(1) / TICKS);
    let mut answer = vec![0; 64 * 1024];
    for tick in 0..ticks {
        pace.tick().await;
        let messages: Vec<_> = (0..per_tick)
            .map(|number| {
                let user = (tick * per_tick + number) % peers::TARGETS as u32;
                format!(r#"{{"target":"sip:user-{user}@example.test","body":"Hello"}}"#)
            })
            .collect();
        let body = format!(r#"{{"messages":[{}]}}"#, messages.join(","));
        let head = format!(
            "POST /messages/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await?;
        // One answer at a time, and all of it: what follows begins with the next status line.
        let mut got = stream.read(&mut answer).await?;
        if !answer[..got].starts_with(b"HTTP/1.1 202") {
            bail!("{}", String::from_utf8_lossy(&answer[..got]));
        }
        while !answer[..got].ends_with(b"]}\n") {
            let more = stream.read(&mut answer[got..]).await?;
            got += more;
            if more == 0 {
                bail!("the gateway closed the connection");
            }
        }
    }
    Ok(())
}

/// Counts events, and looks at how late one in each chunk is.
async fn read(mut stream: TcpStream, window: Rc<Window>) -> Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut carried = 0;
    loop {
        let got = stream.read(&mut buffer[carried..]).await?;
        if got == 0 {
            bail!("a stream ended");
        }
        let filled = carried + got;
        window.bytes.set(window.bytes.get() + got as u64);
        let chunk = &buffer[..filled];
        let found = memchr::memmem::find_iter(chunk, b"\nevent: ").count();
        window.delivered.set(window.delivered.get() + found as u64);
        if let Some(late) = lateness(chunk) {
            window.lags.borrow_mut().push(late);
        }
        // What may be the beginning of a mark is looked at again with what follows it.
        let kept = filled.min(b"\nevent: ".len() - 1);
        buffer.copy_within(filled - kept..filled, 0);
        carried = kept;
    }
}

/// How many milliseconds ago the last event in here happened.
fn lateness(chunk: &[u8]) -> Option<u64> {
    let mark = br#""time":""#;
    let at = memchr::memmem::rfind(chunk, mark)? + mark.len();
    let text = std::str::from_utf8(chunk.get(at..at + 24)?).ok()?;
    let then = milliseconds_of_day(text).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let now = u64::try_from(now.as_millis()).ok()? % DAY;
    Some((now + DAY - then) % DAY)
}

const DAY: u64 = 86_400_000;

/// Of `2026-11-22T05:00:00.123Z`; the day does not matter.
fn milliseconds_of_day(text: &str) -> Result<u64> {
    let part = |range: std::ops::Range<usize>| -> Result<u64> {
        Ok(text.get(range).context("too short")?.parse()?)
    };
    let seconds = part(11..13)? * 3_600 + part(14..16)? * 60 + part(17..19)?;
    Ok(seconds * 1_000 + part(20..23)?)
}
