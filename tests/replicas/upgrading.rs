//! The steps of docs/operating.md that upgrade replicas one after the other, run as they stand
//! there, and the way back. A function of the shell plays `systemctl`, on two machines in turn.
//!
//! There is no older release yet, so both versions are this build; `facts.version` is changed to
//! what a version before and a newer one leave behind.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use tempfile::TempDir;

use crate::harness::Program;
use crate::postgres;

const DOCUMENT: &str = "docs/operating.md";

/// The folders of the steps, below that of a machine.
const FOLDERS: [&str; 2] = ["/usr/local/bin", "/etc/sipost"];

const SHELL: &str = r#"
declare -A gateway
on() {
  MACHINE=$1; ROOT=$ALL/$1; PATH=$ROOT/usr/local/bin:$PROGRAMS
  export SIPOST_URL=http://$2:8080
}
end() { kill "${gateway[$MACHINE]}" && wait "${gateway[$MACHINE]}"; gateway[$MACHINE]=; }
end_all() {
  for MACHINE in "${!gateway[@]}"; do
    if [ -n "${gateway[$MACHINE]}" ]; then end; fi
  done
}
trap end_all EXIT
is_ready() { sipost health --config "$ROOT/etc/sipost/sipost.toml" >/dev/null 2>&1; }
systemctl() {
  case "$*" in
    "start sipost")
      sipost serve --config "$ROOT/etc/sipost/sipost.toml" 2>>"$ALL/log" &
      gateway[$MACHINE]=$!
      until is_ready; do
        kill -0 "${gateway[$MACHINE]}" 2>/dev/null ||
          { wait "${gateway[$MACHINE]}" && true; gateway[$MACHINE]=; return 1; }
      done ;;
    "stop sipost") if [ -n "${gateway[$MACHINE]:-}" ]; then end; fi ;;
    *) echo "no systemctl $*" >&2; return 2 ;;
  esac
}
api() { curl --silent --show-error --fail "$SIPOST_URL$1" "${@:2}"; }
sends() {
  api /messages --json '{"target": "ok", "body": "'"$1"'"}' -H 'Prefer: wait=30' >"$ALL/$1"
  grep '"status":"succeeded"' "$ALL/$1" >/dev/null
}
shows() { api "/messages/$(sed 's/.*"id":"\([^"]*\)","status".*/\1/' "$ALL/$1")" >/dev/null; }
sql() { psql --quiet --set ON_ERROR_STOP=1 "$DATABASE" --command "$1"; }
"#;

/// Two machines, each with this build as the binary that is installed and as the new one.
struct Machines {
    all: TempDir,
    database: String,
    addresses: [Ipv4Addr; 2],
}

impl Machines {
    fn new() -> Self {
        let all = tempfile::tempdir().unwrap();
        let database = postgres::database();
        let [_, high, middle, low] = std::process::id().to_be_bytes();
        let addresses = [90, 91].map(|n| Ipv4Addr::new(127, n, middle ^ high, low.max(1)));
        for (name, address) in ["a", "b"].iter().zip(addresses) {
            let root = all.path().join(name);
            for folder in FOLDERS {
                fs::create_dir_all(below(&root, folder)).unwrap();
            }
            for place in ["/usr/local/bin/sipost", "/new"] {
                Program::copy_to(&below(&root, place));
            }
            // The sandbox stands in for a SIP server, one for each.
            let config = format!(
                "http.listen = '{address}:8080'\nstore.url = '{database}'\n\
                 store.replica = '{name}'\nstore.lease = '1s'\n"
            );
            fs::write(below(&root, "/etc/sipost/sipost.toml"), config).unwrap();
        }
        Self {
            all,
            database,
            addresses,
        }
    }

    /// What leads the steps to a machine.
    fn on(&self, at: usize) -> String {
        format!("on {} {}", ["a", "b"][at], self.addresses[at])
    }

    fn run(&self, script: &str) -> String {
        let psql = postgres::program("psql");
        let programs = PathBuf::from(psql.get_program());
        let programs = programs.parent().unwrap().display();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
        let output = Command::new("bash")
            .args(["-euxo", "pipefail", "-c"])
            .arg(format!("{SHELL}{}", below_root(script)))
            .current_dir(&self.all)
            .env_clear()
            .envs([("PATH", &path), ("PROGRAMS", &path)])
            .env("DATABASE", &self.database)
            .env("ALL", self.all.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let log = fs::read(self.all.path().join("log")).unwrap_or_default();
        let said = [output.stdout, output.stderr, log].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(output.status.success(), "{said}");
        said
    }
}

fn below(root: &std::path::Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Steps in the folder of the machine that they are led to.
fn below_root(steps: &str) -> String {
    let mut steps = steps.replace("./sipost ", "\"$ROOT/new\" ");
    // A person looks until the agents are registered.
    steps = steps.replace("\nsipost agents\n", "\nuntil sipost agents; do :; done\n");
    for folder in FOLDERS {
        steps = steps.replace(folder, &format!("\"$ROOT\"{folder}"));
    }
    steps
}

/// The blocks of commands below a heading of the document.
fn steps(heading: &str) -> Vec<String> {
    let text = fs::read_to_string(DOCUMENT).unwrap();
    let (_, below) = text.split_once(&format!("\n### {heading}\n")).unwrap();
    let section = below.split("\n### ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn replicas_are_upgraded_one_by_one_and_taken_back_by_the_steps_of_the_document() {
    let steps = steps("Replicas on PostgreSQL");
    let [copy, upgrade, back, restore] = steps.as_slice() else {
        panic!("the document has other steps than this test knows: {steps:?}");
    };
    let machines = Machines::new();
    let (a, b) = (machines.on(0), machines.on(1));
    let ahead = "sql \"UPDATE facts SET value = value + 1 WHERE name = 'version'\"";
    let said = machines.run(&format!(
        "{a}\nsystemctl start sipost\nsends before\nsystemctl stop sipost\n\
         # As the version before left it.\n\
         sql \"DROP TABLE turns; UPDATE facts SET value = value - 1 WHERE name = 'version'\"\n\
         {copy}\n\
         systemctl start sipost\n{b}\nsystemctl start sipost\n\
         {a}\n{upgrade}\nshows before\n\
         # The new version has migrated; the one before goes on beside it.\n\
         {ahead}\n{b}\nsends beside\n{upgrade}\nshows beside\n\
         {a}\n{back}\nsends back-on-a\n{b}\n{back}\nsends back-on-b\n\
         # Two versions ahead.\n\
         {ahead}\n{a}\nif {{ {back}\n}}; then exit 1; fi\n\
         {a}\nsystemctl stop sipost\n{b}\nsystemctl stop sipost\n\
         {restore}\n\
         {a}\nsystemctl start sipost\nshows before\n{b}\nsystemctl start sipost\nsends restored\n\
         if shows beside; then exit 1; fi"
    ));
    let known = fs::read_dir("migrations/postgres").unwrap().count();
    let words = format!(
        "the store is of version {}, and this program knows {known} at most: a newer sipost wrote it",
        known + 2
    );
    assert!(said.contains(&words), "{said}");
    assert!(said.contains("has begun epoch"), "{said}");
}
