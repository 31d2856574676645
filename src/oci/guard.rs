//! `AddressGuard`: refuses connections to addresses that reach the server itself or the metadata
//! service of a cloud.
//!
//! Users choose the registries of imports, so without a guard an import could read from services
//! that trust the node. Private ranges are open, because registries inside a cluster use them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Addresses of metadata services outside of the link-local range: Azure, Alibaba Cloud, and EC2
/// with IPv6.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Rules for the addresses of registries, token servers and redirects.
#[derive(Clone, Debug, Default)]
pub struct AddressGuard {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
}

/// Reason to refuse an address. Its text does not tell the address, which may be a secret of the
/// cluster's DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockedAddress {
    /// An address of the own host.
    Loopback,
    /// An address of the own link, such as 169.254.169.254.
    LinkLocal,
    /// 0.0.0.0 or `::`.
    Unspecified,
    /// Multicast or broadcast.
    Multicast,
    /// The metadata service of a cloud.
    Metadata,
    /// An address of `--import-deny-cidrs`.
    Denied,
}

impl AddressGuard {
    /// Creates a guard that refuses the addresses in `deny`, and of the others in no case those in
    /// `allow`.
    pub fn new(allow: Vec<IpNet>, deny: Vec<IpNet>) -> Self {
        Self { allow, deny }
    }

    /// Checks an address, and the IPv4 address inside of an IPv6 address.
    ///
    /// # Errors
    /// The reason to refuse it.
    pub fn check(&self, address: IpAddr) -> Result<(), BlockedAddress> {
        let embedded = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => embedded(address).map(IpAddr::V4),
        };
        [Some(address), embedded].into_iter().flatten().try_for_each(|each| self.check_one(each))
    }

    fn check_one(&self, address: IpAddr) -> Result<(), BlockedAddress> {
        let is_in = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
        if is_in(&self.deny) {
            return Err(BlockedAddress::Denied);
        }
        match refusal(address) {
            Some(reason) if !is_in(&self.allow) => Err(reason),
            _ => Ok(()),
        }
    }
}

/// The reason to refuse an address by default.
fn refusal(address: IpAddr) -> Option<BlockedAddress> {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    // All of 0.0.0.0/8 reaches the own host on Linux.
    let is_this_network = matches!(address, IpAddr::V4(address) if address.octets()[0] == 0);
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let reasons = [
        (METADATA.contains(&address), BlockedAddress::Metadata),
        (address.is_loopback(), BlockedAddress::Loopback),
        (is_link_local, BlockedAddress::LinkLocal),
        (address.is_unspecified() || is_this_network, BlockedAddress::Unspecified),
        (address.is_multicast() || is_broadcast, BlockedAddress::Multicast),
    ];
    reasons.into_iter().find_map(|(is_met, reason)| is_met.then_some(reason))
}

/// The IPv4 address that packets to an IPv6 address reach: mapped and compatible (RFC 4291), NAT64
/// (RFC 6052, RFC 8215) and 6to4 (RFC 3056) addresses.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let at = |start: usize| {
        let octets = address.octets();
        Ipv4Addr::new(octets[start], octets[start + 1], octets[start + 2], octets[start + 3])
    };
    match address.segments() {
        // `::` and `::1` are no IPv4 addresses.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => Some(at(12)),
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, 1, _, _, _, _, _] => Some(at(12)),
        [0x2002, ..] => Some(at(2)),
        _ => None,
    }
}

impl fmt::Display for BlockedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, way_out) = match self {
            Self::Loopback => ("a loopback address", true),
            Self::LinkLocal => ("a link-local address", true),
            Self::Unspecified => ("an unspecified address", true),
            Self::Multicast => ("a multicast address", true),
            Self::Metadata => ("the metadata service of a cloud", true),
            Self::Denied => ("an address in --import-deny-cidrs", false),
        };
        write!(f, "imports may not connect to {kind}")?;
        if way_out { f.write_str("; --import-allow-cidrs would permit it") } else { Ok(()) }
    }
}

impl std::error::Error for BlockedAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guard: &AddressGuard, address: &str) -> Result<(), BlockedAddress> {
        guard.check(address.parse().unwrap())
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_of_the_host_and_the_cloud_are_refused() {
        let guard = AddressGuard::default();
        for (reason, addresses) in [
            (
                BlockedAddress::Loopback,
                "127.0.0.1 127.9.9.9 ::1 ::ffff:127.0.0.1 64:ff9b::127.0.0.1 2002:7f00:1::5 ::127.0.0.1 ::ffff:0:127.0.0.1",
            ),
            (
                BlockedAddress::LinkLocal,
                "169.254.169.254 169.254.0.1 fe80::1 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 64:ff9b:1::a9fe:a9fe 2002:a9fe:a9fe::1",
            ),
            (BlockedAddress::Unspecified, "0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0"),
            (BlockedAddress::Multicast, "224.0.0.1 239.255.255.255 255.255.255.255 ff02::1"),
            (
                BlockedAddress::Metadata,
                "168.63.129.16 100.100.100.200 fd00:ec2::254 ::ffff:168.63.129.16 64:ff9b::6464:64c8 2002:a83f:8110::",
            ),
        ] {
            for address in addresses.split(' ') {
                assert_eq!(check(&guard, address), Err(reason), "{address}");
            }
        }
    }

    #[test]
    fn private_and_public_addresses_are_open() {
        for address in "10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 8.8.8.8 fd00::1 2001:db8::1 64:ff9b::808:808".split(' ') {
            assert_eq!(check(&AddressGuard::default(), address), Ok(()), "{address}");
        }
    }

    #[test]
    fn networks_are_opened_and_closed() {
        let guard = AddressGuard::new(nets(&["127.0.0.0/8", "10.0.0.0/8"]), nets(&["10.1.0.0/16"]));
        assert_eq!(check(&guard, "127.0.0.1"), Ok(()));
        assert_eq!(check(&guard, "::ffff:127.0.0.1"), Ok(()));
        assert_eq!(check(&guard, "::1"), Err(BlockedAddress::Loopback));
        assert_eq!(check(&guard, "10.1.2.3"), Err(BlockedAddress::Denied));
        assert_eq!(check(&guard, "::ffff:10.1.2.3"), Err(BlockedAddress::Denied));
        assert_eq!(check(&guard, "10.2.2.3"), Ok(()));
    }
}
