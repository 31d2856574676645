//! The folder of the store: whether it can be opened, and whether there is room.

use std::time::Duration;

use super::finding::Finding;
use crate::server::options::{SPACE_RESERVE, Storage, free_space};
use crate::store::Store;
use crate::store::embedded::{DATA_FILE, Embedded, OpenError, Options, open_to_others};

const SUBJECT: &str = "store";

/// Whether the store can be used.
pub(super) async fn check(storage: &Storage) -> Vec<Finding> {
    let folder = &storage.data_dir;
    if !folder.join(DATA_FILE).exists() {
        let text = format!("there is none in {} yet; the server makes it when it starts", folder.display());
        return vec![Finding::noteworthy(SUBJECT, text)];
    }
    let mut findings = vec![open(storage).await, room(storage)];
    findings.extend(access(storage));
    findings
}

fn access(storage: &Storage) -> Option<Finding> {
    let folder = storage.data_dir.display();
    match open_to_others(&storage.data_dir) {
        Ok(mode) => mode.map(|mode| {
            Finding::noteworthy(SUBJECT, format!("other users can enter {folder} (mode {mode:o})"))
                .way_out("chmod it to 700")
        }),
        Err(why) => Some(Finding::wrong(SUBJECT, format!("{folder} cannot be looked at: {why}"))),
    }
}

async fn open(storage: &Storage) -> Finding {
    let folder = storage.data_dir.display();
    let options = Options { lock_timeout: Duration::ZERO, ..Options::new(&storage.data_dir) };
    match tokio::task::spawn_blocking(move || Embedded::open(options)).await {
        Ok(Ok(store)) => match store.healthy().await {
            Ok(()) => Finding::good(SUBJECT, format!("{folder} can be opened and read")),
            Err(why) => Finding::wrong(SUBJECT, format!("{folder}: {why}")).way_out("restore it from a backup"),
        },
        Ok(Err(OpenError::InUse { .. })) => {
            Finding::good(SUBJECT, format!("{folder} is in use: a server is running on it"))
        }
        // These errors name the way out themselves.
        Ok(Err(why)) => Finding::wrong(SUBJECT, why.to_string()),
        Err(why) => Finding::wrong(SUBJECT, why.to_string()),
    }
}

fn room(storage: &Storage) -> Finding {
    const MIB: u64 = 1 << 20;
    match free_space(&storage.data_dir) {
        Ok(free) if free > SPACE_RESERVE => Finding::good(SUBJECT, format!("{} MiB are free beside it", free / MIB)),
        Ok(free) => {
            let text = format!("only {} MiB are free beside it: nothing can be written", free / MIB);
            Finding::wrong(SUBJECT, text)
                .way_out(format!("make room: {} MiB are kept as a reserve", SPACE_RESERVE / MIB))
        }
        Err(why) => Finding::wrong(SUBJECT, format!("the free space beside it is not known: {why}")),
    }
}
