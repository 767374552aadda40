//! `config/prometheus` and `config/grafana`: valid, and about figures that there are.

use std::collections::BTreeSet;
use std::fs;

use tokio::process::Command;

use super::Watched;
use super::metrics::Page;

const CONFIG: &str = "config/prometheus/prometheus.yml";
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
async fn prometheus_takes_the_configuration_and_the_rules_fire_when_they_should() {
    for what in [
        // The token is a file that compose mounts.
        &["check", "config", "--syntax-only", CONFIG][..],
        &["check", "rules", RULES],
        &["test", "rules", "tests/it/watching/rules.yml"],
    ] {
        let ended = Command::new("promtool").args(what).output().await.unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        let said = String::from_utf8_lossy(&said);
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

/// Grafana reads the dashboard from where compose mounts it, and asks the Prometheus of compose.
#[test]
fn grafana_is_provisioned_with_what_compose_mounts_and_starts() {
    let read = |file: &str| -> serde_yaml_ng::Value {
        serde_yaml_ng::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    };
    let compose = read("docker-compose.yml");
    let grafana = &compose["services"]["grafana"];
    let volumes = grafana["volumes"].as_sequence().unwrap();
    let mounted = |host: &str| {
        let of_host = volumes
            .iter()
            .filter_map(|volume| volume.as_str()?.strip_prefix(host));
        let place = of_host.filter_map(|rest| rest.strip_prefix(':')).next();
        place.map(|place| place.trim_end_matches(":ro").to_owned())
    };
    // Where Grafana looks for provisioning unless it is told otherwise.
    let provisioning = mounted("./config/grafana/provisioning");
    assert_eq!(provisioning.as_deref(), Some("/etc/grafana/provisioning"));
    let providers = read("config/grafana/provisioning/dashboards/sipost.yml");
    assert_eq!(providers["apiVersion"], 1);
    let path = providers["providers"][0]["options"]["path"].as_str();
    assert_eq!(mounted("./config/grafana/dashboards").as_deref(), path);
    let sources = read("config/grafana/provisioning/datasources/prometheus.yml");
    assert_eq!(sources["apiVersion"], 1);
    let url = sources["datasources"][0]["url"].as_str().unwrap();
    let (service, port) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once(':')
        .unwrap();
    let ports = &compose["services"][service]["ports"];
    assert_eq!(ports[0], format!("127.0.0.1:{port}:{port}"));
}
