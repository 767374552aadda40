//! sipost beside what one would use instead of it, in one run.
//!
//! Each round measures every gateway at every server with every number of clients, one after the
//! other, so that what disturbs the machine disturbs all alike; the median of the rounds counts.
//! `agents` and `streams` measure what the comparison does not show: many user agents that do
//! nothing, and many readers of the log; `received` measures what comes in. `replicas` measures
//! sipost beside itself: on SQLite, and several of it on one PostgreSQL. `benches/peers/run` builds
//! what this needs and calls it.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a tool for benchmarks that ends with its reason"
)]

mod agents;
mod floor;
mod http;
mod load;
mod peers;
#[path = "../../../../src/store/postgres/testing.rs"]
mod postgres;
mod received;
mod replicas;
mod report;
mod streams;
mod usage;
mod wire;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use serde_json::json;
use tokio::task::LocalSet;

use crate::floor::Floors;
use crate::load::Costs;
use crate::peers::Places;
use crate::report::Report;
use crate::report::Row;

/// The options of the command line.
struct Options {
    rounds: usize,
    seconds: f64,
    clients: Vec<usize>,
    /// How the names of the gateways to measure begin; all of them when it is empty.
    gateways: Vec<String>,
    /// Another build of sipost, to be measured as `before`.
    before: Option<PathBuf>,
    json: PathBuf,
    /// The file of the ratios that this run must not fall below.
    check: Option<PathBuf>,
}

impl Options {
    fn parse(
        mut arguments: impl Iterator<Item = String>,
        clients: &[usize],
        json: &str,
    ) -> Result<Self> {
        let mut options = Self {
            rounds: 3,
            seconds: 4.0,
            clients: clients.to_vec(),
            gateways: Vec::new(),
            before: None,
            json: PathBuf::from(json),
            check: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .with_context(|| format!("{name} of what?"))?;
            match name.as_str() {
                "--rounds" => options.rounds = value.parse()?,
                "--seconds" => options.seconds = value.parse()?,
                "--clients" => {
                    let numbers = value.split(',').map(str::parse);
                    options.clients = numbers.collect::<Result<_, _>>()?;
                }
                "--gateways" => options.gateways = value.split(',').map(str::to_owned).collect(),
                "--before" => options.before = Some(PathBuf::from(value)),
                "--check" => options.check = Some(PathBuf::from(value)),
                "--json" => options.json = PathBuf::from(value),
                _ => bail!(
                    "{name} is none of --rounds, --seconds, --clients, --gateways, --before, --check, --json"
                ),
            }
        }
        Ok(options)
    }
}

/// Numbers of a measurement, by the names of their options.
fn numbers<const N: usize>(
    mut arguments: impl Iterator<Item = String>,
    mut defaults: [(&str, f64); N],
) -> Result<[f64; N]> {
    while let Some(name) = arguments.next() {
        let value = arguments
            .next()
            .with_context(|| format!("{name} of what?"))?;
        let names = defaults.map(|(name, _)| name).join(", ");
        let known = defaults.iter_mut().find(|(known, _)| *known == name);
        let (_, number) = known.with_context(|| format!("{name} is none of {names}"))?;
        *number = value.parse()?;
    }
    Ok(defaults.map(|(_, number)| number))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    let programs = std::env::current_exe()?;
    let programs = programs.parent().context("a program is in a folder")?;
    let places = Places {
        repository: peers::repository()?,
        programs: programs.to_owned(),
        // Beside the programs and not in /tmp, which may be memory: the store must meet a disk.
        scratch: tempfile::tempdir_in(programs)?,
    };
    let what = arguments.next_if(|argument| !argument.starts_with("--"));
    let local = LocalSet::new();
    match what.as_deref() {
        None => {
            let options = Options::parse(arguments, &[1, 16, 64, 256], "target/peers.json")?;
            local.run_until(compare(&options, places)).await
        }
        Some("replicas") => {
            let options = Options::parse(arguments, &[64, 256], "target/replicas.json")?;
            local.run_until(replicas::run(&options, &places)).await
        }
        Some("agents") => {
            let defaults = [("--agents", 10_000.0), ("--idle", 20.0)];
            let [count, idle] = numbers(arguments, defaults)?;
            let measuring = agents::run(&places, count as u32, idle);
            local.run_until(measuring).await
        }
        Some("received") => {
            let options = Options::parse(arguments, &[1, 16, 64, 256], "")?;
            let (rounds, seconds) = (options.rounds, options.seconds);
            local
                .run_until(received::run(&places, rounds, seconds, &options.clients))
                .await
        }
        Some("streams") => {
            let defaults = [
                ("--readers", 1_000.0),
                ("--events", 1_000.0),
                ("--seconds", 10.0),
            ];
            let [readers, events, seconds] = numbers(arguments, defaults)?;
            let measuring = streams::run(&places, readers as u32, events as u32, seconds);
            local.run_until(measuring).await
        }
        Some(other) => bail!("{other} is none of agents, streams, received, replicas"),
    }
}

