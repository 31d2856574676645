//! Priority of users: the flow that a request belongs to.
//!
//! A simple form of the FlowSchemas of API Priority and Fairness, `Dispatcher` in
//! `k8s.io/apiserver/pkg/util/flowcontrol`.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use super::user::{AUTHENTICATED, MASTERS, User};
use crate::runtime::{Flow, PriorityLevel};

/// Flags of the priority of users.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Limits and overload")]
pub struct PriorityOptions {
    /// Users with the priority of cluster components.
    ///
    /// Other users leave a quarter of each limit to them. system:apiserver, system:aggregator,
    /// system:kube-aggregator, system:kube-controller-manager and the group
    /// system:serviceaccounts:kube-system always have it.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub system_users: Vec<String>,
    /// Groups whose members have the priority of cluster components.
    #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
    pub system_groups: Vec<String>,
    /// Number of usual shares of the limits that a user gets; can be repeated.
    ///
    /// One share is at most a quarter of a limit on users. Set it for a service account that works
    /// for many users, such as that of an image registry.
    #[arg(long, value_name = "USER=COUNT", value_parser = user_shares)]
    pub user_shares: Vec<UserShares>,
}

/// Value of `--user-shares`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserShares {
    user: String,
    shares: NonZeroU32,
}

/// Classifier of requests by user, or by source address without one.
pub struct FlowClassifier {
    system_users: Vec<String>,
    system_groups: Vec<String>,
    shares: HashMap<String, NonZeroU32>,
    /// Key of the hashes, so that no client can choose a name with the hash of another.
    seed: RandomState,
}

/// Users with the priority of cluster components.
const SYSTEM_USERS: [&str; 4] = [
    "system:apiserver",
    "system:aggregator",
    "system:kube-aggregator",
    "system:kube-controller-manager",
];
/// Group whose members have the priority of cluster components.
const SYSTEM_GROUP: &str = "system:serviceaccounts:kube-system";
/// Prefix of the names of service accounts, before namespace and name.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

impl FlowClassifier {
    /// Classifier for these flags, with a random seed.
    pub fn new(options: &PriorityOptions) -> Self {
        let PriorityOptions { system_users, system_groups, user_shares } = options.clone();
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        Self {
            system_users: [owned(&SYSTEM_USERS), system_users].concat(),
            system_groups: [owned(&[SYSTEM_GROUP]), system_groups].concat(),
            shares: user_shares.into_iter().map(|each| (each.user, each.shares)).collect(),
            seed: RandomState::new(),
        }
    }

    /// Flow of a request: that of its user, or of the source address without an authenticated user.
    pub fn flow(&self, user: Option<&User>, address: IpAddr) -> Flow {
        match user {
            Some(user) if user.is_in(AUTHENTICATED) => self.of_user(user),
            _ => self.of_address(address),
        }
    }

    /// Flow of an authenticated user.
    pub fn of_user(&self, user: &User) -> Flow {
        let level = match () {
            () if user.is_in(MASTERS) => PriorityLevel::Exempt,
            () if self.is_system(user) => PriorityLevel::System,
            () => PriorityLevel::Users,
        };
        let shares = self.shares.get(&user.name).copied();
        let party = match (level, shares) {
            (PriorityLevel::Users, None) => tenant(&user.name),
            _ => &user.name,
        };
        Flow { level, id: self.seed.hash_one(party), shares: shares.unwrap_or(NonZeroU32::MIN) }
    }

    /// Flow of clients without credentials at an address. A host can have each address of an IPv6
    /// network of 64 bits, so these are one flow.
    pub fn of_address(&self, address: IpAddr) -> Flow {
        let source = match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            address => address,
        };
        Flow {
            level: PriorityLevel::Unauthenticated,
            id: self.seed.hash_one(source),
            shares: NonZeroU32::MIN,
        }
    }

    fn is_system(&self, user: &User) -> bool {
        self.system_users.contains(&user.name)
            || self.system_groups.iter().any(|group| user.is_in(group))
    }
}

/// Party that a user belongs to. The service accounts of a namespace are one: everybody with the
/// ClusterRole `edit` creates as many as they like.
fn tenant(user: &str) -> &str {
    let account = user.strip_prefix(SERVICE_ACCOUNT).and_then(|rest| rest.split_once(':'));
    account.map_or(user, |(namespace, _)| &user[..SERVICE_ACCOUNT.len() + namespace.len()])
}

