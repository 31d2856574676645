//! A user, as far as anybody has proved who it is.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A user as authentication found it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// Name of the user.
    pub name: String,
    /// Identifier of the user, where the source has one.
    pub uid: String,
    /// Groups of the user.
    pub groups: Vec<String>,
    /// What else the source tells of the user, for those who decide what the user may do.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The name of everybody who shows no credentials.
pub(super) const ANONYMOUS: &str = "system:anonymous";
/// The group of everybody who is known.
pub(super) const AUTHENTICATED: &str = "system:authenticated";
/// The group of everybody who is not.
pub(super) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group whose members may do everything.
pub(super) const MASTERS: &str = "system:masters";

impl User {
    /// A user that was authenticated, with the group that all of those have.
    ///
    /// The front proxy vouches for the anonymous user too, and names it unauthenticated; that stays so. Discovery and OpenAPI
    /// are fetched by users whom the proxy gives no group at all, so that this one decides whether they get anything.
    pub fn authenticated(mut self) -> Arc<Self> {
        let is_said = self.is_in(AUTHENTICATED) || self.is_in(UNAUTHENTICATED);
        if self.name != ANONYMOUS && !is_said {
            self.groups.push(AUTHENTICATED.into());
        }
        Arc::new(self)
    }

    /// Everybody who shows no credentials.
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.into(), groups: vec![UNAUTHENTICATED.into()], ..Self::default() }
    }

    /// About how many bytes it takes to tell who the user is.
    pub(super) fn size(&self) -> usize {
        let extra = self.extra.iter().flat_map(|(key, values)| std::iter::once(key).chain(values));
        let texts = [&self.name, &self.uid].into_iter().chain(&self.groups).chain(extra);
        texts.map(String::len).sum()
    }

    /// Whether the user is a member of a group.
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
    fn everybody_who_is_known_is_in_the_group_of_the_known() {
        assert_eq!(groups("alice", &["devs"]), ["devs", AUTHENTICATED]);
        assert_eq!(groups("system:aggregator", &[]), [AUTHENTICATED]);
        assert_eq!(groups("alice", &[AUTHENTICATED]), [AUTHENTICATED]);
    }

    #[test]
    fn the_anonymous_user_of_a_proxy_stays_unknown() {
        assert_eq!(groups(ANONYMOUS, &[UNAUTHENTICATED]), [UNAUTHENTICATED]);
        assert!(groups(ANONYMOUS, &[]).is_empty());
    }
}
