//! Whether a request that changes something comes from a page of ours.
//!
//! The browser says so itself, in a header that no page can forge: `Sec-Fetch-Site` where it trusts the
//! connection, `Origin` otherwise. A request with neither comes from no browser, so nobody else's page made it.
//!
//! Source: <https://www.w3.org/TR/fetch-metadata/>, <https://www.rfc-editor.org/rfc/rfc6454#section-7>

use axum::http::{HeaderMap, Uri, header};

/// Whether a request with these headers was made by a page of another site.
pub(crate) fn is_foreign(headers: &HeaderMap, uri: &Uri) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text(header::ORIGIN.as_str()) else {
        return false;
    };
    // A trusted proxy's word; the port takes everybody else's away.
    let forwarded = text("x-forwarded-host").and_then(|hosts| hosts.rsplit(',').next());
    let host = forwarded.map(str::trim).or_else(|| {
        uri.authority().map_or_else(
            || text(header::HOST.as_str()),
            |authority| Some(authority.as_str()),
        )
    });
    let named = origin.split_once("://").map(|(_, host)| host);
    named.is_none() || named != host
}

/// Whether a page of ours leads here, as after a form; a link on another page, in a message or typed by hand does not.
/// Browsers say nothing over a connection that they don't trust, which is taken for a yes.
pub(crate) fn is_from_here(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_none_or(|site| site.as_bytes() == b"same-origin")
}

/// Whether the page that made the request was reached by HTTPS, as the browser sees it. A proxy before the server
/// may speak plain HTTP to it all the same.
pub(crate) fn is_https(headers: &HeaderMap) -> bool {
    headers
        .get(header::ORIGIN)
        .is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn foreign(pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        is_foreign(&headers, &Uri::from_static("/login"))
    }

    #[test]
    fn the_browser_tells_where_a_request_comes_from() {
        assert!(!foreign(&[("sec-fetch-site", "same-origin")]));
        assert!(foreign(&[("sec-fetch-site", "cross-site")]));
        assert!(foreign(&[("sec-fetch-site", "same-site")]));
        assert!(!foreign(&[
            ("host", "tide.example"),
            ("origin", "https://tide.example")
        ]));
        assert!(foreign(&[
            ("host", "tide.example"),
            ("origin", "https://evil.example")
        ]));
        assert!(foreign(&[
            ("host", "tide.example"),
            ("origin", "https://tide.example.evil.example")
        ]));
        assert!(!foreign(&[
            ("host", "127.0.0.1:8080"),
            ("x-forwarded-host", "other.example, tide.example"),
            ("origin", "https://tide.example")
        ]));
        assert!(foreign(&[("host", "tide.example"), ("origin", "null")]));
        assert!(!foreign(&[("host", "tide.example")]));
    }

    #[test]
    fn only_pages_of_ours_lead_here() {
        let from = |site: &'static str| {
            let name = "sec-fetch-site".parse().unwrap();
            is_from_here(&[(name, HeaderValue::from_static(site))].into_iter().collect())
        };
        assert!(from("same-origin") && is_from_here(&HeaderMap::new()));
        assert!(!from("cross-site") && !from("same-site") && !from("none"));
    }
}
