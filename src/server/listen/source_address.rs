//! Addresses by which limits count clients.

use std::net::{IpAddr, Ipv6Addr};

/// The address by which limits count a client: an IPv4 address, or the /64 prefix of an IPv6
/// address, all of whose addresses a single host can use (RFC 7421, RFC 8981).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SourceAddress(IpAddr);

/// Mask of the network part of an IPv6 address.
const PREFIX: u128 = u128::MAX << 64;

impl From<IpAddr> for SourceAddress {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self(Ipv6Addr::from_bits(address.to_bits() & PREFIX).into()),
            address => Self(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_counts_by_prefix_and_ipv4_by_address() {
        let is_same = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|each| each.parse::<IpAddr>().unwrap());
            SourceAddress::from(one) == SourceAddress::from(other)
        };
        assert!(is_same("2001:db8::1", "2001:db8::ffff:1:2:3"));
        assert!(!is_same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!is_same("192.0.2.1", "192.0.2.2"));
        assert!(is_same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!is_same("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    }
}
