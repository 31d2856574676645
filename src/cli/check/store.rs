//! Check of the store: permissions, free space and readability of the data folder, or the members
//! of etcd.

use super::finding::Finding;
use crate::server::storage::StorageOptions;
use crate::store::private_file::open_to_others;
use crate::store::{self, Backend, OpenError, OpenOptions, free_space};

const SUBJECT: &str = "store";

/// Checks the data folder, or etcd.
pub(super) async fn check(storage: &StorageOptions) -> Vec<Finding> {
    match storage.storage_backend {
        Backend::Embedded => check_folder(storage).await,
        Backend::Etcd3 => vec![check_etcd(storage).await],
    }
}

async fn check_etcd(storage: &StorageOptions) -> Finding {
    let etcd = match storage.etcd.clone().options(storage.storage_backend) {
        Ok(etcd) => etcd,
        Err(why) => return Finding::problem(SUBJECT, why.to_string()),
    };
    let (servers, prefix) = (etcd.servers.join(","), etcd.object_prefix());
    match store::etcd_store_exists(&etcd).await {
        Ok(true) => Finding::ok(SUBJECT, format!("etcd at {servers} can be read")),
        Ok(false) if etcd.shared.is_some() => {
            let text = format!("etcd at {servers} has no images and streams below {prefix} yet");
            Finding::note(SUBJECT, text)
                .remedy("if openshift-apiserver has some, correct --etcd-prefix")
        }
        Ok(false) => {
            let text = format!("etcd at {servers} has no store below {prefix} yet");
            Finding::note(SUBJECT, format!("{text}; the server creates it at start"))
                .remedy("if it has one, correct --etcd-prefix")
        }
        // This error names the remedy.
        Err(why @ OpenError::Options { .. }) => Finding::problem(SUBJECT, why.to_string()),
        Err(why) => Finding::problem(SUBJECT, format!("etcd at {servers}: {why}")).remedy(
            "check --etcd-servers, the certificates, and the members with `etcdctl endpoint status`",
        ),
    }
}

async fn check_folder(storage: &StorageOptions) -> Vec<Finding> {
    let folder = &storage.data_dir;
    if let Ok(false) = store::maintenance(folder).exists() {
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
    let options = OpenOptions::new(&storage.data_dir);
    match tokio::task::spawn_blocking(move || store::open(options)).await {
        Ok(Ok(opened)) => match opened.health.ready().await {
            Ok(()) => Finding::ok(SUBJECT, format!("{folder} can be opened and read")),
            Err(why) => Finding::problem(SUBJECT, format!("{folder}: {why}"))
                .remedy("restore a backup, or save the rest with `store export --skip-damaged`"),
        },
        Ok(Err(OpenError::InUse { .. })) => {
            let text = format!("{folder} is in use: a server is running on it");
            Finding::ok(SUBJECT, format!("{text}; --server-kubeconfig checks its health"))
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
