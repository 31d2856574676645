//! CPU time and memory of a process, from `/proc`.

use std::fs;
use std::io;

/// Clock ticks per second in `/proc/PID/stat`: `USER_HZ`, which is 100 on every
/// architecture that runs the server.
const TICKS: f64 = 100.0;

/// Meter of one process.
#[derive(Clone, Copy)]
pub(crate) struct Meter {
    pid: u32,
}

/// Costs since a reset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    cpu: f64,
    resident: u64,
}

/// CPU time in seconds and growth of the peak of resident memory in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu: f64,
    pub(crate) memory: u64,
}

impl Meter {
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// Resets the peak of resident memory (`5` in `clear_refs`, see proc(5)) and starts a
    /// measurement.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn start(self) -> io::Result<Start> {
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5")?;
        Ok(Start { cpu: self.cpu()?, resident: self.memory("VmRSS:")? })
    }

    /// Costs since `start`.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn cost(self, start: Start) -> io::Result<Cost> {
        let memory = self.memory("VmHWM:")?.saturating_sub(start.resident);
        Ok(Cost { cpu: self.cpu()? - start.cpu, memory })
    }

    /// CPU time since the start of the process in seconds.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn cpu(self) -> io::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The second field, the name in parentheses, may contain spaces. `utime` and `stime` are
        // fields 14 and 15.
        let fields =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11).take(2));
        let ticks: f64 =
            fields.into_iter().flatten().filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok(ticks / TICKS)
    }

    /// Value of a line of `/proc/PID/status` in bytes.
    fn memory(self, name: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        // A zombie process has no such line.
        let line = line.ok_or(io::ErrorKind::NotFound)?;
        let kilobytes: u64 =
            line.trim().trim_end_matches(" kB").parse().map_err(io::Error::other)?;
        Ok(kilobytes << 10)
    }
}
