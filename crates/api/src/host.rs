//! To whom a request goes: one `Host`, well formed, and over HTTP/2 the same as `:authority`.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc9112#section-3.2>, <https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1>,
//! <https://www.rfc-editor.org/rfc/rfc3986#section-3.2.2>

use axum::extract::Request;
use axum::http::{HeaderMap, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tidegate_service::{Error, Kind};

use crate::problem::Refusal;

/// Refuses a request that doesn't say to whom it goes, or says it twice, or unreadably: a proxy and this server might read
/// it differently.
pub(crate) async fn one(request: Request, next: Next) -> Response {
    match check(request.version(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => Refusal(error).into_response(),
    }
}

/// As [`one`], for a route that has no layers. Each poll comes by here.
pub(crate) fn check(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Error> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(refusal("a request has no second Host header"));
    }
    let Some(host) = host else {
        return match version {
            Version::HTTP_11 => Err(refusal("an HTTP/1.1 request has exactly one Host header")),
            _ => Ok(()),
        };
    };
    if !is_host(host.as_bytes()) {
        let message = "the Host header is no name or address of a host, with or without a port";
        return Err(refusal(message));
    }
    match uri.authority() {
        Some(authority) if version == Version::HTTP_2 => {
            if is_same(host.as_bytes(), authority.as_str().as_bytes(), uri.scheme_str()) {
                Ok(())
            } else {
                Err(refusal("the Host header and :authority name different hosts"))
            }
        }
        _ => Ok(()),
    }
}

fn refusal(message: &'static str) -> Error {
    Error::new(Kind::Invalid, "bad_host", message)
}

/// Whether these bytes are `host[:port]`. Nothing at all is what a client sends whose target has no host. A comma could
/// stand in a name, but no host is called so, and it is what two hosts look like that somebody has joined.
fn is_host(bytes: &[u8]) -> bool {
    let is_in_brackets = bytes.first() == Some(&b'[');
    let end = if is_in_brackets {
        bytes.iter().position(|byte| *byte == b']').map(|end| end + 1)
    } else {
        let colon = bytes.iter().position(|byte| *byte == b':');
        Some(colon.unwrap_or(bytes.len()))
    };
    let Some((host, port)) = end.and_then(|end| bytes.split_at_checked(end)) else {
        return false;
    };
    let is_port = match port.split_first() {
        None => true,
        Some((colon, digits)) => *colon == b':' && digits.iter().all(u8::is_ascii_digit),
    };
    is_port
        && if is_in_brackets {
            is_address(&host[1..host.len() - 1])
        } else {
            is_name(host)
        }
}

/// What may stand in brackets: an address of IPv6, or one of a later version.
fn is_address(bytes: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b":.-_~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_part)
}

fn is_name(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => after,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=' => after,
            b'%' => match after {
                [first, second, after @ ..] if first.is_ascii_hexdigit() && second.is_ascii_hexdigit() => {
                    after
                }
                _ => return false,
            },
            _ => return false,
        };
    }
    true
}

/// Whether both name the same host, with the scheme's own port or without.
fn is_same(host: &[u8], authority: &[u8], scheme: Option<&str>) -> bool {
    let own: &[u8] = match scheme {
        Some("https") => b":443",
        _ => b":80",
    };
    let bare = |bytes: &[u8]| bytes.len() - if bytes.ends_with(own) { own.len() } else { 0 };
    host[..bare(host)].eq_ignore_ascii_case(&authority[..bare(authority)])
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn ask(version: Version, uri: &str, hosts: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        }
        check(version, &uri.parse().unwrap(), &headers).is_ok()
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for good in [
            "",
            "a",
            "updates.example.com",
            "updates.example.com:8443",
            "a:",
            "xn--bcher-kva.example",
            "under_score.example",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:8080",
            "[fe80::1.2.3.4]:1",
            "a%20b",
        ] {
            assert!(ask(Version::HTTP_11, "/", &[good]), "{good:?}");
        }
        for bad in [
            "a b@/", "a, b", "a,b", "a b", "a@b", "a/b", "a:b", "a:80:80", "::1", "[::1", "[]", "[::1]a",
            "[::1]]", "[::1]:x", "a%", "a%2", "a%zz", "é", "a?b", "a#b", "<a>", "\"a\"", "a\\b", "http://a",
        ] {
            for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
                assert!(!ask(version, "/", &[bad]), "{version:?} {bad:?}");
            }
        }
    }

    #[test]
    fn each_version_takes_one_host_and_the_first_may_have_none() {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert!(ask(version, "/", &["a"]), "{version:?}");
            assert!(!ask(version, "/", &["a", "a"]), "{version:?}");
            assert_eq!(ask(version, "/", &[]), version != Version::HTTP_11, "{version:?}");
        }
    }

    #[test]
    fn over_http_2_a_host_is_the_authority() {
        for (uri, host, is_same) in [
            ("http://a.example/", "a.example", true),
            ("http://a.example/", "A.Example", true),
            ("http://a.example:80/", "a.example", true),
            ("https://a.example/", "a.example:443", true),
            ("https://a.example/", "a.example:80", false),
            ("http://a.example:8080/", "a.example", false),
            ("http://a.example/", "b.example", false),
            ("http://a.example/", "", false),
        ] {
            assert_eq!(ask(Version::HTTP_2, uri, &[host]), is_same, "{uri} {host:?}");
        }
        // Over HTTP/1.1 the target alone counts then.
        assert!(ask(Version::HTTP_11, "http://a.example/", &["b.example"]));
    }
}
