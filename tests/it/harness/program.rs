//! The gateway as its operator runs it: a program that can be stopped, and killed.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;

use rustix::process::Pid;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncRead;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;
use tokio::sync::watch;

use super::Client;
use super::SmallDisk;
use super::soon;

/// The configuration of a gateway, in its folder.
pub(super) const CONFIG: &str = "sipost.toml";

/// A running `sipost`; it ends with this value at the latest.
pub(crate) struct Program {
    /// How it is spoken to.
    pub(crate) http: Client,
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    /// Changes with every line that is said.
    heard: watch::Receiver<usize>,
    /// The folder is there for as long as it runs.
    _folder: Arc<TempDir>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
    /// What it said, both outputs together.
    pub(crate) said: String,
}

impl Program {
    /// Starts one with the configuration in a folder, and waits until it listens or refuses to.
    pub(super) async fn start(
        folder: &Arc<TempDir>,
        disk: Option<&SmallDisk>,
    ) -> Result<Self, Exit> {
        let mut child = command(disk)
            .args(["serve", "--config"])
            .arg(folder.path().join(CONFIG))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let sender = Arc::new(watch::Sender::new(0));
        let mut heard = sender.subscribe();
        listen_to(child.stdout.take().unwrap(), sender.clone(), &said);
        listen_to(child.stderr.take().unwrap(), sender, &said);
        let search = async {
            loop {
                let url = said.lock().unwrap().iter().find_map(|line| url_in(line));
                // The pipe is closed when the program has ended.
                if url.is_some() || heard.changed().await.is_err() {
                    return url;
                }
            }
        };
        match soon("the gateway listens or ends", search).await {
            Some(url) => Ok(Self {
                http: Client::new(url),
                child,
                said,
                heard,
                _folder: folder.clone(),
            }),
            None => {
                let status = soon("the gateway ends", child.wait()).await.unwrap();
                let said = said.lock().unwrap().join("\n");
                Err(Exit {
                    code: status.code(),
                    said,
                })
            }
        }
    }

    /// What `sipost check` says of the configuration of one.
    pub(super) async fn check(config: &Path, disk: Option<&SmallDisk>) -> Exit {
        let mut checks = command(disk);
        let checks = checks.args(["check", "--config"]).arg(config).env_clear();
        let ended = soon("the check ends", checks.output()).await.unwrap();
        Exit {
            code: ended.status.code(),
            said: String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap(),
        }
    }

    /// Kills it on the spot, as a power failure would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to stop, as an operator does, and waits until it has.
    pub(crate) async fn stop(mut self) -> Exit {
        self.signal(Signal::TERM);
        let status = soon("the gateway stops", self.child.wait()).await.unwrap();
        Exit {
            code: status.code(),
            said: self.said(),
        }
    }

    /// Asks again until it ends: what comes right after the first signal is that one once more.
    pub(crate) async fn end_at_once(mut self) {
        let asked = async {
            loop {
                self.signal(Signal::TERM);
                let soon = std::time::Duration::from_millis(50);
                if tokio::time::timeout(soon, self.child.wait()).await.is_ok() {
                    return;
                }
            }
        };
        soon("the gateway ends at once", asked).await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// Lets it write nothing to any file, as a full disk would, or all it wants again.
    pub(crate) fn may_write(&self, may: bool) {
        let limit = Rlimit {
            current: (!may).then_some(0),
            maximum: None,
        };
        rustix::process::prlimit(Some(self.pid()), Resource::Fsize, limit).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap()
    }

    /// Waits until it says this.
    pub(crate) async fn says(&self, words: &str) {
        let mut heard = self.heard.clone();
        soon(words, async {
            while !self.said().contains(words) {
                heard.changed().await.unwrap();
            }
        })
        .await;
    }

    /// Copies the program to where a test installs it, to be run there.
    ///
    /// `cp` does it: a file that this process had open for writing cannot be run while a child of
    /// another test still has a copy of its descriptor.
    pub(crate) fn copy_to(place: &Path) {
        let copied = std::process::Command::new("cp")
            .args([Path::new(env!("CARGO_BIN_EXE_sipost")), place])
            .status();
        assert!(copied.unwrap().success(), "{}", place.display());
    }

    /// What it said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }
}

/// The program, without the right of root to write to read-only files.
fn command(disk: Option<&SmallDisk>) -> Command {
    let mut words: Vec<String> = disk.map(SmallDisk::enter).into_iter().flatten().collect();
    if rustix::process::geteuid().is_root() {
        let less = "--bounding-set=-dac_override,-dac_read_search";
        words.extend(["setpriv", less].map(str::to_owned));
    }
    words.push(env!("CARGO_BIN_EXE_sipost").to_owned());
    let mut command = Command::new(&words[0]);
    // What is told of it, limited or killed is the program: each word before it becomes the next.
    command.args(&words[1..]);
    command
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- sipost\n{}\n---", self.said());
        }
    }
}

fn listen_to(
    output: impl AsyncRead + Unpin + Send + 'static,
    sender: Arc<watch::Sender<usize>>,
    said: &Arc<Mutex<Vec<String>>>,
) {
    let said = said.clone();
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            said.lock().unwrap().push(line);
            sender.send_modify(|count| *count += 1);
        }
    });
}

/// The gateway says where it listens, which is news when it was asked for port 0.
fn url_in(line: &str) -> Option<String> {
    let at = line.find("taking messages at http://")? + "taking messages at ".len();
    let is_part = |c: &char| c.is_ascii_alphanumeric() || ":/.".contains(*c);
    Some(line[at..].chars().take_while(is_part).collect())
}
