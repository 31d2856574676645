//! The speed of the machine while a row runs.
//!
//! Shared machines vary by a factor of three within minutes. The limits of CPU time would have to
//! allow for the slowest moment and then miss most regressions. So a thread measures the CPU time of
//! a fixed piece of work during each row, and the limits grow with it.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of one sample in a debug build on the machine that the limits were chosen on, when it
/// has nothing else to do than the tests.
const REFERENCE: Duration = Duration::from_micros(1_200);
/// Pause between two samples.
const INTERVAL: Duration = Duration::from_millis(40);
/// Maximum slowness. A machine that is slower shows nothing about the server.
const SLOWEST: f64 = 3.0;

/// Samples that are taken until they are stopped.
pub(crate) struct SpeedSampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<f64>,
}

impl SpeedSampler {
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        Self { stop, thread: thread::spawn(move || mean_slowness(&stopped)) }
    }

    /// Stops the samples. Returns the factor by which the machine was slower than the reference, at
    /// least 1.
    pub(crate) fn stop(self) -> f64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        self.thread.join().expect("a sampler does not panic")
    }
}

fn mean_slowness(stopped: &AtomicBool) -> f64 {
    let mut buffer = vec![1; 1 << 18];
    let (mut total, mut count) = (Duration::ZERO, 0);
    loop {
        let is_last = stopped.load(Ordering::SeqCst);
        let begun = cpu_time();
        work(&mut buffer);
        total += cpu_time() - begun;
        count += 1;
        if is_last {
            let slowness = (total / count).div_duration_f64(REFERENCE);
            return slowness.clamp(1.0, SLOWEST);
        }
        thread::park_timeout(INTERVAL);
    }
}

/// Arithmetic and memory accesses that miss the first cache, as a server does.
fn work(buffer: &mut [u64]) {
    let mut at = 1_usize;
    for _ in 0..20_000 {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let slot = (at >> 33) % buffer.len();
        buffer[slot] = buffer[slot].wrapping_add(at as u64);
    }
    black_box(buffer);
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
