//! What a PostgreSQL URL asks for: read as libpq reads it, because what is decided here (may this host be reached in
//! plain text, who makes the TLS connection) must hold for the connection that libpq makes.
//!
//! Source: <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::Error;
use crate::settings::without_password;

const DEFAULT_PORT: u16 = 5432;

/// What we set where the URL does not. libpq waits for ever by default, and takes an address from its environment.
const DEFAULTS: [(&str, &str); 3] = [
    ("connect_timeout", "5"),
    ("application_name", "tidegate"),
    ("hostaddr", ""),
];

/// What is libpq's own TLS, which this program does not have.
const NOT_OURS: [&str; 6] = [
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcrl",
    "sslcrldir",
    "sslnegotiation",
];

/// Where PostgreSQL is and how it is reached.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PostgresUrl {
    /// What libpq is given. When TLS is asked for it still lacks the way in, see [`PostgresUrl::through`].
    url: String,
    pub(crate) tls: Option<TlsOrder>,
}

/// The TLS connection that a URL asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsOrder {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) check: Check,
}

/// How far the server's certificate is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Not at all: whoever stands in between can read along.
    Nothing,
    /// One of these authorities has signed it.
    Authority(PathBuf),
    /// One of these authorities has signed it, for this host.
    Host(Roots),
}

/// Whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    /// The certificates in this PEM file.
    File(PathBuf),
    /// Those that the machine trusts.
    System,
}

/// The URL may hold a password.
impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({})", without_password(&self.url))
    }
}

/// A URL in its parts, still encoded.
struct Parts<'a> {
    user: Option<&'a str>,
    hosts: &'a str,
    name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl PostgresUrl {
    /// Reads the URL. `plaintext` says that a remote host may be reached without TLS.
    pub(crate) fn parse(url: &str, plaintext: bool) -> Result<Self, Error> {
        let parts = Parts::of(url)?;
        let hosts = parts.hosts();
        if let Some(order) = tls_order(&parts, &hosts)? {
            return Ok(Self {
                url: parts.without_place(),
                tls: Some(order),
            });
        }
        if let Some(host) = hosts.iter().find(|host| !plaintext && !is_local(host)) {
            return Err(refused(format!(
                "would reach the host {host} without TLS: add sslmode=verify-full and sslrootcert=FILE (or \
                 sslrootcert=system) to it, or set database_plaintext = true where everything on the way is trusted"
            )));
        }
        Ok(Self {
            url: with_defaults(url, |key| parts.value(key).is_some()),
            tls: None,
        })
    }

    /// The URL as libpq is given it, when there is no TLS.
    pub(crate) fn plain(&self) -> &str {
        &self.url
    }

    /// The URL as libpq is given it, when the way in is a socket in this folder.
    pub(crate) fn through(&self, folder: &Path) -> String {
        let folder = folder.to_string_lossy();
        let folder = utf8_percent_encode(&folder, NON_ALPHANUMERIC);
        let joint = if self.url.contains('?') { '&' } else { '?' };
        format!(
            "{}{joint}host={folder}&port={DEFAULT_PORT}&sslmode=disable",
            self.url
        )
    }
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Result<Self, Error> {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        // As libpq does: a name and password end at the first '@' that comes before any '/'.
        let (user, rest) = match rest.find(['/', '@']) {
            Some(at) if rest[at..].starts_with('@') => (Some(&rest[..at]), &rest[at + 1..]),
            _ => (None, rest),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, name) = place.split_at(place.find('/').unwrap_or(place.len()));
        if hosts.contains('@') {
            return Err(refused("has an '@' in its password: write it as %40"));
        }
        let mut parameters = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let pair = pair.split_once('=');
            parameters.push(pair.ok_or_else(|| refused("has a parameter without a value"))?);
        }
        let parts = Self {
            user,
            hosts,
            name,
            parameters,
        };
        match parts.value("service") {
            Some(_) => Err(refused("names a service, whose file is not read: name the host")),
            None => Ok(parts),
        }
    }

    /// The last value of a parameter counts.
    fn value(&self, key: &str) -> Option<String> {
        let found = self.parameters.iter().rfind(|(name, _)| *name == key)?;
        Some(percent_decode_str(found.1).decode_utf8_lossy().into_owned())
    }

    /// What is connected to: names, addresses, or folders of sockets. `host` wins over what stands before the path, and
    /// `hostaddr` over both.
    fn hosts(&self) -> Vec<String> {
        let named = self.value("host").filter(|host| !host.is_empty());
        let hosts = match self
            .value("hostaddr")
            .filter(|address| !address.is_empty())
            .or(named)
        {
            Some(hosts) => hosts.split(',').map(str::to_owned).collect(),
            None => self
                .hosts
                .split(',')
                .map(|one| decoded(host_and_port(one).0))
                .collect::<Vec<_>>(),
        };
        // What is left out comes from libpq's environment.
        let from_environment = || std::env::var("PGHOST").unwrap_or_default();
        let fill = |host: String| if host.is_empty() { from_environment() } else { host };
        hosts.into_iter().map(fill).collect()
    }

    fn port(&self) -> Result<u16, Error> {
        let own = host_and_port(self.hosts).1.to_owned();
        match self.value("port").unwrap_or(own).as_str() {
            "" => Ok(DEFAULT_PORT),
            port => port.parse().map_err(|_| refused("has a port that is none")),
        }
    }

    /// The URL without host, port and all that is said of TLS.
    fn without_place(&self) -> String {
        let user = self.user.map_or(String::new(), |user| format!("{user}@"));
        let gone = |key: &str| {
            key.starts_with("ssl") || ["host", "hostaddr", "port", "channel_binding"].contains(&key)
        };
        let kept = self.parameters.iter().filter(|(key, _)| !gone(key));
        let pairs: Vec<String> = kept.map(|(key, value)| format!("{key}={value}")).collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        let url = format!("postgresql://{user}{}{mark}{}", self.name, pairs.join("&"));
        with_defaults(&url, |key| !gone(key) && self.value(key).is_some())
    }
}

