//! Errors of files that operators name, with the way out.

use std::io::{self, ErrorKind};

/// Message of an error of reading a file or folder.
pub fn reading(error: &io::Error) -> String {
    with_remedy(error, "read")
}

/// Message of an error of writing a file or folder.
pub fn writing(error: &io::Error) -> String {
    with_remedy(error, "write")
}

fn with_remedy(error: &io::Error, access: &str) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            let user = rustix::process::geteuid().as_raw();
            format!("{error}; allow the user of this process (UID {user}) to {access} it")
        }
        ErrorKind::NotFound => format!("{error}; correct the path, or mount the volume with it"),
        ErrorKind::ReadOnlyFilesystem => format!("{error}; mount the volume writable"),
        ErrorKind::IsADirectory => format!("{error}; name a file, not a folder"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_has_reason_and_way_out() {
        let denied = reading(&io::Error::from_raw_os_error(13));
        assert!(denied.starts_with("Permission denied (os error 13); allow the user"), "{denied}");
        assert!(denied.ends_with("to read it"), "{denied}");
        assert!(writing(&ErrorKind::NotFound.into()).ends_with("mount the volume with it"));
        assert_eq!(reading(&io::Error::other("odd")), "odd");
    }
}
