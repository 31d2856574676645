//! The command `imagestream-apiserver`.

use std::process::ExitCode;

use clap::Parser;
use imagestream_apiserver::cli::Cli;

/// Answers of some kilobytes are made and freed all the time, by whichever thread is free; glibc's allocator takes a lock
/// and returns memory for each. `.cargo/config.toml` sets its number of arenas.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("imagestream-apiserver: {why:#}");
            ExitCode::FAILURE
        }
    }
}
