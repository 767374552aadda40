//! A program that a test started: its output line by line, and its certain end.

use std::net::TcpListener;
use std::net::UdpSocket;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncRead;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long a peer may take to do what a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A program and its children, which end with this value, also when the test panics.
///
/// On a panic the output so far is printed, so that a failed test shows what the peers saw.
pub(crate) struct Process {
    name: String,
    child: Child,
    /// Its process group, as long as that is ours to signal.
    group: Option<Pid>,
    lines: mpsc::UnboundedReceiver<String>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `program`, which the Debian package `package` has.
    ///
    /// It leads a process group of its own, ends when the thread of the test does (`setpriv`),
    /// and reads a standard input that is empty until [`Self::write_line`] and closes with this
    /// value.
    pub(crate) fn start(name: &str, package: &str, program: &str, arguments: &[String]) -> Self {
        Self::start_at_home(name, package, program, arguments, None)
    }

    /// Starts it with this folder as its home, where it keeps what it remembers.
    pub(crate) fn start_at_home(
        name: &str,
        package: &str,
        program: &str,
        arguments: &[String],
        home: Option<&Path>,
    ) -> Self {
        assert!(
            is_installed(program),
            "`{program}` is missing: run scripts/test, or apt-get install {package}"
        );
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--", program])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .envs(home.map(|folder| ("HOME", folder)))
            .spawn()
            .expect("`setpriv` is missing: run scripts/test, or apt-get install util-linux");

        let id = child.id().expect("a child just started has an id");
        let (sender, lines) = mpsc::unbounded_channel();
        let log = Arc::new(Mutex::new(Vec::new()));
        read_lines(child.stdout.take().unwrap(), sender.clone(), log.clone());
        read_lines(child.stderr.take().unwrap(), sender, log.clone());
        Self {
            name: name.to_owned(),
            child,
            group: Pid::from_raw(i32::try_from(id).unwrap()),
            lines,
            log,
        }
    }

    /// The first line from here on that `pick` takes, or `None` when the output ended before.
    pub(crate) async fn find_line<T>(&mut self, pick: impl Fn(&str) -> Option<T>) -> Option<T> {
        let search = async {
            while let Some(line) = self.lines.recv().await {
                if let Some(found) = pick(&line) {
                    return Some(found);
                }
            }
            None
        };
        timeout(PATIENCE, search)
            .await
            .unwrap_or_else(|_| panic!("{} did not say what was waited for", self.name))
    }

    /// The next line from here on that `pick` takes.
    pub(crate) async fn line<T>(&mut self, pick: impl Fn(&str) -> Option<T>) -> T {
        let found = self.find_line(pick).await;
        found.unwrap_or_else(|| panic!("{} ended too early", self.name))
    }

    /// Writes a line to its standard input.
    pub(crate) async fn write_line(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("it is piped");
        let line = format!("{line}\n");
        input.write_all(line.as_bytes()).await.unwrap();
        input.flush().await.unwrap();
    }

    /// Waits until the program ended by itself, and asserts that it was content.
    pub(crate) async fn finished(&mut self) {
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("{} did not end", self.name))
            .unwrap();
        self.group = None;
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    /// Asks the program to end.
    pub(crate) fn terminate(&self) {
        let leader = self.group.expect("the program has not ended yet");
        rustix::process::kill_process(leader, Signal::TERM).unwrap();
    }

    /// Kills the whole group at once, as a power failure would, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.kill_group();
        self.child.wait().await.unwrap();
        // The output ends when the last process of the group has.
        while self.lines.recv().await.is_some() {}
    }

    fn kill_group(&mut self) {
        if let Some(group) = self.group.take() {
            // The only failure is that the group has ended already.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_group();
        if std::thread::panicking() {
            let log = self.log.lock().unwrap();
            eprintln!("--- {}\n{}\n---", self.name, log.join("\n"));
        }
    }
}

fn read_lines(
    output: impl AsyncRead + Unpin + Send + 'static,
    sender: mpsc::UnboundedSender<String>,
    log: Arc<Mutex<Vec<String>>>,
) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            log.lock().unwrap().push(line.clone());
            // The receiver may be gone; the log still wants the line.
            drop(sender.send(line));
        }
    });
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .any(|folder| folder.join(program).is_file())
}

/// A port of loopback that nothing uses, over TCP or UDP.
///
/// Another program may take the port before the peer does; the caller must be ready to ask again.
pub(crate) fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The folder of this test's own files.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}