async fn compare(options: &Options, places: Places) -> Result<()> {
    let floors = options.check.as_deref().map(Floors::read).transpose()?;
    let servers = peers::servers(&places).await?;
    let mut gateways = Vec::new();
    for server in &servers {
        gateways.extend(peers::gateways(&places, server, &options.gateways).await?);
        if let Some(program) = &options.before {
            gateways.extend(peers::before(&places, server, program).await?);
        }
    }

    let mut report = Report::default();
    for round in 1..=options.rounds {
        for (size, &clients) in options.clients.iter().enumerate() {
            for (place, gateway) in gateways.iter().enumerate() {
                let (name, server) = (gateway.name, gateway.server);
                let costs = Costs {
                    gateway: gateway.peer.usage(),
                    database: None,
                };
                let sample = load::measure(&gateway.conversation, &costs, clients, options.seconds);
                let sample = sample
                    .await
                    .with_context(|| format!("{name} at {server}"))?;
                eprintln!(
                    "round {round}: {clients} clients, {name} at {server}: {:.0}/s",
                    sample.rate()
                );
                let behind = servers.iter().position(|other| other.name == server);
                let order = (behind.context("a server of ours")?, size, place);
                report.add(order, (server, clients, name), sample);
            }
        }
    }

    let rows = report.rows();
    let ratios = report::ratios_of(&rows);
    println!("{}\n{}", report::table(&rows), report::ratios(&ratios));
    if options.before.is_some() {
        println!("{}", report::ratios_to_before(&rows));
    }
    let machine = machine(&[("node", "--version"), ("kamailio", "-v")]);
    println!("{machine}");
    keep(options, &machine, &rows)?;
    let falls = floors.map_or_else(Vec::new, |floors| floors.falls(&ratios));
    for fall in &falls {
        println!("{fall}");
    }
    if !falls.is_empty() {
        bail!("{} ratios are beyond their floors", falls.len());
    }
    Ok(())
}

/// Writes the rows as JSON; an error when one of them is of nothing.
fn keep(options: &Options, machine: &str, rows: &[Row]) -> Result<()> {
    let json = json!({
        "machine": machine,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "rows": rows,
    });
    fs::write(&options.json, format!("{json:#}\n"))
        .with_context(|| format!("{} cannot be written", options.json.display()))?;
    if let Some(row) = rows.iter().find(|row| row.messages_per_second == 0.0) {
        bail!("{} at {} sent nothing", row.gateway, row.server);
    }
    Ok(())
}

/// What this was measured on, and how these programs name themselves.
fn machine(programs: &[(&str, &str)]) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = cpu
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model)
        .collect();
    let version = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let text = text.unwrap_or_default();
        text.lines().next().unwrap_or_default().trim().to_owned()
    };
    let mut text = format!(
        "{} × {}; Linux {}",
        models.len(),
        models.first().unwrap_or(&"an unknown processor"),
        version("uname", "-r"),
    );
    for (program, argument) in programs {
        text += &format!("; {program} {}", version(program, argument));
    }
    text
}
