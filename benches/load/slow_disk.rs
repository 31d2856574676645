//! A disk whose syncs take longer: the data file, with a pause in front of every sync. And the server on such a disk, which
//! is this program: the code, the flags and the allocator of the real one, with another way to open the data file.

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

/// The data file, with a pause before every sync.
#[derive(Debug)]
pub(crate) struct SlowDisk {
    file: FileBackend,
    delay: Duration,
}

/// What `serve` takes.
#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    server: server::Options,
    #[command(flatten)]
    log: log::Options,
}

/// Serves with these flags on a slow disk, until this process is told to end.
///
/// # Errors
/// Those of the server.
pub(crate) fn serve(delay: Duration, flags: &[String]) -> anyhow::Result<()> {
    end_with_parent();
    let mut flags = Flags::parse_from(["load"].into_iter().chain(flags.iter().map(String::as_str)));
    flags.server.storage.opener = opener(delay);
    log::init(flags.log.verbosity, flags.log.logging_format)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let shutdown = Shutdown::on_signals().context("signals cannot be received")?;
        match server::start(flags.server, shutdown).await? {
            Some(running) => running.until_end().await,
            None => bail!("it was told to end before it served"),
        }
    })
}

fn opener(delay: Duration) -> FileOpener {
    FileOpener(Arc::new(move |path| Ok(Box::new(SlowDisk::open(open_file(path)?, delay)))))
}

impl SlowDisk {
    /// A file whose syncs take longer by `delay`.
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
