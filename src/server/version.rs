//! Version and build of the server, from `src/build.rs`.

use serde::Serialize;

use crate::meta::Time;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Version of Kubernetes whose API machinery this server follows. kubectl compares it with its own
/// (`getVersionSkewWarning` in k8s.io/kubectl/pkg/cmd/version/skew_warning.go).
const KUBERNETES: [&str; 2] = ["1", "36"];
/// The version of Kubernetes, with that of this server as build metadata.
const GIT_VERSION: &str = concat!("v1.36.0", "+imagestream-apiserver.", env!("CARGO_PKG_VERSION"));
const COMMIT: &str = env!("BUILD_COMMIT");
const TREE_STATE: &str = env!("BUILD_TREE_STATE");
/// Seconds since 1970-01-01 UTC.
const TIMESTAMP: &str = env!("BUILD_TIMESTAMP");
/// Operating system and architecture by Go's names.
const PLATFORM: &str = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };

/// Body of `/version`: `Info` in k8s.io/apimachinery/pkg/version/types.go.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VersionInfo {
    major: &'static str,
    minor: &'static str,
    emulation_major: &'static str,
    emulation_minor: &'static str,
    min_compatibility_major: &'static str,
    min_compatibility_minor: &'static str,
    /// Version of Kubernetes, a plus sign, and name and version of this server.
    git_version: &'static str,
    /// 40 hexadecimal digits, or `unknown`.
    git_commit: &'static str,
    /// `clean`, `dirty` or `unknown`.
    git_tree_state: &'static str,
    build_date: Time,
    /// Empty: no part of the server is written in Go.
    go_version: &'static str,
    compiler: &'static str,
    platform: &'static str,
}

impl VersionInfo {
    /// Version and build of this binary.
    pub(super) fn current() -> Self {
        let [major, minor] = KUBERNETES;
        Self {
            major,
            minor,
            emulation_major: major,
            emulation_minor: minor,
            min_compatibility_major: major,
            min_compatibility_minor: minor,
            git_version: GIT_VERSION,
            git_commit: COMMIT,
            git_tree_state: TREE_STATE,
            build_date: build_date(),
            go_version: "",
            compiler: "rustc",
            platform: PLATFORM,
        }
    }
}

/// Version and build of this binary for `--version`, as lines of `name: value` after the version.
pub fn describe() -> String {
    format!(
        "{VERSION}\ncommit: {COMMIT} ({TREE_STATE})\nbuild date: {}\ncompiler: {}\nprofile: {}\ntarget: {}",
        build_date(),
        env!("BUILD_RUSTC"),
        env!("BUILD_PROFILE"),
        env!("BUILD_TARGET"),
    )
}

fn build_date() -> Time {
    Time::from_unix_seconds(TIMESTAMP.parse().expect("the build script writes a number"))
}
