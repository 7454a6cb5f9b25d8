//! The system's limit on open files, which is a limit on connections.
//!
//! A process begins with the soft limit, often 1,024, and may raise it to the hard one. A server that learns of the
//! limit when it is reached can accept nobody, open no file and reach no database.

use crate::Error;

use super::MAX_CONNECTIONS;

/// Descriptors for what is not a connection of a port: databases, files of downloads and uploads, listeners, logs.
const RESERVED: usize = 512;

/// The fewest connections that a port is worth opening for.
const MIN_CONNECTIONS: usize = 64;

/// How many connections each of `ports` ports may have: `wanted`, or as many as there is room for.
///
/// # Errors
/// [`Error::Unusable`] where there is no room for them.
pub(super) fn connections(wanted: Option<usize>, ports: usize) -> Result<usize, Error> {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => share(usize::try_from(limit).unwrap_or(usize::MAX), wanted, ports),
        Err(error) => {
            tracing::warn!(%error, "the limit on open files is unknown");
            Ok(wanted.unwrap_or(MAX_CONNECTIONS))
        }
    }
}

fn share(limit: usize, wanted: Option<usize>, ports: usize) -> Result<usize, Error> {
    let room = limit.saturating_sub(RESERVED) / ports;
    let least = wanted.unwrap_or(MIN_CONNECTIONS);
    if room < least {
        let needs = least.saturating_mul(ports).saturating_add(RESERVED);
        let fault = format!(
            "{least} connections on each of {ports} port(s) need {needs} open files, and this process may have {limit}; \
             raise the hard limit (ulimit -Hn, LimitNOFILE= in systemd, --ulimit nofile= in Docker){}",
            if room < MIN_CONNECTIONS {
                String::new()
            } else {
                format!(", or set max_connections to {room} or less")
            }
        );
        return Err(Error::unusable("max_connections")(&fault));
    }
    Ok(wanted.unwrap_or(room.min(MAX_CONNECTIONS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_into_the_limit_or_are_refused() {
        assert_eq!(share(1 << 20, None, 2).unwrap(), MAX_CONNECTIONS);
        assert_eq!(share(1 << 20, Some(100_000), 2).unwrap(), 100_000);
        assert_eq!(share(1024, None, 1).unwrap(), 512);
        assert_eq!(share(1024, Some(512), 1).unwrap(), 512);
        let told = share(1024, Some(513), 1).unwrap_err().to_string();
        assert!(
            told.contains("need 1025 open files") && told.contains("may have 1024"),
            "{told}"
        );
        assert!(told.contains("set max_connections to 512 or less"), "{told}");
        let told = share(600, None, 2).unwrap_err().to_string();
        assert!(!told.contains("or less"), "{told}");
    }

    #[test]
    fn the_limit_is_raised_as_far_as_the_system_allows() {
        connections(None, 1).unwrap();
        let (soft, hard) = rlimit::getrlimit(rlimit::Resource::NOFILE).unwrap();
        assert_eq!(soft, hard);
    }
}
