//! The steps of docs/operating.md for an upgrade and the way back, run as they stand there. What
//! they call beside `sipost` is played by functions of the shell: `systemctl` starts and stops the
//! gateway as the unit does, `docker` as compose does.
//!
//! There is no older release yet, so both versions are this build. What a version leaves behind is
//! made: a store of the schema before this one, and one of the schema after it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::harness::Program;
use crate::harness::own_address;

const DOCUMENT: &str = "docs/operating.md";

/// The schema of this version, and what takes its last migration back.
const VERSION: i64 = 7;
const BACK: &str = "DROP TABLE agent_events; DELETE FROM events WHERE kind IN (8, 9);";

/// The folders of the steps, below the folder of the test.
const FOLDERS: [&str; 5] = [
    "/usr/local/bin",
    "/usr/local/share/doc/sipost",
    "/etc/sipost",
    "/var/lib/sipost",
    "/etc/systemd/system",
];

const SYSTEMD: &str = r#"
serve() { "$1" serve --config "$ROOT/etc/sipost/sipost.toml" 2>>"$ROOT/log" & gateway=$!; }
is_ready() { "$1" health --config "$ROOT/etc/sipost/sipost.toml" >/dev/null 2>&1; }
begin() {
  serve "$1"
  until is_ready "$1"; do kill -0 "$gateway" 2>/dev/null || { wait "$gateway"; return; }; done
}
is_up() { [ -n "${gateway:-}" ] && kill -0 "$gateway" 2>/dev/null; }
end() { if [ -n "${gateway:-}" ]; then kill "$gateway" && wait "$gateway"; gateway=; fi; }
trap end EXIT
systemctl() {
  case "$*" in
    "start sipost" | "enable --now sipost") is_up || begin "$ROOT/usr/local/bin/sipost" ;;
    "stop sipost") end ;;
    "status sipost") is_up ;;
    "daemon-reload") test -e "$ROOT/etc/systemd/system/sipost.service" ;;
    *) echo "no systemctl $*" >&2; return 2 ;;
  esac
}
api() { curl --silent --show-error --fail "$SIPOST_URL$1" "${@:2}"; }
"#;

/// An image is a binary here. The new one is at `$ROOT/new`; `backup` and `restore` in a container
/// see the volume of the gateway.
const DOCKER: &str = r#"
image() { echo "$ROOT/images/${1/:/-}"; }
inside() { "$(image sipost:local)" "$@" --config "$ROOT/etc/sipost/sipost.toml"; }
docker() {
  case "$*" in
    "tag "*) cp --remove-destination "$(image "$2")" "$(image "$3")" ;;
    "compose build gateway") cp --remove-destination "$ROOT/new" "$(image sipost:local)" ;;
    "compose stop gateway") end ;;
    "compose up --wait" | "compose up --no-build --wait") begin "$(image sipost:local)" ;;
    "compose exec gateway sipost "*) inside "${@:5}" ;;
    "compose run --rm --no-deps gateway "*) inside "${@:6}" ;;
    *) echo "no docker $*" >&2; return 2 ;;
  esac
}
"#;

/// A package has the new binary. `apt` unpacks it, and starts the gateway as the package's script
/// does, which does not mind when that fails.
const DEBIAN: &str = r#"
dpkg() {
  case "$*" in
    "--extract sipost_NEW_amd64.deb unpacked")
      mkdir -p unpacked/usr/bin && cp "$ROOT/new" unpacked/usr/bin/sipost ;;
    *) echo "no dpkg $*" >&2; return 2 ;;
  esac
}
apt() {
  case "$*" in
    "install ./sipost_NEW_amd64.deb" | "install --allow-downgrades ./sipost_OLD_amd64.deb")
      cp --remove-destination "$ROOT/new" "$ROOT/usr/local/bin/sipost"
      systemctl start sipost || true ;;
    *) echo "no apt $*" >&2; return 2 ;;
  esac
}
"#;

/// What is there before an upgrade: a message that has succeeded, and one that waits.
const BEFORE: &str = r#"
api /messages --json '{"target": "ok", "body": "before"}' -H 'Prefer: wait=30' >"$ROOT/sent"
api /messages --json '{"target": "ok", "body": "later", "sendAt": "'"$LATER"'"}' >"$ROOT/scheduled"
grep -q '"status":"succeeded"' "$ROOT/sent"
"#;

/// What must be there after it, and a message that is sent then.
const AFTER: &str = r#"
id() { sed 's/.*"id":"\([^"]*\)","status".*/\1/' "$ROOT/$1"; }
api "/messages/$(id sent)" | grep '"status":"succeeded"' >/dev/null
api "/messages/$(id scheduled)" | grep '"status":"scheduled"' >/dev/null
api /messages --json '{"target": "ok", "body": "after"}' -H 'Prefer: wait=30' |
  grep '"status":"succeeded"' >/dev/null
