//! Metrics of the process and its build, with the names that Prometheus' own clients use.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Registers the metrics of this process, which starts now, and of its build.
pub(super) fn register(registry: &mut Registry) {
    let start = Gauge::<f64, AtomicU64>::default();
    start.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
    let text = "Start time of the process, in seconds since 1970";
    registry.register("process_start_time_seconds", text, start);
    registry.register_collector(Box::new(ProcessCollector));
    let build = Family::<[(&str, &str); 4], Gauge>::default();
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("git_commit", env!("BUILD_COMMIT")),
        ("git_tree_state", env!("BUILD_TREE_STATE")),
        ("compiler", env!("BUILD_RUSTC")),
    ];
    build.get_or_create(&labels).set(1);
    let text = "Version and build of the server; the value is 1";
    registry.register("imagestream_apiserver_build_info", text, build);
}

/// Reads the use of resources when the metrics are read. Omits what the system does not report.
#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut write = |name: &str, text: &str, metric: &dyn EncodeMetricOfAnyType| {
            metric.encode_to(&mut encoder, name, text)
        };
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
        let text = "Processor time of the process in all modes, in seconds";
        write("process_cpu_seconds", text, &ConstCounter::new(seconds))?;
        if let Some(open) = open_descriptors(Path::new("/proc/self/fd")) {
            write("process_open_fds", "Open file descriptors", &ConstGauge::new(open))?;
        }
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            write("process_max_fds", "Limit of open file descriptors", &ConstGauge::new(limit))?;
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        for (name, text, field) in [
            ("process_resident_memory_bytes", "Resident memory in bytes", "VmRSS:"),
            ("process_virtual_memory_bytes", "Virtual memory in bytes", "VmSize:"),
        ] {
            if let Some(bytes) = memory_bytes(&status, field) {
                write(name, text, &ConstGauge::new(bytes))?;
            }
        }
        Ok(())
    }
}

/// A metric whose type is known when it is encoded.
trait EncodeMetricOfAnyType {
    fn encode_to(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, text: &str)
    -> fmt::Result;
}

impl<M: EncodeMetric> EncodeMetricOfAnyType for M {
    fn encode_to(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        text: &str,
    ) -> fmt::Result {
        self.encode(encoder.encode_descriptor(name, text, None, self.metric_type())?)
    }
}

fn open_descriptors(folder: &Path) -> Option<i64> {
    // The descriptor that reads the folder is open as well.
    i64::try_from(fs::read_dir(folder).ok()?.count()).ok().map(|count| count - 1)
}

/// A field of `/proc/self/status` in kB, see proc(5), as bytes.
fn memory_bytes(status: &str, field: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_memory_are_in_bytes() {
        let status = "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t   12 kB\nThreads:\t1\n";
        assert_eq!(memory_bytes(status, "VmRSS:"), Some(12 * 1024));
        assert_eq!(memory_bytes(status, "VmSize:"), Some(2048 * 1024));
        assert_eq!(memory_bytes(status, "Threads:"), None);
        assert_eq!(memory_bytes("", "VmRSS:"), None);
    }
}
