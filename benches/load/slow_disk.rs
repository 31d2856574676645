//! A disk whose syncs take longer: the data file, with a pause in front of every sync. And the server on such a disk, which
//! is this program: the code, the flags and the allocator of the real one, with another way to open the data file.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use imagestream_apiserver::server::{self, shutdown::Shutdown};
use imagestream_apiserver::store::embedded::{BackendError, FileBackend, Opener, StorageBackend, open_file};
use imagestream_apiserver::telemetry::log;

use crate::process::end_with_parent;

/// The data file. Passes everything on.
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

fn opener(delay: Duration) -> Opener {
    Opener(Arc::new(move |path| Ok(Box::new(SlowDisk::new(open_file(path)?, delay)))))
}

impl SlowDisk {
    /// A file, each sync of which takes so much longer.
    pub(crate) fn new(file: FileBackend, delay: Duration) -> Self {
        Self { file, delay }
    }
}

impl StorageBackend for SlowDisk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if !self.delay.is_zero() {
            thread::sleep(self.delay);
        }
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
