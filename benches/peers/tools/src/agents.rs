//! What agents cost while nothing happens: memory, the time until all are registered, idle CPU.
//! And the same while clients ask for the list of them all the time.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use rustix::process::Resource;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::sleep;

use crate::http;
use crate::peers;
use crate::peers::Peer;
use crate::peers::Places;

/// Registrations begun in a second: the pace that the operator sets (`sip.register_rate`).
const RATE: u32 = 1_000;
/// Clients that ask for the list of agents, each again when it has it.
const ASKING: usize = 4;
/// How long the agents may take to come, all of them.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a gateway is left alone before its memory is measured.
const SETTLE: Duration = Duration::from_secs(2);
/// How many agents are registered, in the metrics.
const REGISTERED: &str = r#"sipost_agents{state="registered"}"#;
/// Descriptors that are no agent's.
const SPARE: u64 = 256;

/// Starts a gateway with so many agents in front of the sink, and prints what they cost: alone, and
/// while clients ask for `GET /agents` from the start on.
pub async fn run(places: &Places, count: u32, idle: f64) -> Result<()> {
    allow_descriptors(u64::from(count) + SPARE)?;
    let sink = peers::sink(places).await?;
    let alone = start(places, &sink, 1, 0).await?;
    sleep(SETTLE).await;
    let base = alone.peer.usage().memory()?;
    drop(alone);

    println!(
        "| agents | clients that ask for all of them | lists a second | KiB each \
         | all registered after | at a pace of | CPU of one core |\n\
         |--:|--:|--:|--:|--:|--:|--:|"
    );
    for clients in [0, ASKING] {
        let gateway = start(places, &sink, count, clients).await?;
        sleep(SETTLE).await;
        let usage = gateway.peer.usage();
        let before = (usage.cpu()?, gateway.lists.get());
        sleep(Duration::from_secs_f64(idle)).await;
        let cpu = usage.cpu()?.saturating_sub(before.0);
        let lists = (gateway.lists.get() - before.1) as f64 / idle;
        let memory = usage.memory()?.saturating_sub(base);

        let each = memory as f64 / 1024.0 / f64::from(count.saturating_sub(1).max(1));
        let share = cpu.as_secs_f64() / idle * 100.0;
        let took = gateway.took.as_secs_f64();
        println!(
            "| {count} | {clients} | {lists:.1} | {each:.1} | {took:.1} s | {RATE}/s | {share:.1} % |"
        );
        eprintln!(
            "{}",
            json!({
                "agents": count, "clients": clients, "listsPerSecond": lists, "kibEach": each,
                "registeredAfterSeconds": took, "cpuPercent": share,
            })
        );
    }
    Ok(())
}

/// A gateway all of whose agents are registered.
struct Registered {
    peer: Peer,
    took: Duration,
    /// Lists that its clients were given.
    lists: Rc<Cell<u64>>,
    _clients: JoinSet<Result<()>>,
}

async fn start(places: &Places, sink: &Peer, count: u32, clients: usize) -> Result<Registered> {
    let begun = Instant::now();
    let more = format!("[sip]\nregister_rate = {RATE}");
    let name = format!("agents-{count}-{clients}");
    let peer = peers::start_sipost(places, &sink.url(), &name, count, &more).await?;
    let lists = Rc::new(Cell::new(0));
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        asking.spawn_local(ask(peer.address(), lists.clone()));
    }
    loop {
        if let Some(ended) = asking.try_join_next() {
            ended??;
        }
        // Their list would cost memory, which is what is measured.
        let registered = http::metric(peer.address(), REGISTERED).await?;
        if registered >= u64::from(count) {
            return Ok(Registered {
                took: begun.elapsed(),
                peer,
                lists,
                _clients: asking,
            });
        }
        if begun.elapsed() > PATIENCE {
            bail!("{registered} of {count} agents are registered after {PATIENCE:?}");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Asks for the list of agents again and again.
async fn ask(address: SocketAddr, lists: Rc<Cell<u64>>) -> Result<()> {
    loop {
        let list = http::get(address, "/agents").await?;
        if !list.contains(r#"{"data":["#) {
            bail!("the list of agents is {list}");
        }
        lists.set(lists.get() + 1);
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
