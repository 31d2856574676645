//! Checks the data folder: permissions, free space, and that the store can be opened.

use super::finding::Finding;
use crate::server::storage::StorageOptions;
use crate::store::private_file::open_to_others;
use crate::store::{self, OpenError, OpenOptions, RESERVE_BYTES, free_space};

const SUBJECT: &str = "store";

/// Checks that the store can be used.
pub(super) async fn check(storage: &StorageOptions) -> Vec<Finding> {
    let folder = &storage.data_dir;
    if let Ok(false) = store::maintenance(storage.storage_backend, folder).exists() {
        let text = format!("there is none in {} yet; the server makes it when it starts", folder.display());
        return vec![Finding::note(SUBJECT, text)];
    }
    let mut findings = vec![open(storage).await, room(storage)];
    findings.extend(access(storage));
    findings
}

fn access(storage: &StorageOptions) -> Option<Finding> {
    let folder = storage.data_dir.display();
    match open_to_others(&storage.data_dir) {
        Ok(mode) => mode.map(|mode| {
            Finding::note(SUBJECT, format!("other users can enter {folder} (mode {mode:o})")).remedy("chmod it to 700")
        }),
        Err(why) => Some(Finding::problem(SUBJECT, format!("{folder} cannot be looked at: {why}"))),
    }
}

async fn open(storage: &StorageOptions) -> Finding {
    let folder = storage.data_dir.display();
    let options = OpenOptions { backend: storage.storage_backend, ..OpenOptions::new(&storage.data_dir) };
    match tokio::task::spawn_blocking(move || store::open(options)).await {
        Ok(Ok(opened)) => match opened.health.ready().await {
            Ok(()) => Finding::ok(SUBJECT, format!("{folder} can be opened and read")),
            Err(why) => Finding::problem(SUBJECT, format!("{folder}: {why}")).remedy("restore it from a backup"),
        },
        Ok(Err(OpenError::InUse { .. })) => {
            Finding::ok(SUBJECT, format!("{folder} is in use: a server is running on it"))
        }
        // These errors name the way out themselves.
        Ok(Err(why)) => Finding::problem(SUBJECT, why.to_string()),
        Err(why) => Finding::problem(SUBJECT, why.to_string()),
    }
}

fn room(storage: &StorageOptions) -> Finding {
    const MIB: u64 = 1 << 20;
    match free_space(&storage.data_dir) {
        Ok(free) if free > RESERVE_BYTES => Finding::ok(SUBJECT, format!("{} MiB are free beside it", free / MIB)),
        Ok(free) => {
            let text = format!("only {} MiB are free beside it: nothing can be written", free / MIB);
            Finding::problem(SUBJECT, text)
                .remedy(format!("make room: {} MiB are kept as a reserve", RESERVE_BYTES / MIB))
        }
        Err(why) => Finding::problem(SUBJECT, format!("the free space beside it is not known: {why}")),
    }
}
