//! The programs of a control plane, and those of others that work with it: built once into the target folder. Those of the
//! control plane come from `KUBEBUILDER_ASSETS` where that is set.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The folder of the programs, of which those of every control plane are there.
#[derive(Clone)]
pub(crate) struct Tools(PathBuf);

impl Tools {
    /// Finds the programs; builds them, for some minutes, when they are not there or not those of `go.mod`.
    pub(crate) fn find() -> Result<Self> {
        let folder = match env::var_os("KUBEBUILDER_ASSETS") {
            Some(folder) => PathBuf::from(folder),
            None => build("build-tools", "envtest")
                .context("building the control plane of the tests, for which Go is needed")?,
        };
        let tools = Self(folder);
        for tool in ["etcd", "kube-apiserver", "kubectl"] {
            tools.need(tool)?;
        }
        Ok(tools)
    }

    pub(crate) fn path(&self, tool: &str) -> PathBuf {
        self.0.join(tool)
    }

    /// The path of a program that is there, also of one that folders for KUBEBUILDER_ASSETS usually lack.
    pub(crate) fn need(&self, tool: &str) -> Result<PathBuf> {
        let path = self.path(tool);
        ensure!(path.is_file(), "{} is not there: is KUBEBUILDER_ASSETS right?", path.display());
        Ok(path)
    }
}

/// The folder of Helm (`helm`), of the program around OpenShift's clients (`openshift`), of the crowd of HTTP/2 clients (`crowd`)
/// and of Python with Kubernetes' client (`python/bin/python`).
pub(crate) fn peers() -> Result<PathBuf> {
    build("build-peers", "peers").context("building clients of others, for which Go, Python 3 and PyPI are needed")
}

/// Runs a script beside this file on a folder beside those of builds.
fn build(script: &str, folder: &str) -> Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("the folder for tests lies in another one")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster").join(script);
    let folder = target.join(folder);
    fs::create_dir_all(&folder)?;
    // Several test processes may want the programs at the same time. The lock ends with this process.
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    let status =
        Command::new(&script).arg(&folder).status().with_context(|| format!("running {}", script.display()))?;
    ensure!(status.success(), "{} ends with {status}", script.display());
    lock.unlock()?;
    Ok(folder)
}
