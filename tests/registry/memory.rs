//! Memory that a huge manifest takes.

use std::fs;

use imagestream_apiserver::oci::Security;

use crate::registry_server::server::chunks;
use crate::registry_server::{RegistryServer, answer};
use crate::site::{repository, session, tag};

/// Size of the manifest in bytes.
const HUGE: usize = 300 << 20;
/// Maximum growth. Other tests run at the same time, so it is far above the limit of a manifest.
const MAX_GROWTH: u64 = 64 << 20;

/// Value of a line of `/proc/self/status` in bytes.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn huge_manifest_takes_no_memory() {
    static CHUNK: [u8; 64 << 10] = [b'['; 64 << 10];
    let server = RegistryServer::start(|request| match request.path() {
        "/v2/" => answer(200, &[], ""),
        _ => answer(200, &[], chunks(&CHUNK, HUGE / CHUNK.len())),
    })
    .await;
    // Resets the peak (proc(5)).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    for _ in 0..3 {
        let repository = repository(&server, "a");
        let result = session().manifest(&repository, &tag("x"), Security::Insecure).await;
        assert!(result.unwrap_err().to_string().starts_with("the manifest is larger"));
    }
    let growth = status("VmHWM:").saturating_sub(before);
    assert!(growth < MAX_GROWTH, "the peak grew by {} MiB", growth >> 20);
}
