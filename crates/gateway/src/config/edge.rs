//! Who may connect, how many of them, and through whom.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::layers::{Layers, parsed};
use super::{Config, SECOND, forms, set};

/// The most connections that a port can be allowed.
const MAX_CONNECTIONS: usize = 1_000_000;

/// The most bytes a second that can be asked of an upload.
const MAX_UPLOAD_RATE: u64 = 1 << 20;

/// The header in which trusted proxies tell where a request came from. A proxy writes one of them and passes the other
/// on as the caller made it up, so only one can be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, which nginx, Caddy and most balancers write.
    #[default]
    XForwardedFor,
    /// `Forwarded` of RFC 7239.
    Forwarded,
}

impl ForwardedHeader {
    /// The header's name, as the settings have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

impl FromStr for ForwardedHeader {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::XForwardedFor, Self::Forwarded]
            .into_iter()
            .find(|header| header.as_str().eq_ignore_ascii_case(text))
            .ok_or(())
    }
}

/// Where the certificate and its key are, as PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, and after it those that lead to a root.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Config {
    pub(super) fn take_edge(&mut self, given: &mut Layers) {
        self.max_connections = given.take("max_connections", forms::number(1..=MAX_CONNECTIONS));
        set(
            &mut self.max_connections_per_address,
            given.take("max_connections_per_address", forms::number(0..=MAX_CONNECTIONS)),
        );
        let stall = forms::duration(SECOND..=Duration::from_secs(3600));
        set(
            &mut self.write_stall_limit,
            given.take("write_stall_limit", stall),
        );
        let rate = forms::bytes(0..=MAX_UPLOAD_RATE);
        set(&mut self.min_upload_rate, given.take("min_upload_rate", rate));
        self.take_tls(given);
        set(&mut self.trusted_proxies, given.take("trusted_proxies", networks));
        set(
            &mut self.forwarded_header,
            given.take("forwarded_header", parsed("must be x-forwarded-for or forwarded")),
        );
    }
}

impl Config {
    fn take_tls(&mut self, given: &mut Layers) {
        let file = |text: &str| forms::not_empty(text).map(PathBuf::from);
        let certificate = given.take("tls_certificate", file);
        let key = given.take("tls_key", file);
        self.tls = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (Some(_), None) => {
                given.fault("tls_key", "must be set beside tls_certificate");
                None
            }
            (None, Some(_)) => {
                given.fault("tls_certificate", "must be set beside tls_key");
                None
            }
            (None, None) => None,
        };
    }

    /// The scheme of the addresses that the ports are reached at without a proxy.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// Addresses and networks with commas between them.
fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let networks = entries.map(|entry| {
        let network = entry
            .parse()
            .or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| {
            "must be addresses or networks with commas between them, such as 127.0.0.1, 10.0.0.0/8 or \
             2001:db8::/32"
                .to_owned()
        })
    });
    networks.collect()
}
