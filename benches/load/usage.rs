//! Resource usage of processes, from `/proc` of Linux.

use std::fs;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::Context;

/// Clock ticks per second (`USER_HZ`): 100 on every supported architecture.
const TICK_MILLIS: u64 = 10;

/// Usage up to a moment.
pub(crate) struct Sample {
    at: Instant,
    server: Duration,
    client: Duration,
    machine: Duration,
}

/// Usage between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// CPU time of the server.
    pub(crate) server: Duration,
    /// CPU time of this process.
    pub(crate) client: Duration,
    /// Share of the machine, 0 to 1, that other processes and other guests of the host used.
    /// Approximate: interrupts count for the process that they interrupt.
    pub(crate) others: f64,
}

impl Sample {
    /// Current usage of the processes of a server together, of this process, and of the whole
    /// machine.
    ///
    /// # Errors
    /// `/proc` is missing, or a process has ended.
    pub(crate) fn take(server: &[u32]) -> anyhow::Result<Self> {
        let server = server.iter().map(|process| processor_time(&process.to_string()));
        Ok(Self {
            at: Instant::now(),
            server: server.sum::<anyhow::Result<Duration>>()?,
            client: processor_time("self")?,
            machine: busy_time()?,
        })
    }

    /// Usage between this sample and a later one.
    pub(crate) fn until(&self, later: &Self) -> Usage {
        let (server, client) = (later.server - self.server, later.client - self.client);
        let others = (later.machine - self.machine).saturating_sub(server + client);
        let all = (later.at - self.at).as_secs_f64()
            * available_parallelism().map_or(1.0, |count| count.get() as f64);
        Usage { server, client, others: others.as_secs_f64() / all }
    }
}

/// Resident memory of a process in MiB.
///
/// # Errors
/// `/proc` is missing, or the process has ended.
pub(crate) fn resident_mib(process: u32) -> anyhow::Result<f64> {
    let status =
        fs::read_to_string(format!("/proc/{process}/status")).context("the server has ended")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS is missing")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")?;
    Ok(kib / 1024.0)
}

/// Ids of the processes of these programs that have a matching argument.
///
/// # Errors
/// `/proc` is missing.
#[cfg(feature = "etcd")]
pub(crate) fn processes_with(
    programs: &[&str],
    matches: impl Fn(&str) -> bool,
) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(id) = entry.file_name().to_string_lossy().parse() else { continue };
        // A process may have ended meanwhile. The supervising shells have the arguments, too.
        let Ok(command) = fs::read(entry.path().join("cmdline")) else { continue };
        let command = String::from_utf8_lossy(&command);
        let mut arguments = command.split('\0');
        let name = arguments.next().and_then(|path| path.rsplit('/').next());
        if name.is_some_and(|name| programs.contains(&name)) && arguments.any(&matches) {
            found.push(id);
        }
    }
    Ok(found)
}

/// Load averages over 1, 5 and 15 minutes.
pub(crate) fn load_average() -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/loadavg").context("/proc/loadavg cannot be read")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

/// User and kernel time of a process, including ended threads.
fn processor_time(process: &str) -> anyhow::Result<Duration> {
    let stat =
        fs::read_to_string(format!("/proc/{process}/stat")).context("the server has ended")?;
    // The second field is the name in parentheses, which may contain any character; the third field
    // follows.
    let (_, fields) = stat.rsplit_once(") ").context("/proc/<pid>/stat has an unknown format")?;
    ticks(fields.split(' ').skip(11).take(2))
}

/// User and kernel time of the whole machine, and time stolen by the host.
fn busy_time() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("/proc/stat cannot be read")?;
    let fields = stat
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("cpu "))
        .context("/proc/stat has an unknown format")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    ticks([0, 1, 2, 7].into_iter().filter_map(|at| fields.get(at).copied()))
}

fn ticks<'a>(fields: impl Iterator<Item = &'a str>) -> anyhow::Result<Duration> {
    let mut sum: u64 = 0;
    for field in fields {
        sum += field.parse::<u64>().with_context(|| format!("{field:?} is no number of ticks"))?;
    }
    Ok(Duration::from_millis(TICK_MILLIS * sum))
}
