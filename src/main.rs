//! The command `imagestream-apiserver`.

use std::io::Write;
use std::process::ExitCode;

use imagestream_apiserver::cli::{self, Cli};
use imagestream_apiserver::telemetry::log::escaped;

/// jemalloc, because all threads allocate and free responses of some kilobytes at a high rate, for
/// which glibc's allocator takes a lock and returns memory to the kernel each time.
/// `.cargo/config.toml` sets the number of jemalloc's arenas.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match Cli::from_process().and_then(Cli::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Where nobody listens any more there is nobody to tell.
            let _ = writeln!(
                std::io::stderr(),
                "imagestream-apiserver: {}",
                escaped(&cli::message(&why))
            );
            ExitCode::FAILURE
        }
    }
}
