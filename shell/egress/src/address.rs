//! Which addresses a registration permits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use remit_model::Network;

/// What kind of place an address is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Globally routable.
    Global,
    /// RFC 1918, RFC 4193, RFC 6598.
    Private,
    /// 127.0.0.0/8, ::1.
    Loopback,
    /// Everything that nobody should be sent to: link-local (with the metadata services of clouds), multicast, reserved.
    Never,
}

/// Whether a server that is registered for `network` may be reached at `address`.
pub fn permits(network: Network, address: IpAddr) -> bool {
    matches!(
        (network, place(address)),
        (Network::Public, Place::Global)
            | (Network::Private, Place::Global | Place::Private)
            | (Network::Loopback, Place::Loopback)
    )
}

fn place(address: IpAddr) -> Place {
    match address {
        IpAddr::V4(v4) => place_v4(v4),
        IpAddr::V6(v6) => place_v6(v6),
    }
}

fn place_v4(address: Ipv4Addr) -> Place {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127, ..) => Place::Loopback,
        (10, ..) | (192, 168, _) => Place::Private,
        (172, b, _) if (16..32).contains(&b) => Place::Private,
        (100, b, _) if (64..128).contains(&b) => Place::Private,
        // This network, link-local, IETF assignments, documentation, 6to4 relay, benchmarks, multicast and reserved (RFC 6890).
        (0 | 224..=255, ..)
        | (169, 254, _)
        | (192, 0, 0 | 2)
        | (192, 88, 99)
        | (198, 18 | 19, _)
        | (198, 51, 100)
        | (203, 0, 113) => Place::Never,
        _ => Place::Global,
    }
}

fn place_v6(address: Ipv6Addr) -> Place {
    if address == Ipv6Addr::LOCALHOST {
        return Place::Loopback;
    }
    if let Some(v4) = address.to_ipv4_mapped() {
        return place_v4(v4);
    }
    let s = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        place_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) carry an IPv4 address: it is the one that is reached.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => match embedded(high, low) {
            Place::Loopback => Place::Never,
            place => place,
        },
        // The metadata service of AWS stands in a unique local range.
        [0xfd00, 0xec2, ..] => Place::Never,
        [first, ..] if first & 0xfe00 == 0xfc00 => Place::Private,
        // Only 2000::/3 is global unicast; inside it documentation and Teredo are not.
        [0x2001, 0xdb8 | 0, ..] | [0x3fff, ..] => Place::Never,
        [first, ..] if first & 0xe000 == 0x2000 => Place::Global,
        _ => Place::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(network: Network, address: &str) -> bool {
        permits(network, address.parse().unwrap())
    }

    #[test]
    fn no_registration_reaches_metadata_services() {
        for address in
            ["169.254.169.254", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"]
        {
            for network in [Network::Public, Network::Private, Network::Loopback] {
                assert!(!may(network, address), "{address} {network:?}");
            }
        }
    }

    #[test]
    fn each_network_has_its_own() {
        assert!(may(Network::Public, "93.184.216.34") && may(Network::Public, "2606:4700::1"));
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fc00::1",
            "0.0.0.0",
            "::",
            "::ffff:10.0.0.1",
            "224.0.0.1",
        ] {
            assert!(!may(Network::Public, address), "{address}");
        }
        assert!(may(Network::Private, "10.1.2.3") && may(Network::Private, "fc00::1") && !may(Network::Private, "127.0.0.1"));
        assert!(may(Network::Loopback, "127.0.0.1") && may(Network::Loopback, "::1"));
        assert!(!may(Network::Loopback, "10.0.0.1") && !may(Network::Loopback, "8.8.8.8"));
    }
}
