//! Lists of all images, whole and in pages: time to the first and to the last byte, and memory
//! growth of a freshly started server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::bench::Bench;
use crate::caller::Caller;
use crate::client_pool::ClientPool;
use crate::comparison::{Comparison, Side};
use crate::figures::Figures;
use crate::process::Process;
use crate::streamed::Streamed;
use crate::usage::resident_mib;
use crate::wire::{self, Connection};

/// Deadline for all pages.
const LIMIT: Duration = Duration::from_secs(120);
/// Interval between memory samples.
const LOOK: Duration = Duration::from_millis(5);
/// Page size that `kubectl` requests.
const PAGE: &str = "limit=500";

pub(super) fn comparisons(bench: &Bench) -> anyhow::Result<Vec<Comparison<'_>>> {
    let comparison =
        |name, query, accept| Comparison::new(name, Side::Ours, move || turn(bench, query, accept));
    let all = comparison("list of all", "", wire::JSON);
    Ok(vec![
        all,
        comparison("list in protobuf", "", wire::PROTOBUF),
        comparison("pages of 500", PAGE, wire::JSON),
    ])
}

fn turn(bench: &Bench, query: &str, accept: &str) -> anyhow::Result<Figures> {
    let (server, _data) = bench.fresh(Duration::ZERO)?;
    let before = resident_mib(server.id())?;
    let pool = ClientPool { connections: 1, threads: 1, ..bench.pool.clone() };
    let (most, figures) = while_looking(&server, || {
        let all = pool.run(server.address, LIMIT, async |connection, _| {
            read(connection, query, accept).await
        })?;
        Ok(all.into_iter().next().unwrap_or_default())
    })?;
    Ok(Figures { rise_mib: Some(most - before), resident_mib: Some(most), ..figures })
}

/// Reads a list to its end, following its continue tokens.
async fn read(connection: &mut Connection, query: &str, accept: &str) -> anyhow::Result<Figures> {
    let (begun, mut first, mut bytes, mut token) = (Instant::now(), None, 0, String::new());
    loop {
        let path = format!("/apis/image.openshift.io/v1/images?{query}&continue={token}");
        let page = Streamed::read(connection, &wire::get_as(&path, Caller::Token, accept)).await?;
        ensure!(page.status == 200, "the status of a list is {}", page.status);
        first.get_or_insert(page.first);
        bytes += page.bytes;
        match page.token() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    ensure!(bytes > 0, "the list is empty");
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(Figures {
        first_millis: first.map(millis),
        whole_millis: Some(millis(begun.elapsed())),
        ..Figures::default()
    })
}

/// Runs a job and returns the peak memory of the server meanwhile, in MiB.
fn while_looking<T: Send>(
    server: &Process,
    job: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<(f64, T)> {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut most: f64 = 0.0;
            while !is_done.load(Ordering::Relaxed) {
                most = most.max(resident_mib(server.id())?);
                thread::sleep(LOOK);
            }
            anyhow::Ok(most)
        });
        let done = job();
        is_done.store(true, Ordering::Relaxed);
        let most = looking.join().map_err(|_| anyhow::anyhow!("the memory sampler panicked"))??;
        Ok((most, done?))
    })
}