"#;

/// A machine: the folders of the steps, with this build as the binary that is installed and as the
/// new one.
struct Machine {
    root: TempDir,
    url: String,
}

/// How a script ended.
struct Ran {
    succeeded: bool,
    said: String,
}

impl Machine {
    /// With the gateway installed and configured.
    fn new() -> Self {
        let machine = Self::empty();
        Program::copy_to(&machine.path("/usr/local/bin/sipost"));
        let config = format!(
            "http.listen = '{}'\nstore.url = 'sqlite://{}'\n",
            machine.url.trim_start_matches("http://"),
            machine.store().display()
        );
        fs::write(machine.path("/etc/sipost/sipost.toml"), config).unwrap();
        machine
    }

    fn empty() -> Self {
        let root = tempfile::tempdir().unwrap();
        let machine = Self {
            url: format!("http://{}:8080", own_address()),
            root,
        };
        for folder in FOLDERS {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        fs::create_dir(machine.path("/images")).unwrap();
        for place in ["/images/sipost-local", "/new"] {
            Program::copy_to(&machine.path(place));
        }
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn store(&self) -> PathBuf {
        self.path("/var/lib/sipost/sipost.db")
    }

    /// Runs a script, in which a gateway that still runs is stopped at the end.
    fn run(&self, script: &str) -> Ran {
        let mut steps = script.replace("./sipost ", "\"$ROOT/new\" ");
        // A person looks until the agents are registered.
        steps = steps.replace("\nsipost agents\n", "\nuntil sipost agents; do :; done\n");
        for folder in FOLDERS {
            steps = steps.replace(folder, &format!("\"$ROOT\"{folder}"));
        }
        let bin = self.path("/usr/local/bin");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let output = Command::new("bash")
            .args(["-euxo", "pipefail", "-c"])
            .arg(format!("{SYSTEMD}{DOCKER}{DEBIAN}{steps}"))
            .current_dir(self.root.path())
            .env_clear()
            .envs([("PATH", path), ("SIPOST_URL", self.url.clone())])
            .env("LATER", later.to_string())
            .env("ROOT", self.root.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let log = fs::read_to_string(self.path("/log")).unwrap_or_default();
        let said = [output.stdout, output.stderr, log.into_bytes()].concat();
        Ran {
            succeeded: output.status.success(),
            said: String::from_utf8(said).unwrap(),
        }
    }

    fn succeeds(&self, script: &str) -> String {
        let ran = self.run(script);
        assert!(ran.succeeded, "{}", ran.said);
        ran.said
    }

    fn version(&self, database: &str) -> i64 {
        let database = Connection::open(self.path(database)).unwrap();
        database
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap()
    }

    /// Leaves the store as another version leaves it.
    fn change_store(&self, sql: &str, version: i64) {
        let store = Connection::open(self.store()).unwrap();
        store.execute_batch(sql).unwrap();
        store.pragma_update(None, "user_version", version).unwrap();
    }
}

/// What stands below a heading of the document.
fn section(heading: &str) -> String {
    let text = fs::read_to_string(DOCUMENT).unwrap();
    let (_, below) = text.split_once(&format!("\n{heading}\n")).unwrap();
    let section = below.split("\n## ").next().unwrap();
    section.split("\n### ").next().unwrap().to_owned()
}

/// The blocks of a language.
fn blocks(section: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = section.split(&fence).skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// The blocks of commands below a heading of the third level.
fn steps(heading: &str) -> Vec<String> {
    blocks(&section(&format!("### {heading}")), "sh")
}

/// Runs an upgrade, the way back on a store that was not migrated, and on one that was.
fn goes_and_comes_back(heading: &str, start: &str) {
    let steps = steps(heading);
    let [upgrade, back, restore] = steps.as_slice() else {
        panic!("{heading}: other steps than this test knows: {steps:?}");
    };
    let machine = Machine::new();
    machine.succeeds(&format!("{start}\n{BEFORE}"));
    assert_eq!(machine.version("/var/lib/sipost/sipost.db"), VERSION);
    machine.change_store(BACK, VERSION - 1);

    // The store of the version before is copied as it is, and migrated.
    let said = machine.succeeds(&format!("{upgrade}\n{AFTER}"));
    assert!(said.contains("ready: http://"), "{said}");
    assert_eq!(machine.version("/var/lib/sipost/sipost.db"), VERSION);
    let copy = "/var/lib/sipost/before-NEW.db";
    assert_eq!(machine.version(copy), VERSION - 1);

    machine.succeeds(&format!("{back}\n{AFTER}"));

    machine.change_store("", VERSION + 1);
    let refused = machine.run(back);
    assert!(!refused.succeeded, "{}", refused.said);
    let newer = VERSION + 1;
    let words = format!(
        "the store is of version {newer}, and this program knows {VERSION} at most: a newer \
         sipost wrote it"
    );
    assert!(refused.said.contains(&words), "{}", refused.said);
    machine.succeeds(&format!("{restore}\n{AFTER}"));
    assert_eq!(machine.version("/var/lib/sipost/sipost.db"), VERSION);
}

#[test]
fn a_gateway_on_sqlite_is_upgraded_and_taken_back_by_the_steps_of_the_document() {
    goes_and_comes_back("One gateway on SQLite", "systemctl start sipost");
}

#[test]
fn the_debian_package_is_upgraded_and_taken_back_by_the_steps_of_the_document() {
    goes_and_comes_back("With the Debian package", "systemctl start sipost");
}

/// The password is typed by a person, and the configuration is written with an editor.
#[test]
fn the_service_is_installed_by_the_steps_of_the_document() {
    let section = section("## With systemd");
    let steps = blocks(&section, "sh");
    let [install, start] = steps.as_slice() else {
        panic!("other steps than this test knows: {steps:?}");
    };
    let machine = Machine::empty();
    fs::create_dir_all(machine.path("/target/dist")).unwrap();
    fs::rename(machine.path("/new"), machine.path("/target/dist/sipost")).unwrap();
    fs::create_dir_all(machine.path("/config/systemd")).unwrap();
    let unit = "config/systemd/sipost.service";
    fs::copy(unit, machine.path(unit)).unwrap();
    fs::create_dir(machine.path("/docs")).unwrap();
    fs::copy(DOCUMENT, machine.path(DOCUMENT)).unwrap();
    machine.succeeds(install);
    let secret = machine.path("/etc/sipost/secrets/alice");
    assert_eq!(
        fs::metadata(&secret).unwrap().permissions().mode() & 0o777,
        0o600
    );
    fs::write(&secret, "wonderland\n").unwrap();
    let unit = fs::read_to_string(machine.path("/etc/systemd/system/sipost.service")).unwrap();
    assert!(unit.contains("\nLoadCredential=alice:/etc/sipost/secrets/alice\n"));
    let document = unit.split("\nDocumentation=file://").nth(1).unwrap();
    assert!(machine.path(document.lines().next().unwrap()).is_file());

    // What systemd does: the service sees the secret under another name.
    let config = &blocks(&section, "toml")[0];
    let credential = "/run/credentials/sipost.service/alice";
    assert!(config.contains(credential), "{config}");
    let config = config
        .replace(credential, &secret.display().to_string())
        .replace("/var/lib", &machine.path("/var/lib").display().to_string())
        .replace("wss://sip.example.com/ws", "ws://127.0.0.1:9");
    let listen = machine.url.trim_start_matches("http://");
    let config = format!("[http]\nlisten = '{listen}'\n{config}");
    fs::write(machine.path("/etc/sipost/sipost.toml"), config).unwrap();
    machine.succeeds(&format!(
        "{start}\nsipost health --config /etc/sipost/sipost.toml"
    ));
}

#[test]
fn compose_is_upgraded_and_taken_back_by_the_steps_of_the_document() {
    goes_and_comes_back("With compose", "docker compose up --wait");
}

/// systemd passes secrets to the service alone: while it is stopped they are not there.
#[test]
fn a_store_is_copied_and_restored_while_the_secrets_of_accounts_are_away() {
    let machine = Machine::new();
    machine.succeeds("systemctl start sipost");
    let file = machine.path("/etc/sipost/sipost.toml");
    let account = "[[account]]\nuri = 'sip:alice@example.com'\npassword_file = '/nowhere/alice'\n\
                   servers = ['wss://sip.example.com']\n";
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}{account}")).unwrap();
    machine.succeeds(
        "sipost backup --config /etc/sipost/sipost.toml /var/lib/sipost/copy.db\n\
         sipost restore --config /etc/sipost/sipost.toml /var/lib/sipost/copy.db",
    );
    // A mistake in the section that they read is told of all the same.
    fs::write(&file, format!("store.lease = 'long'\n{account}")).unwrap();
    let refused = machine.run("sipost backup --config /etc/sipost/sipost.toml /tmp/no.db");
    assert!(
        !refused.succeeded && refused.said.contains("store.lease"),
        "{}",
        refused.said
    );
}
