//! The programs of a control plane and the clients of others. `.ci/run setup` builds them; tests only
//! look for them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The folder of the control plane's programs.
#[derive(Clone)]
pub(crate) struct Tools(PathBuf);

impl Tools {
    /// Finds the programs in the folder that `KUBEBUILDER_ASSETS` names, or else in the one that
    /// `.ci/run setup` builds.
    ///
    /// # Errors
    /// Names the missing program and how to get it.
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

    /// The path of a program, which folders for `KUBEBUILDER_ASSETS` may lack.
    pub(crate) fn need(&self, tool: &str) -> Result<PathBuf> {
        let path = self.path(tool);
        ensure!(path.is_file(), "{} is missing: is KUBEBUILDER_ASSETS right?", path.display());
        Ok(path)
    }
}

/// The folder of Helm (`helm`), of the program around OpenShift's clients (`openshift`), of the crowd
/// of HTTP/2 clients (`crowd`) and of Python with the Kubernetes client (`python/bin/python`).
pub(crate) fn peers() -> Result<PathBuf> {
    built("build-peers", "peers")
}

/// The folder that a script beside this file has filled, which must be complete and current.
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
