//! What agents cost while nothing happens: memory, the time until all are registered, idle CPU.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use rustix::process::Resource;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use serde_json::json;
use tokio::time::Instant;
use tokio::time::sleep;

use crate::http;
use crate::peers;
use crate::peers::Peer;
use crate::peers::Places;

/// Registrations begun in a second: the pace that the operator sets (`sip.register_rate`).
const RATE: u32 = 1_000;
/// How long the agents may take to come, all of them.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a gateway is left alone before its memory is measured.
const SETTLE: Duration = Duration::from_secs(2);
/// Descriptors that are no agent's.
const SPARE: u64 = 256;

/// Starts a gateway with so many agents in front of the sink, and prints what they cost.
pub async fn run(places: &Places, count: u32, idle: f64) -> Result<()> {
    allow_descriptors(u64::from(count) + SPARE)?;
    let sink = peers::sink(places).await?;
    let alone = start(places, &sink, 1).await?;
    sleep(SETTLE).await;
    let base = alone.peer.usage().memory()?;
    drop(alone);

    let gateway = start(places, &sink, count).await?;
    sleep(SETTLE).await;
    let usage = gateway.peer.usage();
    let memory = usage.memory()?.saturating_sub(base);
    let before = usage.cpu()?;
    sleep(Duration::from_secs_f64(idle)).await;
    let cpu = usage.cpu()?.saturating_sub(before);

    let each = memory as f64 / 1024.0 / f64::from(count.saturating_sub(1).max(1));
    let share = cpu.as_secs_f64() / idle * 100.0;
    let took = gateway.took.as_secs_f64();
    println!("| agents | KiB each | all registered after | at a pace of | idle CPU of one core |");
    println!("|--:|--:|--:|--:|--:|");
    println!("| {count} | {each:.1} | {took:.1} s | {RATE}/s | {share:.2} % |");
    println!(
        "{}",
        json!({ "agents": count, "kibEach": each, "registeredAfterSeconds": took, "idleCpuPercent": share })
    );
    Ok(())
}

/// A gateway all of whose agents are registered.
struct Registered {
    peer: Peer,
    took: Duration,
}

async fn start(places: &Places, sink: &Peer, count: u32) -> Result<Registered> {
    let begun = Instant::now();
    let more = format!("[sip]\nregister_rate = {RATE}");
    let name = format!("agents-{count}");
    let peer = peers::start_sipost(places, &sink.url(), &name, count, &more).await?;
    loop {
        let list = http::get(peer.address(), "/agents").await?;
        let registered = list.matches(r#""state":"registered""#).count();
        if registered >= count as usize {
            let took = begun.elapsed();
            return Ok(Registered { peer, took });
        }
        if begun.elapsed() > PATIENCE {
            bail!("{registered} of {count} agents are registered after {PATIENCE:?}");
        }
        // Looking is not free: the answer names every agent.
        sleep(Duration::from_millis(500)).await;
    }
}

/// Raises the soft limit of descriptors, which children inherit.
fn allow_descriptors(wanted: u64) -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    limit.current = Some(wanted);
    setrlimit(Resource::Nofile, limit)
        .with_context(|| format!("this takes {wanted} open files: raise `ulimit -Hn`"))
}
