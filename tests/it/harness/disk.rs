//! A disk with little room, which can be filled.

use std::fs;
use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::Child;
use tokio::process::Command;

use super::soon;

/// A file system in memory, mounted where only those see it who enter its name space. It ends with
/// this value; until then it keeps what programs that were killed left on it.
///
/// It takes no rights: `unshare` makes its caller the root of a name space of its own.
pub(crate) struct SmallDisk {
    holder: Child,
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts one of this size on a folder.
    pub(crate) async fn mount(folder: &Path, bytes: u64) -> Self {
        let script = format!("mount -t tmpfs -o size={bytes} tmpfs \"$0\" && echo && exec cat");
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = [0];
        let out = holder.stdout.as_mut().unwrap();
        let mounted = soon("a disk is mounted", out.read_exact(&mut said)).await;
        mounted.expect("a disk in a name space of its own, which this machine must allow");
        Self {
            holder,
            folder: folder.to_owned(),
        }
    }

    /// What makes a program see the disk: to be written before it and its arguments.
    pub(super) fn enter(&self) -> [String; 5] {
        let [nsenter, user, mount, keep] =
            ["nsenter", "--user", "--mount", "--preserve-credentials"].map(str::to_owned);
        [
            nsenter,
            format!("--target={}", self.holder_id()),
            user,
            mount,
            keep,
        ]
    }

    /// A file of the disk, as it is seen from here.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let folder = self.folder.strip_prefix("/").unwrap();
        let root = PathBuf::from(format!("/proc/{}/root", self.holder_id()));
        root.join(folder).join(name)
    }

    /// Leaves no room for another byte.
    pub(crate) fn fill(&self) {
        let full = fill(&self.path(FILLER));
        assert_eq!(full.unwrap_err().kind(), ErrorKind::StorageFull);
    }

    /// Makes the room again that was filled.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.path(FILLER)).unwrap();
    }

    fn holder_id(&self) -> u32 {
        self.holder.id().unwrap()
    }
}

const FILLER: &str = "filler";

fn fill(path: &Path) -> io::Result<()> {
    let mut filler = File::create_new(path)?;
    // A page is the least that is given away, so the last byte that fits ends a page.
    loop {
        filler.write_all(&[0; 4_096])?;
    }
}
