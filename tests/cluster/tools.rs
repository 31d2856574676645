//! The programs of the control plane and the third-party clients. `.ci/run setup` builds them;
//! tests only locate them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The folder with the programs of the control plane.
#[derive(Clone)]
pub(crate) struct Tools(PathBuf);

impl Tools {
    /// Finds the programs in the folder of `KUBEBUILDER_ASSETS` or, without that variable, in the
    /// one that `.ci/run setup` builds.
    ///
    /// # Errors
    /// Returns an error that names the missing program and the command that builds it.
    pub(crate) fn find() -> Result<Self> {
        let folder = match env::var_os("KUBEBUILDER_ASSETS") {
            Some(folder) => PathBuf::from(folder),
            None => built("build-tools", "envtest")?,
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

    /// The path of a program that some `KUBEBUILDER_ASSETS` folders lack.
    pub(crate) fn need(&self, tool: &str) -> Result<PathBuf> {
        let path = self.path(tool);
        ensure!(path.is_file(), "{} is missing: is KUBEBUILDER_ASSETS right?", path.display());
        Ok(path)
    }
}

/// The folder of Helm (`helm`), the OpenShift client program (`openshift`), the HTTP/2 load clients
/// (`crowd`) and Python with the Kubernetes client (`python/bin/python`).
pub(crate) fn peers() -> Result<PathBuf> {
    built("build-peers", "peers")
}

/// The output folder of a build script in this directory. It must be complete and current.
fn built(script: &str, folder: &str) -> Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let folder = target.context("the folder of test files has a parent")?.join(folder);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster").join(script);
    let status = Command::new(&script).arg("--check").arg(&folder).status();
    let status = status.with_context(|| format!("running {}", script.display()))?;
    ensure!(
        status.success(),
        "{} lacks the current programs of {}: run `.ci/run setup`, which needs Go and Python 3",
        folder.display(),
        script.display()
    );
    Ok(folder)
}