fn with_defaults(url: &str, is_given: impl Fn(&str) -> bool) -> String {
    let mut url = url.to_owned();
    for (key, value) in DEFAULTS {
        if !is_given(key) {
            let joint = if url.contains('?') { '&' } else { '?' };
            url.push_str(&format!("{joint}{key}={value}"));
        }
    }
    url
}

/// `host`, `host:port`, `[::1]:port`.
fn host_and_port(text: &str) -> (&str, &str) {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').unwrap_or((rest, ""));
        return (host, rest.trim_start_matches(':'));
    }
    text.split_once(':').unwrap_or((text, ""))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A socket of this machine, or an address that does not leave it. An empty host is the usual socket.
fn is_local(host: &str) -> bool {
    is_socket(host) || host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn is_socket(host: &str) -> bool {
    host.is_empty() || host.starts_with(['/', '@'])
}

/// The TLS that `sslmode` asks for. `allow` and `prefer` are no order: libpq goes on in plain text when there is no TLS,
/// and so does whoever stands in between.
fn tls_order(parts: &Parts<'_>, hosts: &[String]) -> Result<Option<TlsOrder>, Error> {
    let mode = parts.value("sslmode").unwrap_or_default();
    if ["", "disable", "allow", "prefer"].contains(&mode.as_str()) {
        return Ok(None);
    }
    let check = check(&mode, parts.value("sslrootcert").unwrap_or_default())?;
    if let Some(key) = NOT_OURS.iter().find(|key| parts.value(key).is_some()) {
        return Err(refused(format!(
            "asks for {key}, which this program does not have"
        )));
    }
    if parts.value("channel_binding").is_some_and(|how| how == "require") {
        return Err(refused(
            "asks for channel_binding=require, which this program does not have: sslmode=verify-full tells the server \
             from others as well",
        ));
    }
    let host = match hosts {
        [host] if !is_socket(host) => host,
        _ => {
            return Err(refused(format!(
                "asks for sslmode={mode}, which needs exactly one host, by name or address"
            )));
        }
    };
    // The certificate is for the name, also where the address is given beside it.
    let name = parts
        .value("host")
        .unwrap_or_else(|| decoded(host_and_port(parts.hosts).0));
    if parts.value("hostaddr").is_some_and(|address| !address.is_empty()) && name != *host {
        return Err(refused(
            "names a hostaddr, which does not go with TLS here: name the host alone",
        ));
    }
    Ok(Some(TlsOrder {
        host: host.clone(),
        port: parts.port()?,
        check,
    }))
}

/// Source: <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>
fn check(mode: &str, roots: String) -> Result<Check, Error> {
    match (mode, roots.as_str()) {
        ("require", "") => Ok(Check::Nothing),
        ("verify-full", "system") => Ok(Check::Host(Roots::System)),
        ("require" | "verify-ca", "system") => Err(refused(format!(
            "asks for sslrootcert=system with sslmode={mode}: authorities that everybody can buy from need verify-full"
        ))),
        ("verify-ca" | "verify-full", "") => Err(refused(format!(
            "asks for sslmode={mode} without sslrootcert: name the PEM file of the authority, or system"
        ))),
        // As libpq: where an authority is named it is asked for.
        ("require" | "verify-ca", _) => Ok(Check::Authority(roots.into())),
        ("verify-full", _) => Ok(Check::Host(Roots::File(roots.into()))),
        _ => Err(refused(format!(
            "asks for sslmode={mode}; there is disable, require, verify-ca and verify-full"
        ))),
    }
}

fn refused(what: impl Into<String>) -> Error {
    Error::Settings(format!("database_url {}", what.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(query: &str) -> TlsOrder {
        let url = format!("postgres://ann:secret@db.example:6432/fleet?{query}");
        PostgresUrl::parse(&url, false).unwrap().tls.unwrap()
    }

    fn fault(url: &str) -> String {
        let fault = PostgresUrl::parse(url, false).unwrap_err().to_string();
        assert!(!fault.contains("secret"), "{fault}");
        fault
    }

    #[test]
    fn each_mode_checks_as_much_as_it_says() {
        assert_eq!(order("sslmode=require").check, Check::Nothing);
        let authority = Check::Authority("/etc/ca.pem".into());
        assert_eq!(order("sslmode=require&sslrootcert=/etc/ca.pem").check, authority);
        assert_eq!(
            order("sslmode=verify-ca&sslrootcert=%2Fetc%2Fca.pem").check,
            authority
        );
        let full = order("sslmode=verify-full&sslrootcert=/etc/ca.pem");
        assert_eq!(full.check, Check::Host(Roots::File("/etc/ca.pem".into())));
        assert_eq!((full.host.as_str(), full.port), ("db.example", 6432));
        assert_eq!(
            order("sslmode=verify-full&sslrootcert=system").check,
            Check::Host(Roots::System)
        );
    }

    #[test]
    fn what_would_check_less_than_it_says_is_refused() {
        let base = "postgres://ann:secret@db.example/fleet?sslmode=";
        for (rest, word) in [
            ("verify-full", "sslrootcert"),
            ("verify-ca&sslrootcert=system", "verify-full"),
            ("always", "sslmode=always"),
            ("require&sslcert=me.pem", "sslcert"),
            ("require&channel_binding=require", "channel_binding"),
            ("require&hostaddr=192.0.2.1", "hostaddr"),
            ("require&host=/run/postgresql", "exactly one host"),
            ("require&host=one,two", "exactly one host"),
            ("require&service=x", "service"),
        ] {
            assert!(fault(&format!("{base}{rest}")).contains(word), "{rest}");
        }
    }

    #[test]
    fn a_remote_host_needs_tls_or_a_word_that_it_may_do_without() {
        for url in [
            "postgres://ann:secret@db.example/fleet",
            "postgres://ann:secret@192.0.2.1/fleet",
            "postgres://ann:secret@db.example/fleet?sslmode=prefer",
            "postgres://ann:secret@localhost,db.example/fleet",
            "postgres://ann:secret@localhost/fleet?host=db.example",
            "postgres://ann:secret@localhost/fleet?hostaddr=192.0.2.1",
            "postgres://ann:sec?ret@db.example/fleet",
        ] {
            assert!(fault(url).contains("database_plaintext"), "{url}");
            assert!(PostgresUrl::parse(url, true).is_ok(), "{url}");
        }
        for url in [
            "postgres://ann:secret@localhost/fleet",
            "postgres://ann:secret@127.0.0.1:6432/fleet",
            "postgres://ann:secret@[::1]:6432/fleet",
            "postgres://ann:secret@%2Frun%2Fpostgresql/fleet",
            "postgres:///fleet?host=/run/postgresql",
        ] {
            assert!(PostgresUrl::parse(url, false).is_ok(), "{url}");
        }
    }

    #[test]
    fn libpq_is_sent_to_the_tunnel_and_nowhere_else() {
        let url = "postgres://ann:s%40t@db.example:6432/fleet?sslmode=verify-ca&sslrootcert=/ca&host=other&port=1&keepalives=1";
        let url = PostgresUrl::parse(url, false).unwrap();
        assert_eq!(
            url.through(Path::new("/tmp/a b")),
            "postgresql://ann:s%40t@/fleet?keepalives=1&connect_timeout=5&application_name=tidegate&hostaddr=\
             &host=%2Ftmp%2Fa%20b&port=5432&sslmode=disable"
        );
        assert_eq!(url.tls.unwrap().host, "other");
    }
}
