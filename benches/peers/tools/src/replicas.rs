//! sipost on SQLite beside one and several replicas of it on one PostgreSQL.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::bail;
use serde_json::Value;
use tokio::time::Instant;
use tokio::time::sleep;

use crate::Options;
use crate::http;
use crate::load;
use crate::load::Conversation;
use crate::load::Costs;
use crate::peers;
use crate::peers::Peer;
use crate::peers::Places;
use crate::postgres::Cluster;
use crate::report::Report;
use crate::report::Row;
use crate::usage::Usage;

/// Registered user agents in all, however many replicas share them.
const AGENTS: u32 = 8;
/// How long the replicas may take to share them out.
const PATIENCE: Duration = Duration::from_secs(60);
const SERVER: &str = "sink";
const SQLITE: &str = "SQLite";
const ONE: &str = "PostgreSQL: 1 replica";

/// A store, and so many gateways that work on it.
struct Deployment {
    name: &'static str,
    conversation: Rc<Conversation>,
    costs: Costs,
    _gateways: Vec<Peer>,
}

/// Prints a table of how many messages a second they finish and what a message costs.
pub async fn run(options: &Options, places: &Places) -> Result<()> {
    let cluster = Cluster::start();
    let sink = peers::sink(places).await?;
    let mut deployments = Vec::new();
    for (name, replicas) in [
        (SQLITE, 0),
        (ONE, 1),
        ("PostgreSQL: 2 replicas", 2),
        ("PostgreSQL: 3 replicas", 3),
    ] {
        if options.gateways.is_empty() || options.gateways.iter().any(|w| name.starts_with(w)) {
            deployments.push(open(places, &sink, &cluster, name, replicas).await?);
        }
    }
    let mut report = Report::default();
    for round in 1..=options.rounds {
        for (size, &clients) in options.clients.iter().enumerate() {
            for (place, deployment) in deployments.iter().enumerate() {
                let name = deployment.name;
                let (conversation, costs) = (&deployment.conversation, &deployment.costs);
                let sample = load::measure(conversation, costs, clients, options.seconds);
                let sample = sample.await.context(name)?;
                eprintln!(
                    "round {round}: {clients} clients, {name}: {:.0}/s",
                    sample.rate()
                );
                report.add((0, size, place), (SERVER, clients, name), sample);
            }
        }
    }
    let rows = report.rows();
    println!("{}", table(&rows));
    let machine = format!("{}; {}", crate::machine(&[]), cluster.version());
    println!("{machine}");
    crate::keep(options, &machine, &rows)
}

/// Starts so many replicas on a database of their own, or one gateway on SQLite when it is none.
async fn open(
    places: &Places,
    sink: &Peer,
    cluster: &Cluster,
    name: &'static str,
    replicas: usize,
) -> Result<Deployment> {
    let (server, mut gateways) = (sink.url(), Vec::new());
    if replicas == 0 {
        gateways.push(peers::start_sipost(places, &server, "sqlite", AGENTS, "").await?);
    } else {
        let url = cluster.database();
        for number in 1..=replicas {
            let replica = format!("{number}-of-{replicas}");
            let more = format!("[store]\nurl = \"{url}\"\nreplica = \"{replica}\"");
            let gateway = peers::start_sipost(places, &server, &replica, AGENTS, &more);
            gateways.push(gateway.await?);
        }
    }
    share_agents(&gateways).await.context(name)?;
    Ok(Deployment {
        name,
        conversation: peers::with_sipost(&gateways),
        costs: Costs {
            gateway: Usage::Groups(gateways.iter().map(Peer::group).collect()),
            database: (replicas > 0).then(|| Usage::Family(cluster.process())),
        },
        _gateways: gateways,
    })
}

/// Waits until all agents are registered, and each replica has some.
async fn share_agents(gateways: &[Peer]) -> Result<()> {
    let begun = Instant::now();
    for gateway in gateways {
        loop {
            let list = http::get(gateway.address(), "/agents").await?;
            let list: Value = serde_json::from_str(&list)?;
            let agents = list["data"].as_array().context("a list of agents")?;
            let registered = agents.iter().filter(|one| one["state"] == "registered");
            let replicas: HashSet<String> = registered
                .clone()
                .map(|one| one["replica"].to_string())
                .collect();
            if registered.count() == AGENTS as usize && replicas.len() == gateways.len() {
                break;
            }
            if begun.elapsed() > PATIENCE {
                bail!("after {PATIENCE:?} the agents are {list}");
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// The rows in Markdown, each beside SQLite and beside one replica.
fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| clients | store | messages/s | ÷ SQLite | ÷ 1 replica | p50 ms | p99 ms \
         | CPU ms per 1 000: gateways | … and PostgreSQL |\n\
         |--:|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let beside = |name: &str| {
            let other = rows
                .iter()
                .find(|other| other.clients == row.clients && other.gateway == name);
            other.map_or_else(String::new, |other| {
                format!("{:.2}", row.messages_per_second / other.messages_per_second)
            })
        };
        let database = row.database_cpu_ms_per_1000;
        writeln!(
            text,
            "| {} | {} | {:.0} | {} | {} | {:.1} | {:.1} | {:.0} | {} |",
            row.clients,
            row.gateway,
            row.messages_per_second,
            beside(SQLITE),
            beside(ONE),
            row.p50_ms,
            row.p99_ms,
            row.cpu_ms_per_1000,
            database.map_or_else(String::new, |cost| format!("{cost:.0}")),
        )
        .expect("writing to a String does not fail");
    }
    text
}
