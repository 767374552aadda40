//! A PostgreSQL of the tests' own: one cluster for a test process, a database for each test.
//!
//! The cluster listens on a socket in a folder of its own and ends with the process, in whatever
//! way that ends: the shell that started it waits for the end of its input.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Starts a cluster and ends it when the other end of its pipe is closed. Told a line, it
/// does that to the cluster: `restart`, or how to stop.
const SCRIPT: &str = r#"
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
dir=$(mktemp -d "${TMPDIR:-/tmp}/sipost-postgres.XXXXXX")
chmod "$1" "$dir"
end() {
  cd /
  "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap end EXIT
# Whoever stops the tests with a signal stops them; this ends after them.
trap '' HUP INT TERM
start() {
  "$bin/pg_ctl" -D data -w -l server.log \
    -o "-k $dir -h '' -c max_connections=300 -c fsync=on" start >/dev/null
}
cd "$dir"
"$bin/initdb" -D data -U sipost --auth=trust --no-sync -E UTF8 --locale=C >initdb.log
start
echo "$dir $bin"
while read -r order; do
  case $order in
    stop) "$bin/pg_ctl" -D data -m fast -w stop >/dev/null ;;
    start) start ;;
  esac
  echo done
done
"#;

#[derive(Debug)]
pub(crate) struct Cluster {
    shell: Child,
    answers: BufReader<std::process::ChildStdout>,
    folder: String,
    programs: String,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let (mut command, mode) = shell();
        let mut shell = command
            .args(["-c", SCRIPT, "sh", mode])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(shell.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let Some((folder, programs)) = line.trim().split_once(' ') else {
            panic!("no PostgreSQL could be started: is Debian's package `postgresql` installed?");
        };
        let (folder, programs) = (folder.to_owned(), programs.to_owned());
        Self {
            shell,
            answers,
            folder,
            programs,
        }
    }

    /// A database that no other test uses; its URL.
    pub(crate) fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let made = Command::new(format!("{}/createdb", self.programs))
            .args(["-h", &self.folder, "-U", "sipost", &name])
            .status()
            .unwrap();
        assert!(made.success());
        let folder = self.folder.replace('/', "%2F");
        format!("postgres://sipost@{folder}/{name}")
    }

    /// What the server calls itself.
    #[allow(
        dead_code,
        reason = "not every test binary that shares this file needs it"
    )]
    pub(crate) fn version(&self) -> String {
        let postgres = format!("{}/postgres", self.programs);
        let told = Command::new(postgres).arg("--version").output().unwrap();
        String::from_utf8(told.stdout).unwrap().trim().to_owned()
    }

    /// The process whose children serve.
    #[allow(
        dead_code,
        reason = "not every test binary that shares this file needs it"
    )]
    pub(crate) fn process(&self) -> u32 {
        let file = format!("{}/data/postmaster.pid", self.folder);
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().next().unwrap().parse().unwrap()
    }

    /// Stops the server, and everything that is connected to it.
    #[allow(
        dead_code,
        reason = "not every test binary that shares this file needs it"
    )]
    pub(crate) fn stop_server(&mut self) {
        self.order("stop");
    }

    /// Starts the server again.
    #[allow(
        dead_code,
        reason = "not every test binary that shares this file needs it"
    )]
    pub(crate) fn start_server(&mut self) {
        self.order("start");
    }

    fn order(&mut self, order: &str) {
        use std::io::Write as _;
        let stdin = self.shell.stdin.as_mut().unwrap();
        writeln!(stdin, "{order}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "done");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A shell for the script, and who may find what it makes. A server refuses to run as root; the
/// group of root reaches it all the same, also without root's right to go anywhere.
fn shell() -> (Command, &'static str) {
    if !rustix::process::getuid().is_root() {
        return (Command::new("sh"), "700");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=0", "--clear-groups", "sh"]);
    (command, "710")
}

/// The URL of a database of its own, in the cluster of this process.
#[allow(
    dead_code,
    reason = "not every test binary that shares this file needs it"
)]
pub(crate) fn database() -> String {
    cluster().database()
}

/// A program of PostgreSQL, in the version of the cluster.
#[allow(
    dead_code,
    reason = "not every test binary that shares this file needs it"
)]
pub(crate) fn program(name: &str) -> Command {
    Command::new(format!("{}/{name}", cluster().programs))
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start)
}
