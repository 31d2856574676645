//! Check of the data folder: permissions, free space and readability.

use super::finding::Finding;
use crate::server::storage::StorageOptions;
use crate::store::private_file::open_to_others;
use crate::store::{self, OpenError, OpenOptions, free_space};

const SUBJECT: &str = "store";

/// Checks the data folder.
pub(super) async fn check(storage: &StorageOptions) -> Vec<Finding> {
    let folder = &storage.data_dir;
    if let Ok(false) = store::maintenance(storage.storage_backend, folder).exists() {
        let text = format!("{} has no store yet; the server creates it at start", folder.display());
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
            Finding::note(SUBJECT, format!("other users can access {folder} (mode {mode:o})"))
                .remedy("set the mode to 700")
        }),
        Err(why) => Some(Finding::problem(SUBJECT, format!("cannot read {folder}: {why}"))),
    }
}

async fn open(storage: &StorageOptions) -> Finding {
    let folder = storage.data_dir.display();
    let options =
        OpenOptions { backend: storage.storage_backend, ..OpenOptions::new(&storage.data_dir) };
    match tokio::task::spawn_blocking(move || store::open(options)).await {
        Ok(Ok(opened)) => match opened.health.ready().await {
            Ok(()) => Finding::ok(SUBJECT, format!("{folder} can be opened and read")),
            Err(why) => Finding::problem(SUBJECT, format!("{folder}: {why}"))
                .remedy("restore a backup, or save the rest with `store export --skip-damaged`"),
        },
        Ok(Err(OpenError::InUse { .. })) => {
            Finding::ok(SUBJECT, format!("{folder} is in use: a server is running on it"))
        }
        // These errors name the remedy.
        Ok(Err(why)) => Finding::problem(SUBJECT, why.to_string()),
        Err(why) => Finding::problem(SUBJECT, why.to_string()),
    }
}

fn room(storage: &StorageOptions) -> Finding {
    const MIB: u64 = 1 << 20;
    match free_space(&storage.data_dir) {
        Ok(free) if free > storage.storage_reserve => {
            Finding::ok(SUBJECT, format!("{} MiB are free on its volume", free / MIB))
        }
        Ok(free) => {
            let text =
                format!("only {} MiB are free on its volume: writes are refused", free / MIB);
            Finding::problem(SUBJECT, text).remedy(format!(
                "free space: {} MiB are kept as a reserve (--storage-reserve)",
                storage.storage_reserve / MIB
            ))
        }
        Err(why) => Finding::problem(SUBJECT, format!("cannot determine the free space: {why}")),
    }
}
