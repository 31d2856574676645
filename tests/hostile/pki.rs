//! Certificate authorities of users and of front proxies, and certificates of both and of neither.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

use crate::support::client::Identity;

/// The common name that the server takes for that of a front proxy.
const PROXY: &str = "front-proxy";

/// A certificate that a client shows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    /// None.
    Nothing,
    /// The front proxy's.
    Proxy,
    /// One of the front proxies' authority with another common name.
    OtherProxy,
    /// One of the users' authority with the front proxy's common name.
    UserCalledProxy,
    /// One of an unknown authority with the front proxy's common name.
    ForgedProxy,
    /// One of an unknown authority that has the name of the front proxies' authority.
    ForgedAuthority,
    /// One of the front proxies' authority, for servers only.
    ServingProxy,
    /// One of the front proxies' authority that has ended.
    EndedProxy,
    /// That of the user `mal` in the group `team`.
    User,
    /// One of an unknown authority for a user in `system:masters`.
    ForgedUser,
    /// One of the users' authority that has ended.
    EndedUser,
    /// One of the users' authority, for servers only.
    ServingUser,
}

/// The authorities.
pub(crate) struct Pki {
    users: Authority,
    proxies: Authority,
    unknown: Authority,
    namesake: Authority,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a certificate says.
struct Leaf<'a> {
    name: &'a str,
    group: &'a str,
    usage: ExtendedKeyUsagePurpose,
    year: i32,
}

const LEAF: Leaf<'static> =
    Leaf { name: "mal", group: "team", usage: ExtendedKeyUsagePurpose::ClientAuth, year: 2099 };

impl Pki {
    pub(crate) fn new() -> Self {
        let [users, proxies, unknown] = ["users", "proxies", "unknown"].map(Authority::new);
        Self { users, proxies, unknown, namesake: Authority::new("proxies") }
    }

    /// Writes the authorities and returns the flags that make a server trust them.
    pub(crate) fn flags(&self, folder: &Path) -> Vec<String> {
        let write = |name: &str, pem: &str| {
            let path = folder.join(name);
            fs::write(&path, pem).expect("the authority can be written");
            path.display().to_string()
        };
        vec![
            format!("--client-ca-file={}", write("users.crt", &self.users.pem)),
            format!("--requestheader-client-ca-file={}", write("proxies.crt", &self.proxies.pem)),
            format!("--requestheader-allowed-names={PROXY}"),
        ]
    }

    pub(crate) fn identity(&self, shown: Shown) -> Identity {
        let serving = || ExtendedKeyUsagePurpose::ServerAuth;
        let proxy = Leaf { name: PROXY, ..LEAF };
        match shown {
            Shown::Nothing => Identity::default(),
            Shown::Proxy => self.proxies.sign(proxy),
            Shown::OtherProxy => self.proxies.sign(LEAF),
            Shown::UserCalledProxy => self.users.sign(proxy),
            Shown::ForgedProxy => self.unknown.sign(proxy),
            Shown::ForgedAuthority => self.namesake.sign(proxy),
            Shown::ServingProxy => self.proxies.sign(Leaf { usage: serving(), ..proxy }),
            Shown::EndedProxy => self.proxies.sign(Leaf { year: 2020, ..proxy }),
            Shown::User => self.users.sign(LEAF),
            Shown::ForgedUser => self.unknown.sign(Leaf { group: "system:masters", ..LEAF }),
            Shown::EndedUser => self.users.sign(Leaf { year: 2020, ..LEAF }),
            Shown::ServingUser => self.users.sign(Leaf { usage: serving(), ..LEAF }),
        }
    }
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new([]).expect("no names are names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("a certificate can be made").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, leaf: Leaf<'_>) -> Identity {
        let mut params = CertificateParams::new([]).expect("no names are names");
        params.distinguished_name.push(DnType::CommonName, leaf.name);
        params.distinguished_name.push(DnType::OrganizationName, leaf.group);
        params.extended_key_usages.push(leaf.usage);
        params.not_after = date_time_ymd(leaf.year, 12, 31);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate can be made");
        let pair = (certificate.pem().into_bytes(), key.serialize_pem().into_bytes());
        Identity { certificate: Some(pair), ..Identity::default() }
    }
}
