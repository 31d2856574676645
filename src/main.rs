//! The command `imagestream-apiserver`.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use imagestream_apiserver::cli::Cli;
use imagestream_apiserver::telemetry::log::escaped;

/// Answers of some kilobytes are made and freed all the time, by whichever thread is free; glibc's allocator takes a lock
/// and returns memory for each. `.cargo/config.toml` sets its number of arenas.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Where nobody listens any more there is nobody to tell.
            let _ = writeln!(
                std::io::stderr(),
                "imagestream-apiserver: {}",
                escaped(&format!("{why:#}"))
            );
            ExitCode::FAILURE
        }
    }
}
