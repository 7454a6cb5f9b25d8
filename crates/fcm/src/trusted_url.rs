//! Addresses that credentials may be sent to.

use std::fmt;

use url::{Host, Url};

use crate::Error;

/// An address that is https, or on this very machine.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedUrl(Url);

impl TrustedUrl {
    /// Reads an address. `what` names it in the error.
    ///
    /// # Errors
    /// [`Error::Address`] for what is no address, has a user, a query or a fragment, or would send credentials in
    /// the clear over a network.
    pub fn parse(what: &str, text: &str) -> Result<Self, Error> {
        let fault = |fault: &str| Error::Address(format!("{what} {fault}"));
        let url =
            Url::parse(text).map_err(|_| fault("must be an address such as https://fcm.googleapis.com"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fault("must not contain a user or a password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(fault("must not have a query or a fragment"));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            _ => {
                return Err(fault(
                    "must be https, as credentials go there; http is for this machine alone",
                ));
            }
        }
        Ok(Self(url))
    }

    /// Without a slash at the end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }
}

impl fmt::Debug for TrustedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_travel_encrypted_or_not_at_all() {
        for good in [
            "https://fcm.googleapis.com",
            "https://proxy.example/fcm/",
            "http://127.0.0.1:9000",
            "http://127.9.9.9",
            "http://[::1]:9000",
            "http://localhost:1",
        ] {
            assert!(TrustedUrl::parse("endpoint", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "fcm.googleapis.com",
            "http://fcm.googleapis.com",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "https://user:secret@fcm.googleapis.com",
            "https://fcm.googleapis.com/?key=1",
            "https://fcm.googleapis.com/#x",
        ] {
            let refused = TrustedUrl::parse("endpoint", bad);
            assert!(
                matches!(refused, Err(Error::Address(text)) if text.starts_with("endpoint ")),
                "{bad}"
            );
        }
    }
}
