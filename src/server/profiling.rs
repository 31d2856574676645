//! Profiles of the running process: `/debug/pprof/profile` and `/debug/pprof/heap`, as in
//! k8s.io/apiserver/pkg/server/routes/profiling.go, for `go tool pprof`.

use std::collections::HashMap;
use std::time::Duration;

use pprof::{ProfilerGuardBuilder, UnresolvedReport};
use pprof_util::{StackProfile, WeightedStack};
use tokio::sync::Semaphore;

use crate::machinery::query::Query;
use crate::meta::Status;

/// Flags of profiles.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Audit and logging")]
pub struct Options {
    /// Serve profiles of CPU and memory below /debug/pprof/.
    ///
    /// Users need a right for these paths, which no role of the manifests grants.
    #[arg(long, value_name = "BOOL", default_value_t = false, default_missing_value = "true", num_args = 0..=1,
        require_equals = true, action = clap::ArgAction::Set)]
    pub profiling: bool,
}

/// Samples in a second of CPU time. Not a divisor of common periods, which would be sampled at the
/// same point each time.
const FREQUENCY: i32 = 99;
/// Duration of a CPU profile without the parameter `seconds`, as in Go's `net/http/pprof`.
const DEFAULT_SECONDS: u64 = 30;
/// Time for the response after the last sample.
const RESERVE: Duration = Duration::from_secs(10);
/// Libraries whose code is not interrupted for a sample: they hold locks that unwinding takes.
const NOT_SAMPLED: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// Returns true for the path of a profile.
pub(super) fn is_profile(path: &str) -> bool {
    path.starts_with("/debug/pprof/")
}

/// Profiles, one at a time.
pub(super) struct Profiler {
    running: Semaphore,
    max_seconds: u64,
}

impl Profiler {
    /// Profiles whose requests end within this time.
    pub(super) fn new(request_timeout: Duration) -> Self {
        let max_seconds = request_timeout.saturating_sub(RESERVE).as_secs().max(1);
        Self { running: Semaphore::new(1), max_seconds }
    }

    /// Samples the stacks of threads that use the CPU, for the parameter `seconds`. Returns a
    /// compressed `profile.proto`.
    ///
    /// # Errors
    /// 400 for an invalid duration, 429 during another profile.
    pub(super) async fn cpu(&self, query: &Query) -> Result<Vec<u8>, Status> {
        let seconds = self.seconds(query)?;
        let _place = self.running.try_acquire().map_err(|_| Status::too_many_requests())?;
        // The first profile reads the debug information of the binary.
        let samples = tokio::task::spawn_blocking(|| {
            let builder = ProfilerGuardBuilder::default().frequency(FREQUENCY);
            builder.blocklist(&NOT_SAMPLED).build()
        });
        let samples = samples.await.map_err(Status::hidden)?;
        let samples = samples.map_err(|error| not_possible(&error))?;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let encoded = tokio::task::spawn_blocking(move || {
            let report = samples.report().build_unresolved();
            drop(samples);
            report.map(|report| encode(&report))
        });
        let encoded = encoded.await.map_err(Status::hidden)?;
        encoded.map_err(|error| not_possible(&error))
    }

    /// The memory that the process has allocated, by the stacks of a sample of allocations. Returns
    /// a compressed `profile.proto`.
    ///
    /// # Errors
    /// 429 during another profile, 503 if allocations are not sampled.
    pub(super) async fn heap(&self) -> Result<Vec<u8>, Status> {
        let _place = self.running.try_acquire().map_err(|_| Status::too_many_requests())?;
        heap::profile().await
    }

    fn seconds(&self, query: &Query) -> Result<u64, Status> {
        let max = self.max_seconds;
        match query.integer("seconds")? {
            None => Ok(DEFAULT_SECONDS.min(max)),
            Some(seconds) => u64::try_from(seconds)
                .ok()
                .filter(|seconds| (1..=max).contains(seconds))
                .ok_or_else(|| {
                    let text = "the response must end within --request-timeout";
                    Status::bad_request(format!("seconds must be from 1 to {max}: {text}"))
                }),
        }
    }
}

fn not_possible(error: &pprof::Error) -> Status {
    Status::unavailable(format!(
        "the CPU cannot be profiled: {error}; samples need a folder for temporary files: set TMPDIR"
    ))
}

