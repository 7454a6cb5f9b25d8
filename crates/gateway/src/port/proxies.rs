//! Who a caller is when a proxy stands between.
//!
//! A proxy tells the address that it was called from in a header, and so can everybody else. Only what a trusted proxy
//! wrote counts. A header is read from its right end, where the proxy next to us wrote, and only as far as proxies are
//! trusted: what stands to the left of the first other address is the caller's own word.
//!
//! From all other callers these headers are taken away, so that what is behind the port may believe them.
//!
//! Sources: <https://www.rfc-editor.org/rfc/rfc7239>,
//! <https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/X-Forwarded-For>

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

use crate::config::ForwardedHeader;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The headers in which proxies tell what they saw.
const OF_PROXIES: [HeaderName; 4] = [
    X_FORWARDED_FOR,
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
];

/// How many addresses of a header are looked at. No chain of proxies is longer.
const MAX_HOPS: usize = 32;

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    trusted: Vec<IpNet>,
    header: ForwardedHeader,
}

impl Proxies {
    pub(super) fn new(trusted: Vec<IpNet>, header: ForwardedHeader) -> Self {
        Self { trusted, header }
    }

    pub(super) fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// Where a request came from that the trusted proxy `peer` passed on.
    pub(super) fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let name = match self.header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => header::FORWARDED,
        };
        let values = headers.get_all(name).into_iter().collect::<Vec<_>>();
        let hops = values
            .iter()
            .rev()
            .flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
        let mut nearest = peer.to_canonical();
        for hop in hops.take(MAX_HOPS) {
            let Some(address) = self.address(hop) else {
                break;
            };
            nearest = address;
            if !self.trust(address) {
                break;
            }
        }
        nearest
    }

    fn address(&self, hop: &str) -> Option<IpAddr> {
        match self.header {
            ForwardedHeader::XForwardedFor => address(hop.trim()),
            ForwardedHeader::Forwarded => {
                let pairs = hop.split(';').filter_map(|pair| pair.trim().split_once('='));
                let (_, node) = pairs
                    .into_iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
                address(node.trim_matches('"'))
            }
        }
    }
}

/// Takes away what only a trusted proxy may say.
pub(super) fn forget(headers: &mut HeaderMap) {
    for name in &OF_PROXIES {
        headers.remove(name);
    }
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>().ok();
    address
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(header: ForwardedHeader, values: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8:f::/48"].map(|net| net.parse().unwrap());
        let proxies = Proxies::new(trusted.into(), header);
        let name = match header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => header::FORWARDED,
        };
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        proxies.client(&headers, "10.0.0.1".parse().unwrap()).to_string()
    }

    #[test]
    fn the_first_address_from_the_right_that_is_no_trusted_proxy_is_the_client() {
        let cases: [(&[&str], &str); 11] = [
            (&[], "10.0.0.1"),
            (&["192.0.2.1"], "192.0.2.1"),
            (&["198.51.100.9, 192.0.2.1"], "192.0.2.1"),
            (&["198.51.100.9, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            (&["192.0.2.1", "10.0.0.2"], "192.0.2.1"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["198.51.100.9, nonsense, 10.0.0.2"], "10.0.0.2"),
            (&["nonsense"], "10.0.0.1"),
            (&["2001:db8::7"], "2001:db8::7"),
            (&["[2001:db8::7]:4711, 2001:db8:f::1"], "2001:db8::7"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
        ];
        for (values, expected) in cases {
            assert_eq!(
                client(ForwardedHeader::XForwardedFor, values),
                expected,
                "{values:?}"
            );
        }
    }

    #[test]
    fn the_standards_header_is_read_the_same_way() {
        let cases: [(&[&str], &str); 6] = [
            (&["for=192.0.2.1"], "192.0.2.1"),
            (
                &["for=198.51.100.9, For=\"192.0.2.1:80\";proto=https, for=10.0.0.2"],
                "192.0.2.1",
            ),
            (&["proto=https;for=\"[2001:db8::7]:4711\""], "2001:db8::7"),
            (&["for=unknown"], "10.0.0.1"),
            (&["for=198.51.100.9, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
            (&["by=192.0.2.1"], "10.0.0.1"),
        ];
        for (values, expected) in cases {
            assert_eq!(client(ForwardedHeader::Forwarded, values), expected, "{values:?}");
        }
    }

    #[test]
    fn only_the_header_that_the_proxies_write_is_read() {
        let proxies = Proxies::new(
            vec!["10.0.0.0/8".parse().unwrap()],
            ForwardedHeader::XForwardedFor,
        );
        let mut headers = HeaderMap::new();
        headers.insert(header::FORWARDED, HeaderValue::from_static("for=192.0.2.1"));
        assert_eq!(
            proxies.client(&headers, "10.0.0.1".parse().unwrap()).to_string(),
            "10.0.0.1"
        );
        assert!(!proxies.trust("192.0.2.1".parse().unwrap()));
        assert!(proxies.trust("::ffff:10.1.2.3".parse().unwrap()));
    }

    #[test]
    fn what_others_say_is_taken_away() {
        let mut headers = HeaderMap::new();
        for name in &OF_PROXIES {
            headers.append(name, HeaderValue::from_static("x"));
            headers.append(name, HeaderValue::from_static("y"));
        }
        headers.append(header::HOST, HeaderValue::from_static("h"));
        forget(&mut headers);
        assert_eq!(headers.len(), 1);
    }
}