/// Parses a value of `--user-shares`. Names of users may contain `=`.
fn user_shares(text: &str) -> Result<UserShares, String> {
    let parts = text.rsplit_once('=').filter(|(user, _)| !user.is_empty());
    let parsed = parts.and_then(|(user, shares)| {
        Some(UserShares { user: user.to_owned(), shares: shares.parse().ok()? })
    });
    parsed.ok_or_else(|| "it must be a user name, =, and a whole number from 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn classifier() -> FlowClassifier {
        FlowClassifier::new(&PriorityOptions {
            system_users: vec!["scanner".into()],
            system_groups: vec!["operators".into()],
            user_shares: vec![user_shares("system:serviceaccount:registry:registry=3").unwrap()],
        })
    }

    fn user(name: &str, groups: &[&str]) -> Arc<User> {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        User { name: name.into(), groups, ..User::default() }.authenticated()
    }

    #[test]
    fn level_depends_on_user_and_groups() {
        let classifier = classifier();
        let level = |user: &User| classifier.flow(Some(user), HERE).level;
        for (name, groups, expected) in [
            ("admin", &[MASTERS][..], PriorityLevel::Exempt),
            ("system:kube-controller-manager", &[], PriorityLevel::System),
            ("system:serviceaccount:kube-system:gc", &[SYSTEM_GROUP], PriorityLevel::System),
            ("scanner", &[], PriorityLevel::System),
            ("olga", &["operators"], PriorityLevel::System),
            ("olga", &["devs"], PriorityLevel::Users),
            ("system:serviceaccount:lab:builder", &[], PriorityLevel::Users),
        ] {
            assert_eq!(level(&user(name, groups)), expected, "{name} {groups:?}");
        }
        // A proxy can name the anonymous user, in whatever groups.
        let anonymous = User { groups: vec![MASTERS.into()], ..User::anonymous() };
        assert_eq!(level(&anonymous), PriorityLevel::Unauthenticated);
        assert_eq!(classifier.flow(None, HERE).level, PriorityLevel::Unauthenticated);
    }

    #[test]
    fn accounts_of_a_namespace_are_one_flow() {
        let classifier = classifier();
        let id = |name: &str| classifier.of_user(&user(name, &[])).id;
        let [builder, deployer, other, registry, bob] = [
            "system:serviceaccount:lab:builder",
            "system:serviceaccount:lab:deployer",
            "system:serviceaccount:registry:other",
            "system:serviceaccount:registry:registry",
            "bob",
        ]
        .map(id);
        assert_eq!(builder, deployer);
        let distinct = std::collections::HashSet::from([builder, other, registry, bob]);
        assert_eq!(distinct.len(), 4);
        let controller = |name: &str| classifier.of_user(&user(name, &[SYSTEM_GROUP])).id;
        assert_ne!(
            controller("system:serviceaccount:kube-system:a"),
            controller("system:serviceaccount:kube-system:b")
        );
    }

    #[test]
    fn user_can_have_several_shares() {
        let shares = |name: &str| classifier().of_user(&user(name, &[])).shares.get();
        assert_eq!(shares("system:serviceaccount:registry:registry"), 3);
        assert_eq!(shares("bob"), 1);
        assert_eq!(user_shares("a=b=2").unwrap().user, "a=b");
        for wrong in ["bob", "bob=0", "bob=-1", "bob=many", "=2", ""] {
            assert!(user_shares(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn source_is_an_ipv4_address_or_an_ipv6_network() {
        let classifier = classifier();
        let id = |address: &str| classifier.of_address(address.parse().unwrap()).id;
        assert_eq!(id("2001:db8::1"), id("2001:db8::ffff:1:2:3"));
        assert_ne!(id("2001:db8::1"), id("2001:db8:0:1::1"));
        assert_eq!(id("10.0.0.1"), id("::ffff:10.0.0.1"));
        assert_ne!(id("10.0.0.1"), id("10.0.0.2"));
    }

    #[test]
    fn identities_differ_between_processes() {
        let bob = user("bob", &[]);
        assert_ne!(classifier().of_user(&bob).id, classifier().of_user(&bob).id);
    }
}
