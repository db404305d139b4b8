//! Which addresses a provider may have: the public internet, unless the project says otherwise.
//!
//! A name is resolved once and the connection goes to the address that was looked at, so that a name cannot answer with
//! one address for the check and another for the connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not of the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// 0.0.0.0/8, ::
    Unspecified,
    /// 127.0.0.0/8, ::1
    Loopback,
    /// 10/8, 172.16/12, 192.168/16 (RFC 1918), fc00::/7 (RFC 4193), fec0::/10.
    Private,
    /// 100.64.0.0/10 (RFC 6598).
    CarrierNat,
    /// 169.254.0.0/16, fe80::/10: here the clouds keep their machines' credentials.
    LinkLocal,
    /// fd00:ec2::254, 100.100.100.200, and names such as `metadata.google.internal`.
    Metadata,
    /// 224.0.0.0/4, ff00::/8
    Multicast,
    /// Kept for documentation, benchmarks, protocols and the future.
    NotPublic,
}

impl Reserved {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::CarrierNat => "carrier-grade NAT",
            Self::LinkLocal => "link-local",
            Self::Metadata => "cloud metadata",
            Self::Multicast => "multicast",
            Self::NotPublic => "reserved",
        }
    }
}

/// Names under which clouds serve their machines' credentials.
const METADATA_NAMES: [&str; 4] =
    ["metadata", "metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"];

/// True for a name that must not even be resolved.
pub fn is_metadata_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    METADATA_NAMES.contains(&host.as_str())
}

/// Why this address is not of the public internet; `None` if it is.
///
/// An IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4, Teredo, ISATAP) counts as itself.
pub fn reserved(ip: IpAddr) -> Option<Reserved> {
    match ip {
        IpAddr::V4(ip) => reserved_v4(ip),
        IpAddr::V6(ip) => reserved_v6(ip),
    }
}

/// True if this address answers for a cloud's machines: refused even where private addresses are allowed.
pub fn is_metadata(ip: IpAddr) -> bool {
    let v4 = |ip: Ipv4Addr| ip == Ipv4Addr::new(169, 254, 169, 254) || ip == Ipv4Addr::new(100, 100, 100, 200);
    match ip {
        IpAddr::V4(ip) => v4(ip),
        IpAddr::V6(ip) => ip == EC2_METADATA || embedded(ip).iter().flatten().any(|inner| v4(*inner)),
    }
}

const EC2_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254);

fn reserved_v4(ip: Ipv4Addr) -> Option<Reserved> {
    let [a, b, c, _] = ip.octets();
    if is_metadata(ip.into()) {
        return Some(Reserved::Metadata);
    }
    match (a, b, c) {
        (0, ..) => Some(Reserved::Unspecified),
        (127, ..) => Some(Reserved::Loopback),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Some(Reserved::Private),
        (100, 64..=127, _) => Some(Reserved::CarrierNat),
        (169, 254, _) => Some(Reserved::LinkLocal),
        (224..=239, ..) => Some(Reserved::Multicast),
        (192, 0, 0 | 2) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) | (192, 88, 99) | (240.., ..) => {
            Some(Reserved::NotPublic)
        }
        _ => None,
    }
}

fn reserved_v6(ip: Ipv6Addr) -> Option<Reserved> {
    if is_metadata(ip.into()) {
        return Some(Reserved::Metadata);
    }
    if ip.is_unspecified() {
        return Some(Reserved::Unspecified);
    }
    if ip.is_loopback() {
        return Some(Reserved::Loopback);
    }
    if let Some(why) = embedded(ip).iter().flatten().find_map(|inner| reserved_v4(*inner)) {
        return Some(why);
    }
    let head = ip.segments();
    match head[0] {
        0xff00.. => Some(Reserved::Multicast),
        0xfe80..=0xfebf => Some(Reserved::LinkLocal),
        0xfc00..=0xfdff | 0xfec0..=0xfeff => Some(Reserved::Private),
        // Mapped, NAT64 and 6to4 addresses of public ones.
        0 if embedded(ip)[0].is_some() => None,
        0x0064 if embedded(ip)[0].is_some() => None,
        // Teredo (an address in there belongs to a stranger's relay), ORCHID, documentation.
        0x2001 if head[1] < 0x0200 || head[1] == 0x0db8 => Some(Reserved::NotPublic),
        0x3fff if head[1] < 0x1000 => Some(Reserved::NotPublic),
        0x2000..=0x3fff => None,
        _ => Some(Reserved::NotPublic),
    }
}

