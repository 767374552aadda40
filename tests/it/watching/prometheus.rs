//! Debian's Prometheus with the files that `docker-compose.yml` gives it, in a network of its own
//! where the names of compose lead to gateways: it scrapes them with their token, and the rules
//! mean what they say.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::net::UdpSocket;
use tokio::process::Child;
use tokio::process::Command;

/// Prometheus spreads its first looks over its intervals, and a busy machine is slow to start it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Says that this process is alone in a network.
const ALONE: &str = "SIPOST_ALONE";
const NAME: &str = "watching::prometheus::prometheus_scrapes_what_compose_starts";

const GATEWAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const REPLICAS: [(&str, Ipv4Addr); 2] = [
    ("replica-1", Ipv4Addr::new(127, 0, 0, 3)),
    ("replica-2", Ipv4Addr::new(127, 0, 0, 4)),
];

/// What a container of compose sees: its secrets, its hosts and its name server. `$0` is a folder
/// that has them.
const ENTER: &str = r#"
set -e
ip link set lo up
mount -t tmpfs tmpfs /run
cp -r "$0/secrets" /run/secrets
mount --bind "$0/hosts" /etc/hosts
resolv=$(readlink -m /etc/resolv.conf)
if [ -e "$resolv" ]; then
  mount --bind "$0/resolv.conf" "$resolv"
else
  mkdir -p "${resolv%/*}"
  cp "$0/resolv.conf" "$resolv"
fi
"#;

