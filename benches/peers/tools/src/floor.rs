//! The ratios that a change may not fall below, and what fell.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde::Deserialize;

use crate::report::Ratios;

/// The rows of `benches/floor.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floors {
    row: Vec<FloorRow>,
}

/// The bounds of one row of the ratios.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FloorRow {
    server: String,
    clients: usize,
    /// A ratio of which more is better is at least this.
    #[serde(default)]
    at_least: BTreeMap<RatioName, f64>,
    /// A ratio of which less is better is at most this.
    #[serde(default)]
    at_most: BTreeMap<RatioName, f64>,
}

/// A column of the ratios.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "snake_case")]
enum RatioName {
    RateToJssip,
    CpuToJssip,
    P50ToJssip,
    P99ToJssip,
    RateToKamailio,
}

/// A bound that does not hold.
#[derive(Debug, PartialEq)]
pub struct Fall {
    server: String,
    clients: usize,
    what: FallReason,
}

#[derive(Debug, PartialEq)]
enum FallReason {
    Below(RatioName, f64, f64),
    Above(RatioName, f64, f64),
    /// The row is in the floors and not in the run.
    Missing,
}

impl Floors {
    /// Those of this file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let floors: Self = toml::from_str(text)?;
        for row in &floors.row {
            let bounds = row.at_least.values().chain(row.at_most.values());
            let mut bounds = bounds.peekable();
            let of = format!("{} clients at {}", row.clients, row.server);
            ensure!(bounds.peek().is_some(), "{of} have no bound");
            ensure!(
                bounds.all(|bound| *bound > 0.0),
                "a bound of {of} is not above zero"
            );
        }
        ensure!(!floors.row.is_empty(), "there is no floor");
        Ok(floors)
    }

    /// Every bound that does not hold in this run.
    pub fn falls(&self, measured: &[Ratios]) -> Vec<Fall> {
        self.row
            .iter()
            .flat_map(|row| row.falls(measured))
            .collect()
    }
}

impl FloorRow {
    fn falls(&self, measured: &[Ratios]) -> Vec<Fall> {
        let fall = |what| Fall {
            server: self.server.clone(),
            clients: self.clients,
            what,
        };
        let ours = measured
            .iter()
            .find(|row| row.server == self.server && row.clients == self.clients);
        let Some(ours) = ours else {
            return vec![fall(FallReason::Missing)];
        };
        // What is no number is neither at least nor at most anything.
        let below = self.at_least.iter().filter_map(|(name, bound)| {
            let is = name.of(ours);
            let holds = is.partial_cmp(bound).is_some_and(Ordering::is_ge);
            (!holds).then_some(FallReason::Below(*name, is, *bound))
        });
        let above = self.at_most.iter().filter_map(|(name, bound)| {
            let is = name.of(ours);
            let holds = is.partial_cmp(bound).is_some_and(Ordering::is_le);
            (!holds).then_some(FallReason::Above(*name, is, *bound))
        });
        below.chain(above).map(fall).collect()
    }
}

impl RatioName {
    fn of(self, row: &Ratios) -> f64 {
        match self {
            Self::RateToJssip => row.rate_to_jssip,
            Self::CpuToJssip => row.cpu_to_jssip,
            Self::P50ToJssip => row.p50_to_jssip,
            Self::P99ToJssip => row.p99_to_jssip,
            Self::RateToKamailio => row.rate_to_kamailio,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::RateToJssip => "messages/s ÷ JsSIP's",
            Self::CpuToJssip => "CPU ÷ JsSIP's",
            Self::P50ToJssip => "p50 ÷ JsSIP's",
            Self::P99ToJssip => "p99 ÷ JsSIP's",
            Self::RateToKamailio => "messages/s ÷ Kamailio JSON-RPC's",
        }
    }
}

impl fmt::Display for Fall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} clients at {}: ", self.clients, self.server)?;
        match self.what {
            FallReason::Below(name, is, bound) => {
                write!(
                    f,
                    "{} is {is:.2}, below its floor of {bound:.2}",
                    name.words()
                )
            }
            FallReason::Above(name, is, bound) => {
                write!(
                    f,
                    "{} is {is:.2}, above its limit of {bound:.2}",
                    name.words()
                )
            }
            FallReason::Missing => f.write_str("not measured"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOORS: &str = r#"
        [[row]]
        server = "sink"
        clients = 64
        at_least = { rate_to_jssip = 4.5, rate_to_kamailio = 1.4 }
        at_most = { cpu_to_jssip = 0.25 }
    "#;

    fn row(rate: f64, cpu: f64, to_kamailio: f64) -> Ratios {
        Ratios {
            server: "sink",
            clients: 64,
            rate_to_jssip: rate,
            cpu_to_jssip: cpu,
            p50_to_jssip: 1.0,
            p99_to_jssip: 1.0,
            rate_to_kamailio: to_kamailio,
        }
    }

    fn told(measured: &[Ratios]) -> Vec<String> {
        let falls = Floors::parse(FLOORS).unwrap().falls(measured);
        falls.iter().map(Fall::to_string).collect()
    }

    #[test]
    fn a_run_at_its_floors_and_above_them_passes() {
        assert!(told(&[row(4.5, 0.25, 1.4)]).is_empty());
        assert!(told(&[row(5.0, 0.2, 1.5)]).is_empty());
    }

    #[test]
    fn a_ratio_beyond_its_bound_is_told_with_its_row() {
        assert_eq!(
            told(&[row(4.49, 0.2, 1.5)]),
            ["64 clients at sink: messages/s ÷ JsSIP's is 4.49, below its floor of 4.50"]
        );
        assert_eq!(
            told(&[row(5.0, 0.26, 1.5)]),
            ["64 clients at sink: CPU ÷ JsSIP's is 0.26, above its limit of 0.25"]
        );
        assert_eq!(told(&[row(1.0, 1.0, 1.0)]).len(), 3);
    }

    #[test]
    fn a_row_that_was_not_measured_fails() {
        let elsewhere = Ratios {
            server: "kamailio",
            ..row(5.0, 0.2, 1.5)
        };
        let fewer = Ratios {
            clients: 16,
            ..row(5.0, 0.2, 1.5)
        };
        assert_eq!(
            told(&[elsewhere, fewer]),
            ["64 clients at sink: not measured"]
        );
        assert_eq!(told(&[]).len(), 1);
    }

    #[test]
    fn a_ratio_to_nothing_fails() {
        assert_eq!(told(&[row(f64::NAN, f64::NAN, f64::NAN)]).len(), 3);
    }

    #[test]
    fn floors_that_could_not_fail_are_refused() {
        for text in [
            "row = []",
            "[[row]]\nserver = \"sink\"\nclients = 64",
            "[[row]]\nserver = \"sink\"\nclients = 64\nat_least = { rate_to_jssip = 0.0 }",
            "[[row]]\nserver = \"sink\"\nclients = 64\nat_least = { rate = 1.0 }",
            "[[row]]\nserver = \"sink\"\nclients = 64\nfloor = { rate_to_jssip = 1.0 }",
        ] {
            assert!(Floors::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_floors_of_the_repository_can_be_read() {
        let path = crate::peers::repository()
            .unwrap()
            .join("benches/floor.toml");
        let floors = Floors::read(&path).unwrap();
        assert!(!floors.falls(&[]).is_empty());
    }
}
