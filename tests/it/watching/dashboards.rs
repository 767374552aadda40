//! `config/prometheus` and `config/grafana`: valid, and about figures that there are.

use std::collections::BTreeSet;
use std::fs;

use tokio::process::Command;

use super::Watched;
use super::metrics::Page;

const RULES: &str = "config/prometheus/rules.yml";
const DASHBOARD: &str = "config/grafana/dashboards/sipost.json";

/// Every name in a text that is one of ours, or of the process.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("sipost_") || word.starts_with("process_"))
        .collect()
}

#[tokio::test]
async fn every_figure_in_rules_and_dashboards_is_given() {
    let watched = Watched::open("").await;
    // Families whose label values come with traffic begin with the first of it.
    watched.send("ok").await;
    let page = Page::of(&watched).await;
    for file in [RULES, DASHBOARD] {
        let text = fs::read_to_string(file).unwrap();
        let named = names(&text);
        assert!(named.len() >= 8, "{named:?}");
        for name in named {
            assert!(page.family_of(name).is_some(), "{file}: there is no {name}");
        }
    }
    watched.stop().await;
}

#[tokio::test]
async fn prometheus_takes_the_configuration_and_the_rules() {
    for what in [
        ["check", "config", "config/prometheus/prometheus.yml"],
        ["check", "rules", RULES],
    ] {
        let ended = Command::new("promtool").args(what).output().await.unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{what:?}: {said}");
    }
}

#[test]
fn the_dashboard_is_one_that_grafana_can_be_provisioned_with() {
    let text = fs::read_to_string(DASHBOARD).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(dashboard["uid"], "sipost");
    let datasources = "config/grafana/provisioning/datasources/prometheus.yml";
    let datasources = fs::read_to_string(datasources).unwrap();
    let datasources: serde_json::Value = serde_yaml_ng::from_str(&datasources).unwrap();
    let known = &datasources["datasources"][0]["uid"];
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64()), "{panel}");
        assert_eq!(panel["datasource"]["uid"], *known, "{panel}");
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{panel}");
        assert!(
            panel["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
    }
}