#[tokio::test]
async fn prometheus_scrapes_what_compose_starts() {
    if std::env::var_os(ALONE).is_some() {
        return scrape().await;
    }
    let again = Command::new("unshare")
        .args(["--map-root-user", "--net", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(ALONE, "yes")
        .kill_on_drop(true)
        .output();
    let ended = tokio::time::timeout(4 * PATIENCE, again).await;
    let ended = ended.unwrap().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(ended.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

async fn scrape() {
    let folder = tempfile::tempdir().unwrap();
    enter(folder.path()).await;
    tokio::spawn(name_server());
    let _gateway = gateway(folder.path(), "gateway", GATEWAY);
    let [first, second] = REPLICAS.map(|(name, at)| gateway(folder.path(), name, at));
    let _prometheus = prometheus(folder.path());

    let targets = until("/api/v1/targets", |answer| {
        let targets = answer["data"]["activeTargets"].as_array()?;
        let is_up = |target: &&Value| target["health"] == "up";
        (targets.iter().filter(is_up).count() == 3).then(|| targets.clone())
    });
    let targets = targets.await;
    assert_eq!(targets.len(), 3, "{targets:#?}");
    let mut names: Vec<_> = targets.iter().map(|target| &target["labels"]).collect();
    names.sort_by_key(|labels| labels["instance"].to_string());
    for (labels, name) in names.iter().zip(["gateway", "replica-1", "replica-2"]) {
        assert_eq!(labels["instance"], format!("{name}:8080"));
        assert_eq!(labels["job"], "sipost");
    }

    // Every rule is evaluated without a mistake, and none that is critical is on its way to fire
    // because something has just started.
    let rules = until("/api/v1/rules", |answer| {
        let rules = answer["data"]["groups"][0]["rules"].as_array()?;
        let is_known = |rule: &Value| rule["health"] != "unknown";
        rules.iter().all(is_known).then(|| rules.clone())
    });
    let rules = rules.await;
    assert!(rules.len() >= 12, "{rules:#?}");
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
        assert_ne!(rule["state"], "firing", "{rule:#}");
    }
    assert_eq!(state_of(&rules, "SipostDown"), "inactive");

    // A gateway that answers no more is told of by its name.
    drop(second);
    let down = until("/api/v1/rules", |answer| {
        let rules = answer["data"]["groups"][0]["rules"].as_array()?;
        let rule = rules.iter().find(|rule| rule["name"] == "SipostDown")?;
        rule["alerts"].get(0).cloned()
    });
    let down = down.await;
    assert_eq!(down["labels"]["instance"], "replica-2:8080", "{down:#}");
    assert_eq!(down["labels"]["severity"], "critical");
    drop(first);
}

/// Makes of the files of compose what its containers see.
async fn enter(folder: &Path) {
    let compose = fs::read_to_string("docker-compose.yml").unwrap();
    let compose: serde_yaml_ng::Value = serde_yaml_ng::from_str(&compose).unwrap();
    let secrets = folder.join("secrets");
    fs::create_dir(&secrets).unwrap();
    for (name, secret) in compose["secrets"].as_mapping().unwrap() {
        let file = secret["file"].as_str().unwrap();
        let (_, file) = file.split_once("}/").unwrap();
        let file = Path::new("config/compose/secrets").join(file);
        fs::copy(file, secrets.join(name.as_str().unwrap())).unwrap();
    }
    let hosts = format!("127.0.0.1 localhost\n{GATEWAY} gateway\n127.0.0.5 kamailio\n");
    fs::write(folder.join("hosts"), hosts).unwrap();
    fs::write(folder.join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    let entered = Command::new("sh").args(["-c", ENTER]).arg(folder).status();
    assert!(entered.await.unwrap().success());
}

/// A gateway as a container runs it, at an address of its own.
fn gateway(folder: &Path, name: &str, at: Ipv4Addr) -> Child {
    let store = folder.join(name).with_extension("db");
    Command::new(env!("CARGO_BIN_EXE_sipost"))
        .env("SIPOST_CONFIG", "config/compose/sipost.toml")
        .env("SIPOST__HTTP__LISTEN", format!("{at}:8080"))
        .env(
            "SIPOST__STORE__URL",
            format!("sqlite://{}", store.display()),
        )
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn prometheus(folder: &Path) -> Child {
    Command::new("prometheus")
        .arg("--config.file=config/prometheus/prometheus.yml")
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("tsdb").display()
        ))
        .arg("--web.listen-address=127.0.0.1:9090")
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Asks Prometheus until the answer has what is looked for.
async fn until<T>(path: &str, find: impl Fn(&Value) -> Option<T>) -> T {
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    let ask = async {
        loop {
            ticks.tick().await;
            let url = format!("http://127.0.0.1:9090{path}");
            let Ok(answer) = client.get(url).send().await else {
                continue;
            };
            let answer = answer.json().await.unwrap_or_default();
            if let Some(found) = find(&answer) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, ask).await.unwrap()
}

fn state_of<'a>(rules: &'a [Value], name: &str) -> &'a str {
    let rule = rules.iter().find(|rule| rule["name"] == name);
    rule.unwrap()["state"].as_str().unwrap()
}

/// Knows the replicas as the name server of compose does, and nothing else.
async fn name_server() {
    let socket = UdpSocket::bind("127.0.0.1:53").await.unwrap();
    let mut query = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut query).await.unwrap();
        if let Some(answer) = resolve(&query[..length]) {
            socket.send_to(&answer, from).await.unwrap();
        }
    }
}

/// An answer of RFC 1035 to a question for an address.
fn resolve(query: &[u8]) -> Option<Vec<u8>> {
    let (mut name, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(std::str::from_utf8(query.get(at..at + length)?).ok()?);
        at += length;
    }
    let question = query.get(12..at + 4)?;
    let name = name.join(".");
    let address = REPLICAS.iter().find(|(known, _)| *known == name);
    // A response, recursion desired and available; 3 says that there is no such name.
    let code = if address.is_some() { 0 } else { 3 };
    let mut answer = query.get(..2)?.to_vec();
    answer.extend([
        0x81,
        0x80 | code,
        0,
        1,
        0,
        u8::from(address.is_some()),
        0,
        0,
        0,
        0,
    ]);
    answer.extend(question);
    if let Some((_, address)) = address {
        // The name of the question, type A, class IN, a second, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
