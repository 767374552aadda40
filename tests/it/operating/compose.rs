//! `docker-compose.yml`: what it names is there. `scripts/test` has compose itself read it, where
//! there is a compose to do so.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_yaml_ng::Value;
use sha2::Digest as _;

const FILE: &str = "docker-compose.yml";

/// The folder of the public demonstration secrets, which the file falls back to.
const SECRETS: &str = "${SIPOST_SECRETS:-./config/compose/secrets}";

fn compose() -> Value {
    let mut compose = serde_yaml_ng::from_str::<Value>(&fs::read_to_string(FILE).unwrap()).unwrap();
    // What `<<` merges in.
    compose.apply_merge().unwrap();
    compose
}

/// The steps of the page that says how to bring secrets of one's own.
const STEPS: &str = "config/compose/secrets/README.md";

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
            if source.starts_with('.') {
                assert!(Path::new(source).exists(), "{name}: there is no {source}");
            } else {
                let known = compose["volumes"].get(source);
                assert!(known.is_some(), "{name}: there is no volume {source}");
                used.insert(source);
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

#[test]
fn a_softphone_reaches_kamailio_at_the_port_that_the_document_names() {
    let compose = compose();
    let published = words(&compose["services"]["kamailio"]["ports"]);
    assert_eq!(published, ["127.0.0.1:5060:8080"]);
    let start = fs::read_to_string("config/kamailio/start").unwrap();
    assert!(start.contains("-l tcp:0.0.0.0:8080"), "{start}");
    let document = fs::read_to_string("docs/operating.md").unwrap();
    assert!(document.contains("127.0.0.1:5060;transport=tcp"));
    let users = fs::read_to_string("config/compose/secrets/sip-users").unwrap();
    assert!(users.contains("bob:demonstration-bob\n"));
    assert!(document.contains("demonstration-bob"));
}

/// Every service that is given a secret runs as a user of its own, so the files are readable, and
/// their folder is closed.
#[test]
fn secrets_of_ones_own_are_made_by_the_steps_of_the_document() {
    let text = fs::read_to_string(STEPS).unwrap();
    let steps = text.split("```sh\n").nth(1).unwrap();
    let steps = steps.split("```").next().unwrap();
    let (steps, last) = steps.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(last, "docker compose up --wait");
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("bash")
        .args(["-euc", steps])
        .env("HOME", folder.path())
        .current_dir(folder.path())
        .output();
    let made = made.unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );

    // Not for one command alone: a later one, of an upgrade for example, would make the gateway
    // anew with the public demonstration secrets.
    let secrets = folder.path().join("sipost-secrets");
    let kept = fs::read_to_string(folder.path().join(".env")).unwrap();
    assert_eq!(kept, format!("SIPOST_SECRETS={}\n", secrets.display()));
    let ignored = fs::read_to_string(".gitignore").unwrap();
    assert!(ignored.lines().any(|line| line == "/.env"), "{ignored}");
    let sent = fs::read_to_string(".dockerignore").unwrap();
    let mut sent = sent.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(sent.next(), Some("*"));
    assert!(!sent.any(|line| line.contains(".env")));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&secrets), 0o700);
    let read = |name: &str| fs::read_to_string(secrets.join(name)).unwrap();
    for (_, secret) in entries(&compose()["secrets"]) {
        let file = secret["file"].as_str().unwrap();
        let name = file.rsplit('/').next().unwrap();
        assert_eq!(mode(&secrets.join(name)), 0o444, "{name}");
        assert!(read(name).len() >= 32, "{name}");
        let known = fs::read_to_string(Path::new("config/compose/secrets").join(name)).unwrap();
        assert_ne!(read(name), known, "{name}");
    }
    for name in ["token", "metrics-token"] {
        let digest = sha2::Sha256::digest(read(name));
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(read(&format!("{name}.sha256")).trim(), digest);
    }
    let alice = format!("alice:{}\n", read("alice-password"));
    assert!(read("sip-users").contains(&alice));
}
