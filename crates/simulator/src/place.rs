//! Where a server may be: on this machine and nowhere else.
//!
//! Ten thousand devices that never sleep are an attack when somebody names another's server by mistake. An address is this
//! machine's own when the routing table says that packets to it would leave from that same address.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};

use url::Url;

use crate::Error;

/// How many addresses are remembered as harmless. A server names one or two.
const MAX_KNOWN: usize = 64;

/// Remembers which addresses were looked at.
#[derive(Debug, Default)]
pub(crate) struct Neighbourhood(Mutex<HashSet<String>>);

impl Neighbourhood {
    /// Checks an address that the server sent a device to.
    pub(crate) async fn check(&self, url: &Url) -> Result<(), Error> {
        let authority = url.authority().to_owned();
        if self.known().contains(&authority) {
            return Ok(());
        }
        on_this_machine(url).await?;
        let mut known = self.known();
        if known.len() < MAX_KNOWN {
            known.insert(authority);
        }
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a server's address, without a slash at its end.
///
/// # Errors
/// [`Error::Usage`] for what is no http address, [`Error::Elsewhere`] for one of another machine.
pub(crate) async fn server(text: &str) -> Result<String, Error> {
    let usage = |why: &str| Error::Usage(format!("the server's address {why}, like http://127.0.0.1:8080"));
    let url = Url::parse(text).map_err(|_| usage("must be a URL"))?;
    if url.scheme() != "http" && url.scheme() != "https" {
        return Err(usage("must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(usage("must carry neither a login nor a query"));
    }
    on_this_machine(&url).await?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

async fn on_this_machine(url: &Url) -> Result<(), Error> {
    let elsewhere = |why: String| Error::Elsewhere {
        url: url.origin().ascii_serialization(),
        why,
    };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(elsewhere("it names no host".to_owned()));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|fault| elsewhere(fault.to_string()))?
        .collect();
    if addresses.is_empty() {
        return Err(elsewhere("its name has no address".to_owned()));
    }
    match addresses.iter().find(|address| !is_own(address.ip())) {
        None => Ok(()),
        Some(other) => Err(elsewhere(format!("{} is another machine's address", other.ip()))),
    }
}

/// Connecting a UDP socket sends nothing; it only looks the way up.
fn is_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    if address.is_loopback() {
        return true;
    }
    let any: IpAddr = if address.is_ipv4() {
        IpAddr::from([0; 4])
    } else {
        IpAddr::from([0_u16; 8])
    };
    let way = UdpSocket::bind((any, 0)).and_then(|socket| {
        // Any port will do, but not 0.
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    way.is_ok_and(|from| from.ip().to_canonical() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_machine_is_taken() {
        for (text, taken) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://127.3.2.1:80/", "http://127.3.2.1"),
            ("http://localhost:1/", "http://localhost:1"),
            ("http://[::ffff:127.0.0.1]:5/", "http://[::ffff:7f00:1]:5"),
        ] {
            assert_eq!(server(text).await.unwrap(), taken);
        }
    }

    #[tokio::test]
    async fn another_machine_is_refused_with_its_address() {
        // An address for documentation (RFC 5737), which no machine has.
        let refusal = server("http://192.0.2.7:8080").await.unwrap_err().to_string();
        assert!(
            refusal.contains("192.0.2.7") && refusal.contains("not on this machine"),
            "{refusal}"
        );
    }

    #[tokio::test]
    async fn what_is_no_address_is_refused_and_a_password_not_repeated() {
        for text in [
            "127.0.0.1:8080",
            "ftp://127.0.0.1",
            "nonsense",
            "http://ann:hunter2@127.0.0.1",
        ] {
            let refusal = server(text).await.unwrap_err();
            assert!(matches!(refusal, Error::Usage(_)), "{text}: {refusal}");
            assert!(!refusal.to_string().contains("hunter2"));
        }
    }
}
