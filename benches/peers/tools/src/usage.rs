//! What processes that belong together cost, as Linux counts it.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;

/// Processes that belong together.
pub enum Usage {
    /// Those of these groups: gateways with all their children.
    Groups(Vec<u32>),
    /// A process and its children, each of which leads a group of its own: a database.
    Family(u32),
}

impl Usage {
    /// Of the group that this process leads.
    pub fn of(leader: u32) -> Self {
        Self::Groups(vec![leader])
    }

    fn has(&self, id: u32, stat: &Stat) -> bool {
        match self {
            Self::Groups(groups) => groups.contains(&stat.group),
            Self::Family(parent) => *parent == id || *parent == stat.parent,
        }
    }

    /// User and system time so far (proc(5): utime and stime).
    pub fn cpu(&self) -> Result<Duration> {
        let ticks: u64 = self.processes()?.iter().map(|process| process.ticks).sum();
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
    }

    /// Resident memory in bytes, where a page that processes share counts once (PSS).
    pub fn memory(&self) -> Result<u64> {
        let mut kilobytes = 0;
        for process in self.processes()? {
            let path = format!("/proc/{}/smaps_rollup", process.id);
            let text = fs::read_to_string(&path).with_context(|| path)?;
            kilobytes += text
                .lines()
                .find_map(|line| line.strip_prefix("Pss:"))
                .and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok())
                .context("smaps_rollup has no Pss")?;
        }
        Ok(kilobytes * 1024)
    }

    fn processes(&self) -> Result<Vec<Process>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A process may end while we look.
            let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else {
                continue;
            };
            if let Some(stat) = Stat::parse(&stat)
                && self.has(id, &stat)
            {
                let ticks = stat.ticks;
                found.push(Process { id, ticks });
            }
        }
        Ok(found)
    }
}

struct Process {
    id: u32,
    ticks: u64,
}

/// What proc(5) says of a process.
struct Stat {
    parent: u32,
    group: u32,
    ticks: u64,
}

impl Stat {
    fn parse(stat: &str) -> Option<Self> {
        // The second field, the name, may have spaces and parentheses.
        let after_name = &stat[stat.rfind(')')? + 2..];
        let mut fields = after_name.split(' ');
        let parent = fields.nth(1)?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let utime: u64 = fields.nth(8)?.parse().ok()?;
        let stime: u64 = fields.next()?.parse().ok()?;
        Some(Self {
            parent,
            group,
            ticks: utime + stime,
        })
    }
}
