//! Users as authentication identifies them.

use std::collections::BTreeMap;
use std::sync::Arc;

/// User of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// Name.
    pub name: String,
    /// UID; empty if the source has none.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Extra attributes for the authorizer.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Name of the user of requests without credentials.
pub(super) const ANONYMOUS: &str = "system:anonymous";
/// Group of all authenticated users.
pub(super) const AUTHENTICATED: &str = "system:authenticated";
/// Group of all unauthenticated users.
pub(super) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Group whose members may do everything.
pub(super) const MASTERS: &str = "system:masters";

impl User {
    /// Adds the group `system:authenticated`.
    ///
    /// Leaves the anonymous user and users in `system:unauthenticated` unchanged, since a front
    /// proxy can name those too. The aggregator of kube-apiserver fetches discovery and OpenAPI as
    /// a user without groups, and needs this one.
    pub fn authenticated(mut self) -> Arc<Self> {
        let has_group = self.is_in(AUTHENTICATED) || self.is_in(UNAUTHENTICATED);
        if self.name != ANONYMOUS && !has_group {
            self.groups.push(AUTHENTICATED.into());
        }
        Arc::new(self)
    }

    /// User of requests without credentials.
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.into(), groups: vec![UNAUTHENTICATED.into()], ..Self::default() }
    }

    /// Approximate size in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        let extra = self.extra.iter().flat_map(|(key, values)| std::iter::once(key).chain(values));
        let texts = [&self.name, &self.uid].into_iter().chain(&self.groups).chain(extra);
        texts.map(String::len).sum()
    }

    /// Returns true if the user is a member of the group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(name: &str, groups: &[&str]) -> Vec<String> {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        User { name: name.into(), groups, ..User::default() }.authenticated().groups.clone()
    }

    #[test]
    fn authenticated_group_is_added_once() {
        assert_eq!(groups("alice", &["devs"]), ["devs", AUTHENTICATED]);
        assert_eq!(groups("system:aggregator", &[]), [AUTHENTICATED]);
        assert_eq!(groups("alice", &[AUTHENTICATED]), [AUTHENTICATED]);
    }

    #[test]
    fn anonymous_user_of_a_proxy_stays_unauthenticated() {
        assert_eq!(groups(ANONYMOUS, &[UNAUTHENTICATED]), [UNAUTHENTICATED]);
        assert!(groups(ANONYMOUS, &[]).is_empty());
    }
}
