//! Medians over the rounds, as a table, as ratios, and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::load::Sample;

/// One gateway at one server with so many clients; the median of the rounds in every column.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub server: &'static str,
    pub clients: usize,
    pub gateway: &'static str,
    pub messages_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Milliseconds of the gateway's CPU for 1 000 messages.
    pub cpu_ms_per_1000: f64,
    /// The same of the database's CPU, where that is not the gateway's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_cpu_ms_per_1000: Option<f64>,
    pub memory_mib: f64,
    /// Answers that were not a success, over all rounds.
    pub other: u64,
}

/// What was measured, by server, clients and gateway, in the order of the tables.
#[derive(Default)]
pub struct Report {
    samples: BTreeMap<(usize, usize, usize), Cell>,
}

struct Cell {
    server: &'static str,
    clients: usize,
    gateway: &'static str,
    rounds: Vec<Sample>,
}

impl Report {
    /// Adds one round of a cell; `order` says where its row stands.
    pub fn add(
        &mut self,
        order: (usize, usize, usize),
        (server, clients, gateway): (&'static str, usize, &'static str),
        sample: Sample,
    ) {
        let cell = self.samples.entry(order).or_insert_with(|| Cell {
            server,
            clients,
            gateway,
            rounds: Vec::new(),
        });
        cell.rounds.push(sample);
    }

    pub fn rows(&self) -> Vec<Row> {
        self.samples.values().map(row).collect()
    }
}

fn row(cell: &Cell) -> Row {
    let milliseconds = |duration: std::time::Duration| duration.as_secs_f64() * 1000.0;
    let median = |of: &dyn Fn(&Sample) -> f64| median_of(cell.rounds.iter().map(of).collect());
    Row {
        server: cell.server,
        clients: cell.clients,
        gateway: cell.gateway,
        messages_per_second: median(&Sample::rate),
        p50_ms: median(&|sample| milliseconds(sample.quantile(0.5))),
        p99_ms: median(&|sample| milliseconds(sample.quantile(0.99))),
        cpu_ms_per_1000: median(&|sample| milliseconds(sample.cpu_per_message()) * 1000.0),
        database_cpu_ms_per_1000: cell
            .rounds
            .iter()
            .map(Sample::database_cpu_per_message)
            .collect::<Option<Vec<_>>>()
            .map(|all| median_of(all.into_iter().map(milliseconds).collect()) * 1000.0),
        memory_mib: median(&|sample| sample.memory as f64 / 1_048_576.0),
        other: cell.rounds.iter().map(|sample| sample.other).sum(),
    }
}

fn median_of(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The rows in Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| server | clients | gateway | messages/s | p50 ms | p99 ms | CPU ms per 1 000 | memory MiB | not succeeded |\n\
         |---|--:|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        writeln!(
            text,
            "| {} | {} | {} | {:.0} | {:.2} | {:.2} | {:.0} | {:.0} | {} |",
            row.server,
            row.clients,
            row.gateway,
            row.messages_per_second,
            row.p50_ms,
            row.p99_ms,
            row.cpu_ms_per_1000,
            row.memory_mib,
            row.other
        )
        .expect("writing to a String does not fail");
    }
    text
}

/// How sipost stands beside the better of the two JsSIP gateways and beside Kamailio.
#[derive(Clone, Debug)]
pub struct Ratios {
    pub server: &'static str,
    pub clients: usize,
    pub rate_to_jssip: f64,
    pub cpu_to_jssip: f64,
    pub p50_to_jssip: f64,
    pub p99_to_jssip: f64,
    pub rate_to_kamailio: f64,
}

/// The ratios of every row of sipost that has the others beside it.
pub fn ratios_of(rows: &[Row]) -> Vec<Ratios> {
    let ours = rows.iter().filter(|row| row.gateway == "sipost");
    let ratios = ours.filter_map(|ours| {
        let beside = |name: &str| {
            rows.iter()
                .filter(|row| row.server == ours.server && row.clients == ours.clients)
                .filter(|row| row.gateway.starts_with(name))
                .max_by(|a, b| a.messages_per_second.total_cmp(&b.messages_per_second))
        };
        let (jssip, kamailio) = (beside("jssip")?, beside("kamailio")?);
        Some(Ratios {
            server: ours.server,
            clients: ours.clients,
            rate_to_jssip: ours.messages_per_second / jssip.messages_per_second,
            cpu_to_jssip: ours.cpu_ms_per_1000 / jssip.cpu_ms_per_1000,
            p50_to_jssip: ours.p50_ms / jssip.p50_ms,
            p99_to_jssip: ours.p99_ms / jssip.p99_ms,
            rate_to_kamailio: ours.messages_per_second / kamailio.messages_per_second,
        })
    });
    ratios.collect()
}

/// Ratios in Markdown.
pub fn ratios(ratios: &[Ratios]) -> String {
    let mut text = String::from(
        "| server | clients | messages/s: sipost ÷ JsSIP | CPU: sipost ÷ JsSIP | p50 ÷ | p99 ÷ | messages/s: sipost ÷ Kamailio JSON-RPC |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in ratios {
        writeln!(
            text,
            "| {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
            row.server,
            row.clients,
            row.rate_to_jssip,
            row.cpu_to_jssip,
            row.p50_to_jssip,
            row.p99_to_jssip,
            row.rate_to_kamailio,
        )
        .expect("writing to a String does not fail");
    }
    text
}

/// sipost beside the build that was named with `--before`, in Markdown.
pub fn ratios_to_before(rows: &[Row]) -> String {
    let mut text = String::from(
        "| server | clients | gateway | messages/s: sipost ÷ before | CPU ÷ | p50 ÷ | p99 ÷ |\n\
         |---|--:|---|--:|--:|--:|--:|\n",
    );
    for after in rows.iter().filter(|row| row.gateway.starts_with("sipost")) {
        let same = after.gateway.replace("sipost", "before");
        let before = rows.iter().find(|row| {
            row.gateway == same && row.server == after.server && row.clients == after.clients
        });
        let Some(before) = before else { continue };
        writeln!(
            text,
            "| {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
            after.server,
            after.clients,
            after.gateway,
            after.messages_per_second / before.messages_per_second,
            after.cpu_ms_per_1000 / before.cpu_ms_per_1000,
            after.p50_ms / before.p50_ms,
            after.p99_ms / before.p99_ms,
        )
        .expect("writing to a String does not fail");
    }
    text
}
