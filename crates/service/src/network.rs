//! What counts as one caller's address.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address as it is, also where it came mapped into IPv6; of an IPv6 address the /64 that a host draws its
/// addresses from as it likes.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_ipv6_has_one_address_whatever_it_draws() {
        let same = [
            ("2001:db8::1", "2001:db8::ffff:1:2:3", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ];
        for (one, other, is_same) in same {
            let [first, second] = [one, other].map(|text| network(text.parse().unwrap()));
            assert_eq!(first == second, is_same, "{one} {other}");
        }
    }
}
