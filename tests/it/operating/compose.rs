//! `docker-compose.yml`: what it names is there. `scripts/test` has compose itself read it, where
//! there is a compose to do so.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_yaml_ng::Value;

const FILE: &str = "docker-compose.yml";

/// The folder of the secrets that everybody knows, which the file falls back to.
const SECRETS: &str = "${SIPOST_SECRETS:-./config/compose/secrets}";

fn compose() -> Value {
    let mut compose = serde_yaml_ng::from_str::<Value>(&fs::read_to_string(FILE).unwrap()).unwrap();
    // What `<<` merges in.
    compose.apply_merge().unwrap();
    compose
}

/// Every entry of a member that is a map: name and value.
fn entries(of: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let map = of.as_mapping().unwrap();
    map.iter()
        .map(|(name, value)| (name.as_str().unwrap(), value))
}

/// The words of a member that is a list or a map of them; none when it is not there.
fn words(of: &Value) -> Vec<&str> {
    match of {
        Value::Null => Vec::new(),
        Value::Sequence(words) => words.iter().map(|word| word.as_str().unwrap()).collect(),
        map => entries(map).map(|(name, _)| name).collect(),
    }
}

#[test]
fn services_depend_on_services_that_start_with_them() {
    let compose = compose();
    let services = &compose["services"];
    for (name, service) in entries(services) {
        for other in words(&service["depends_on"]) {
            let wanted = &services[other];
            assert!(wanted.is_mapping(), "{name}: there is no {other}");
            // A service without a profile always starts; one with a profile starts with its own.
            let profiles = words(&service["profiles"]);
            let theirs = words(&wanted["profiles"]);
            let together = |profile: &&str| theirs.contains(profile);
            assert!(
                theirs.is_empty() || (!profiles.is_empty() && profiles.iter().all(together)),
                "{name}: {other} does not start with it"
            );
            if service["depends_on"][other]["condition"] == "service_healthy" {
                let built = wanted["build"].as_str();
                let text = built.map(|folder| Path::new(folder).join("Dockerfile"));
                let text = text.map(|file| fs::read_to_string(file).unwrap());
                assert!(
                    wanted["healthcheck"].is_mapping()
                        || text.is_some_and(|text| text.contains("\nHEALTHCHECK ")),
                    "{name}: nobody asks {other} whether it is healthy"
                );
            }
        }
    }
}

#[test]
fn what_services_are_given_is_there_and_all_of_it_is_used() {
    let compose = compose();
    let mut used = BTreeSet::new();
    for (name, service) in entries(&compose["services"]) {
        for secret in words(&service["secrets"]) {
            let file = compose["secrets"][secret]["file"].as_str();
            let file = file.unwrap_or_else(|| panic!("{name}: there is no secret {secret}"));
            let file = file.replace(SECRETS, "config/compose/secrets");
            assert!(Path::new(&file).is_file(), "{name}: there is no {file}");
            used.insert(secret);
        }
        for volume in words(&service["volumes"]) {
            let (source, _) = volume.split_once(':').unwrap();
            match source.starts_with('.') {
                true => assert!(Path::new(source).exists(), "{name}: there is no {source}"),
                false => {
                    let known = compose["volumes"].get(source);
                    assert!(known.is_some(), "{name}: there is no volume {source}");
                    used.insert(source);
                }
            }
        }
        for port in words(&service["ports"]) {
            assert!(
                port.starts_with("127.0.0.1:"),
                "{name}: {port} is open to all"
            );
        }
    }
    for list in [&compose["secrets"], &compose["volumes"]] {
        for (name, _) in entries(list) {
            assert!(used.contains(name), "nobody uses {name}");
        }
    }
}