fn encode(report: &UnresolvedReport) -> Vec<u8> {
    let mut handlers = HandlerFrames::default();
    let stacks = report.data.iter().map(|(sample, count)| {
        let addresses = sample.frames.iter().map(|frame| frame.ip() as usize);
        // The outermost frame of a thread can be one without an address.
        let frames: Vec<usize> = addresses.filter(|address| *address > 0).collect();
        let frames = handlers.without(&frames);
        // The encoder reads the root first, and takes one from each address, because all but that
        // of the interrupted instruction are those behind a call.
        let mut addrs: Vec<usize> = frames.iter().rev().copied().collect();
        if let Some(interrupted) = addrs.last_mut() {
            *interrupted += 1;
        }
        (WeightedStack { addrs, weight: *count as f64 }, None)
    });
    let profile = StackProfile { stacks: stacks.collect(), ..StackProfile::default() };
    profile.to_pprof(("samples", "count"), ("cpu", "nanoseconds"), None)
}

/// The frames of the signal handler, which are at the top of each sample.
#[derive(Default)]
struct HandlerFrames(HashMap<usize, bool>);

impl HandlerFrames {
    /// Most frames above the handler.
    const MAX_ABOVE: usize = 8;

    /// The frames below the handler and its return; all without a handler.
    fn without<'a>(&mut self, frames: &'a [usize]) -> &'a [usize] {
        let top = frames.iter().take(Self::MAX_ABOVE);
        match top.copied().position(|address| self.is_handler(address)) {
            Some(at) => frames.get(at + 2..).unwrap_or_default(),
            None => frames,
        }
    }

    fn is_handler(&mut self, address: usize) -> bool {
        *self.0.entry(address).or_insert_with(|| {
            let mut is_handler = false;
            backtrace::resolve(address as *mut _, |symbol| {
                let name = symbol.name().map(|name| name.to_string());
                is_handler |= name.is_some_and(|name| name.ends_with("perf_signal_handler"));
            });
            is_handler
        })
    }
}

#[cfg(feature = "heap-profiling")]
mod heap {
    use jemalloc_pprof::PROF_CTL;

    use crate::meta::Status;

    /// The profile of the allocator.
    pub(super) async fn profile() -> Result<Vec<u8>, Status> {
        let Some(control) = PROF_CTL.as_ref() else {
            return Err(Status::unavailable(
                "allocations are not sampled: start the server with the environment variable \
                 _RJEM_MALLOC_CONF=prof:true",
            ));
        };
        let dumped = tokio::task::spawn_blocking(|| control.blocking_lock().dump_pprof());
        dumped.await.map_err(Status::hidden)?.map_err(|error| {
            Status::unavailable(format!(
                "the heap cannot be profiled: {error}; the profile needs a folder for temporary \
                 files: set TMPDIR"
            ))
        })
    }
}

#[cfg(not(feature = "heap-profiling"))]
mod heap {
    use crate::meta::Status;

    /// No profile: sampling has a cost in the allocator.
    pub(super) async fn profile() -> Result<Vec<u8>, Status> {
        Err(Status::unavailable(
            "this binary has no heap profiles: build it with `cargo build --release --features \
             heap-profiling`",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_bounded_by_the_request_timeout() {
        let seconds = |timeout: u64, query: &str| {
            let profiler = Profiler::new(Duration::from_secs(timeout));
            profiler.seconds(&Query::parse(Some(query))).map_err(|status| status.code)
        };
        assert_eq!([seconds(60, ""), seconds(20, ""), seconds(3, "")], [Ok(30), Ok(10), Ok(1)]);
        assert_eq!(seconds(60, "seconds=50"), Ok(50));
        for query in ["seconds=51", "seconds=0", "seconds=-1", "seconds=x"] {
            assert_eq!(seconds(60, query), Err(400), "{query}");
        }
    }

    #[tokio::test]
    async fn second_profile_is_429() {
        let profiler = Profiler::new(Duration::from_secs(60));
        let _place = profiler.running.try_acquire().unwrap();
        assert_eq!(profiler.cpu(&Query::parse(None)).await.unwrap_err().code, 429);
        assert_eq!(profiler.heap().await.unwrap_err().code, 429);
    }
}
