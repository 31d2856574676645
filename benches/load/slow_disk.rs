//! Disk with delayed syncs: the data file with a pause before every sync. The server on such a disk
//! is this program, with the code, flags and allocator of the real server and another way to open
//! the data file.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use imagestream_apiserver::server::{self, shutdown::Shutdown};
use imagestream_apiserver::store::embedded::{
    BackendLayer, FileBackend, FileOpener, Layered, StorageBackend, open_file,
};
use imagestream_apiserver::telemetry::log;

use crate::process::end_with_parent;

/// Data file with a pause before every sync.
#[derive(Debug)]
pub(crate) struct SlowDisk {
    file: FileBackend,
    delay: Duration,
}

/// Flags of `serve`.
#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    server: server::Options,
    #[command(flatten)]
    log: log::Options,
}

/// Serves with these flags on a slow disk until SIGTERM.
///
/// # Errors
/// Errors of the server.
pub(crate) fn serve(delay: Duration, flags: &[String]) -> anyhow::Result<()> {
    end_with_parent();
    let mut flags = Flags::parse_from(["load"].into_iter().chain(flags.iter().map(String::as_str)));
    flags.server.storage.opener = opener(delay);
    log::init(flags.log.verbosity, flags.log.logging_format)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let shutdown = Shutdown::on_signals().context("signals cannot be received")?;
        match server::start(flags.server, shutdown).await? {
            Some(running) => running.until_end().await,
            None => bail!("it was stopped before it served"),
        }
    })
}

fn opener(delay: Duration) -> FileOpener {
    FileOpener(Arc::new(move |path| Ok(Box::new(SlowDisk::open(open_file(path)?, delay)))))
}

impl SlowDisk {
    /// File whose syncs take longer by `delay`.
    pub(crate) fn open(file: FileBackend, delay: Duration) -> Layered<Self> {
        Layered(Self { file, delay })
    }
}

impl BackendLayer for SlowDisk {
    fn inner(&self) -> &dyn StorageBackend {
        &self.file
    }

    fn sync_data(&self) -> io::Result<()> {
        if !self.delay.is_zero() {
            thread::sleep(self.delay);
        }
        self.file.sync_data()
    }
}
