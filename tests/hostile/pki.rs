//! Certificate authorities of users and of front proxies, with valid and invalid client
//! certificates.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

use crate::support::client::Identity;

/// Common name of the front proxy.
const PROXY: &str = "front-proxy";

/// Client certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    /// No certificate.
    Nothing,
    /// Valid certificate of the front proxy.
    Proxy,
    /// Front proxies' authority, another common name.
    OtherProxy,
    /// Users' authority, the front proxy's common name.
    UserCalledProxy,
    /// Unknown authority, the front proxy's common name.
    ForgedProxy,
    /// Unknown authority with the name of the front proxies' authority.
    ForgedAuthority,
    /// Front proxies' authority, for servers only.
    ServingProxy,
    /// Front proxies' authority, expired.
    EndedProxy,
    /// User `mal` in the group `team`.
    User,
    /// Unknown authority, a user in `system:masters`.
    ForgedUser,
    /// Users' authority, expired.
    EndedUser,
    /// Users' authority, for servers only.
    ServingUser,
}

/// Certificate authorities.
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

/// Content of a certificate.
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

    /// Writes the authorities and returns the server flags that trust them.
    pub(crate) fn flags(&self, folder: &Path) -> Vec<String> {
        let write = |name: &str, pem: &str| {
            let path = folder.join(name);
            fs::write(&path, pem).expect("the authority is writable");
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
        let key = KeyPair::generate().expect("key generation succeeds");
        let mut params = CertificateParams::new([]).expect("an empty list of names is valid");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("signing succeeds").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, leaf: Leaf<'_>) -> Identity {
        let mut params = CertificateParams::new([]).expect("an empty list of names is valid");
        params.distinguished_name.push(DnType::CommonName, leaf.name);
        params.distinguished_name.push(DnType::OrganizationName, leaf.group);
        params.extended_key_usages.push(leaf.usage);
        params.not_after = date_time_ymd(leaf.year, 12, 31);
        let key = KeyPair::generate().expect("key generation succeeds");
        let certificate = params.signed_by(&key, &self.issuer).expect("signing succeeds");
        let pair = (certificate.pem().into_bytes(), key.serialize_pem().into_bytes());
        Identity { certificate: Some(pair), ..Identity::default() }
    }
}
