//! The command `imagestream-apiserver`.

use std::process::ExitCode;

use clap::Parser;
use imagestream_apiserver::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("imagestream-apiserver: {why:#}");
            ExitCode::FAILURE
        }
    }
}