/// The IPv4 addresses that an IPv6 address carries.
fn embedded(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let s = ip.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // ::ffff:a.b.c.d (mapped), ::ffff:0:a.b.c.d (translated), ::a.b.c.d (compatible).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => [v4(high, low), None],
        [0, 0, 0, 0, 0, 0, high, low] => [v4(high, low), None],
        // 64:ff9b::/96 (RFC 6052) and 64:ff9b:1::/48 (RFC 8215).
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => [v4(high, low), None],
        [0x0064, 0xff9b, 1, .., high, low] => [v4(high, low), None],
        // 2002:AABB:CCDD::/48 (RFC 3056).
        [0x2002, high, low, ..] => [v4(high, low), None],
        // 2001:0::/32 (RFC 4380): the server, and the client with its bits turned over.
        [0x2001, 0, high, low, _, _, client_high, client_low] => [v4(high, low), v4(!client_high, !client_low)],
        // …:0:5efe:a.b.c.d (RFC 5214).
        [_, _, _, _, 0 | 0x0200, 0x5efe, high, low] => [v4(high, low), None],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(class: Option<Reserved>, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(reserved(address.parse().unwrap()), class, "{address}");
        }
    }

    #[test]
    fn public_addresses_pass() {
        check(
            None,
            &["1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.0", "192.167.1.1"],
        );
        check(None, &["2606:4700::1111", "2a00:1450:4001::200e", "2001:4860:4860::8888", "223.255.255.255"]);
        check(None, &["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]);
    }

    #[test]
    fn each_class_is_told() {
        check(Some(Reserved::Unspecified), &["0.0.0.0", "0.1.2.3", "::"]);
        check(Some(Reserved::Loopback), &["127.0.0.1", "127.255.255.254", "::1"]);
        check(Some(Reserved::Private), &["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"]);
        check(Some(Reserved::Private), &["fc00::1", "fdff::1", "fec0::1"]);
        check(Some(Reserved::CarrierNat), &["100.64.0.1", "100.127.255.255"]);
        check(Some(Reserved::LinkLocal), &["169.254.0.1", "169.254.170.2", "fe80::1", "febf::1"]);
        check(Some(Reserved::Metadata), &["169.254.169.254", "fd00:ec2::254", "100.100.100.200"]);
        check(Some(Reserved::Multicast), &["224.0.0.1", "239.255.255.255", "ff02::1"]);
        check(Some(Reserved::NotPublic), &["192.0.2.1", "198.18.0.1", "203.0.113.9", "240.0.0.1", "255.255.255.255"]);
        check(Some(Reserved::NotPublic), &["2001:db8::1", "2001:10::1", "100::1", "4000::1", "3fff::1"]);
    }

    #[test]
    fn addresses_inside_of_addresses_are_seen() {
        for inside in ["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b:1::127.0.0.1", "2002:7f00:1::"]
        {
            check(Some(Reserved::Loopback), &[inside]);
        }
        check(Some(Reserved::Private), &["::ffff:10.0.0.1", "2002:c0a8:101::1", "2606::5efe:10.0.0.1"]);
        check(Some(Reserved::Metadata), &["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"]);
        // Teredo: the server 127.0.0.1; then a public server with the client 10.0.0.1 (turned over: f5ff:fffe).
        check(Some(Reserved::Loopback), &["2001:0:7f00:1::"]);
        check(Some(Reserved::Private), &["2001:0:808:808:0:0:f5ff:fffe"]);
        check(Some(Reserved::NotPublic), &["2001:0:808:808:0:0:f7f7:f7f7"]);
    }

    #[test]
    fn metadata_is_known_by_name_and_address() {
        for name in ["metadata.google.internal", "METADATA.google.internal.", "metadata"] {
            assert!(is_metadata_name(name), "{name}");
        }
        assert!(!is_metadata_name("api.openai.com"));
        for ip in ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254"] {
            assert!(is_metadata(ip.parse().unwrap()), "{ip}");
        }
        assert!(!is_metadata("169.254.1.1".parse().unwrap()));
    }
}
