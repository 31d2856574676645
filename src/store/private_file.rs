//! Files and folders with permissions for their owner only.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Read and write permission for the owner only.
const MODE: u32 = 0o600;
/// The permission bits of group and others.
const OTHERS: u32 = 0o077;
const NO_FOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// Creates a file with mode 0600 for reading and writing. An existing file or symbolic link is an
/// error.
///
/// # Errors
/// The error of open(2).
pub fn create_new(path: &Path) -> io::Result<File> {
    // O_CREAT with O_EXCL follows no link either, but open(2) does not promise O_EXCL on every NFS.
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(MODE)
        .custom_flags(NO_FOLLOW)
        .open(path)
}

/// Opens a file for writing, creates it if it is missing, and removes all permissions of group and
/// others. Follows no symbolic link.
///
/// A file of another user stays unchanged: volumes change owners (`fsGroup`, a changed
/// `runAsUser`), and some file systems refuse chmod.
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .custom_flags(NO_FOLLOW)
        .open(path)?;
    if let Err(error) = tighten(&file) {
        tracing::warn!(path = %path.display(), %error, "cannot restrict a file to its owner");
    }
    Ok(file)
}

/// Removes all permissions of group and others on an existing file. Follows no symbolic link.
pub(super) fn tighten_at(path: &Path) -> io::Result<()> {
    tighten(&OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(path)?)
}

fn tighten(file: &File) -> io::Result<()> {
    match file.metadata()?.mode() & OTHERS {
        0 => Ok(()),
        _ => file.set_permissions(Permissions::from_mode(MODE)),
    }
}

/// The permission bits of a folder; none if group and others have no permission.
///
/// # Errors
/// The error of stat(2).
pub fn open_to_others(folder: &Path) -> io::Result<Option<u32>> {
    let mode = fs::metadata(folder)?.mode() & 0o777;
    Ok((mode & OTHERS != 0).then_some(mode))
}
