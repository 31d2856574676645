//! The versions of etcd whose watches report their progress reliably.

use super::error::CallError;
use super::members::Members;

/// The first reliable release of each minor version that had unreliable ones, see etcd#17507.
const FIRST_RELIABLE: [(u32, u32, u32); 2] = [(3, 4, 31), (3, 5, 13)];

/// Checks the version of a member.
///
/// # Errors
/// A member that reports its progress before its events, or one that cannot be reached.
pub(super) async fn check_progress(members: &Members, member: usize) -> Result<(), CallError> {
    let status = |mut clients: super::members::MemberClients| async move {
        clients.maintenance.status().await
    };
    let asked = members.once(member, status);
    let status = match tokio::time::timeout(members.request_timeout(), asked).await {
        Ok(status) => status?,
        Err(_) => return Err(CallError::other("etcd has not reported its version in time")),
    };
    if reports_progress(status.version()) {
        return Ok(());
    }
    let reason = format!(
        "etcd {} reports the progress of watches before their events: shared keys need 3.4.31, 3.5.13, or a later version",
        status.version()
    );
    Err(CallError::other(reason))
}

/// Returns true for a reliable version.
fn reports_progress(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let mut numbers = core.split('.').map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let found: (u32, u32, u32) = (next(), next(), next());
    let same_minor = FIRST_RELIABLE.iter().find(|first| (first.0, first.1) == (found.0, found.1));
    match same_minor {
        Some(first) => found >= *first,
        None => found > FIRST_RELIABLE[1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreliable_versions_are_known() {
        for version in ["3.4.31", "3.5.13", "3.5.21", "3.6.0", "3.6.16", "3.7.0-rc.0", "4.0.0"] {
            assert!(reports_progress(version), "{version}");
        }
        for version in ["3.4.30", "3.5.12", "3.5.0-alpha", "3.3.27", "2.3.8", "", "x"] {
            assert!(!reports_progress(version), "{version}");
        }
    }
}
