//! Folder of a quickstart, readable by its owner only.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::sample;
use crate::cli::kubeconfig::{Kubeconfig, write_private};
use anyhow::{Context, bail};

/// Folder with an admin token. One quickstart at a time uses it.
pub(super) struct QuickstartFolder {
    path: PathBuf,
    /// Lock on the folder, which ends with the process.
    _lock: File,
}

const USER: &str = "admin";

impl QuickstartFolder {
    /// Creates the folder and the token if they do not exist.
    pub(super) fn prepare(path: &Path) -> anyhow::Result<Self> {
        let flag = || format!("--data-dir: cannot prepare the folder {}", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(flag)?;
        let mode = fs::metadata(path).with_context(flag)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            bail!(
                "--data-dir: other users can access the folder {} (mode {mode:o}): use a new one, or set its mode to 700",
                path.display()
            );
        }
        let folder = Self { path: path.to_owned(), _lock: lock(path)? };
        let token = match fs::read_to_string(folder.token()) {
            Ok(token) if !token.trim().is_empty() => token.trim().to_owned(),
            _ => new_token(),
        };
        write_private(&folder.token(), &token).with_context(flag)?;
        write_private(&folder.tokens(), &format!("{token},{USER},{USER},\"system:masters\"\n"))
            .with_context(flag)?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn certificates(&self) -> PathBuf {
        self.path.join("certificates")
    }

    /// File with the bare token.
    pub(super) fn token(&self) -> PathBuf {
        self.path.join("admin.token")
    }

    /// Token file of the server.
    pub(super) fn tokens(&self) -> PathBuf {
        self.path.join("tokens.csv")
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    /// File with a mapping to create, for the example of a push.
    pub(super) fn mapping(&self) -> PathBuf {
        self.path.join("mapping.yaml")
    }

    /// Writes the mapping.
    pub(super) fn write_mapping(&self) -> anyhow::Result<()> {
        let path = self.mapping();
        write_private(&path, sample::MAPPING)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes a kubeconfig. It refers to the files of token and CA by relative paths.
    pub(super) fn write_kubeconfig(
        &self,
        address: SocketAddr,
        certificate: &Path,
    ) -> anyhow::Result<()> {
        let token = self.token();
        let config = Kubeconfig {
            address,
            certificate: certificate.strip_prefix(&self.path).unwrap_or(certificate),
            user: USER,
            token_file: token.file_name().map(Path::new),
            namespace: Some(sample::NAMESPACE),
        };
        config.write(&self.kubeconfig())
    }
}

/// Locks the folder.
///
/// # Errors
/// A quickstart runs in the folder.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("quickstart.lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "a quickstart is running with the folder {}: use its kubeconfig, stop it first, or start \
             another one with --data-dir and --secure-port=0",
            folder.display()
        ),
        Err(TryLockError::Error(why)) => {
            Err(why).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// New token of 244 random bits.
fn new_token() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_kept_and_all_files_are_private() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let first = QuickstartFolder::prepare(&path).unwrap();
        let token = fs::read_to_string(first.token()).unwrap();
        let refused = QuickstartFolder::prepare(&path).err().unwrap().to_string();
        assert!(refused.starts_with("a quickstart is running with the folder"), "{refused}");
        drop(first);
        let again = QuickstartFolder::prepare(&path).unwrap();
        again
            .write_kubeconfig("127.0.0.1:1".parse().unwrap(), &again.certificates().join("x.crt"))
            .unwrap();
        assert_eq!(fs::read_to_string(again.token()).unwrap(), token);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        for file in [again.token(), again.tokens(), again.kubeconfig()] {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
        let config = fs::read_to_string(again.kubeconfig()).unwrap();
        assert!(!config.contains(&token) && config.contains("certificates/x.crt"), "{config}");
    }
}
