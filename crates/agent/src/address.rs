//! Addresses that a device may call.
//!
//! A device token, a signed URL and reports go over the network. Over plain HTTP anybody on the way reads and changes
//! them, so plain HTTP is for this machine alone, unless the embedder allows it.

use http::Uri;

/// Whether an address may be called.
pub(crate) fn may_be_called(url: &str, allow_http: bool) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    match uri.scheme_str() {
        Some("https") => uri.host().is_some(),
        Some("http") => uri.host().is_some_and(|host| allow_http || is_loopback(host)),
        _ => false,
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_alone_unless_it_is_allowed() {
        let cases = [
            ("https://updates.example.com", true, true),
            ("http://127.0.0.1:8080", true, true),
            ("http://127.9.9.9/file", true, true),
            ("http://[::1]:8080", true, true),
            ("http://localhost", true, true),
            ("http://updates.example.com", false, true),
            ("http://localhost.example.com", false, true),
            ("http://127.0.0.1.example.com", false, true),
            ("http://10.0.2.2:8080", false, true),
            ("ftp://127.0.0.1", false, false),
            ("updates.example.com", false, false),
            ("/v1/apk/1/download", false, false),
            ("", false, false),
        ];
        for (url, as_usual, when_allowed) in cases {
            assert_eq!(may_be_called(url, false), as_usual, "{url}");
            assert_eq!(may_be_called(url, true), when_allowed, "{url}");
        }
    }
}
