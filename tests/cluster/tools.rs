//! The programs of a control plane: from `KUBEBUILDER_ASSETS` where that is set, else built once into the target folder.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The folder of the programs, of which each is there.
#[derive(Clone)]
pub(crate) struct Tools(PathBuf);

impl Tools {
    /// Finds the programs; builds them, for some minutes, when they are not there or not those of `go.mod`.
    pub(crate) fn find() -> Result<Self> {
        let folder = match env::var_os("KUBEBUILDER_ASSETS") {
            Some(folder) => PathBuf::from(folder),
            None => build().context("building the control plane of the tests, for which Go is needed")?,
        };
        let tools = Self(folder);
        for tool in ["etcd", "kube-apiserver", "kubectl"] {
            let path = tools.path(tool);
            ensure!(path.is_file(), "{} is not there: is KUBEBUILDER_ASSETS right?", path.display());
        }
        Ok(tools)
    }

    pub(crate) fn path(&self, tool: &str) -> PathBuf {
        self.0.join(tool)
    }
}

fn build() -> Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("the folder for tests lies in another one")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/build-tools");
    let folder = target.join("envtest");
    fs::create_dir_all(&folder)?;
    // Several test processes may want the tools at the same time. The lock ends with this process.
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    let status =
        Command::new(&script).arg(&folder).status().with_context(|| format!("running {}", script.display()))?;
    ensure!(status.success(), "{} ends with {status}", script.display());
    lock.unlock()?;
    Ok(folder)
}
