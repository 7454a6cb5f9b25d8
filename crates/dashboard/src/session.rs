//! Who looks at a page: the admin token of a login, kept by the browser in a cookie.
//!
//! The server keeps no session. The token says who it is and when it ends, and any replica can check it. Logging
//! out takes it from the browser and ends it on every replica, as a change of the person's account does. No script can
//! read it.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tidegate_domain::Policy;
use tidegate_service::{Actor, BROWSER_DAYS};

use crate::{AppState, origin};

/// The cookie that holds the session.
const SESSION: &str = "tidegate_session";

/// The cookie that tells that somebody has logged in with this browser before. It opens nothing.
const BROWSER: &str = "tidegate_browser";

/// What a cookie's name begins with where the page was reached by HTTPS. A browser takes such a cookie from this very host
/// alone, so that nobody who has another host of the domain can slip one in.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc6265#section-8.6>, and `__Host-` in its successor, rfc6265bis.
const OF_THIS_HOST: &str = "__Host-";

const SECONDS_OF_A_DAY: i64 = 24 * 3600;

/// What a token is hashed with to make a form's token of it.
const CSRF_PURPOSE: &[u8] = b"tidegate dashboard form token\0";

/// The header in which scripts send the form's token.
const CSRF_HEADER: &str = "x-csrf-token";

/// The longest address to come back to after a login, in bytes.
const MAX_NEXT_BYTES: usize = 2048;

/// Somebody who is logged in.
#[derive(Clone)]
pub(crate) struct Visitor {
    pub actor: Actor,
    /// What their forms must carry: a hash of the session, which only pages that were sent to it hold.
    pub csrf: String,
    /// The holds on everybody that stand now, of which every page tells.
    pub holds: Vec<Policy>,
    /// Whether a page of ours led here, so that the address may say what was just done.
    pub is_from_here: bool,
}

impl Visitor {
    /// The visitor whose cookie these headers carry.
    pub(crate) fn of(app: &AppState, headers: &HeaderMap) -> Option<Self> {
        let token = token(headers)?;
        let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok());
        let actor = app
            .authenticator
            .actor(token, request_id.map(str::to_owned))
            .ok()?;
        Some(Self {
            actor,
            csrf: csrf(token),
            holds: app.policies.holds(),
            is_from_here: origin::is_from_here(headers),
        })
    }

    /// Whether a form's token is this session's.
    pub(crate) fn made(&self, token: &str) -> bool {
        self.csrf.as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// Whether a script of ours sent the form's token in a header.
    pub(crate) fn made_by_script(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        sent.is_some_and(|sent| self.made(sent))
    }
}

/// Somebody without a session is led to the login, and from there back to where they were.
impl FromRequestParts<Arc<AppState>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<AppState>) -> Result<Self, Response> {
        Self::of(app, &parts.headers).ok_or_else(|| {
            let next = page_of(&parts.method, &parts.uri);
            let query: String = form_urlencoded::Serializer::new(String::new())
                .append_pair("next", &next)
                .finish();
            Redirect::to(&format!("/login?{query}")).into_response()
        })
    }
}

/// Somebody who is logged in, for what scripts fetch: without a session, 401 and no redirection.
pub(crate) struct Listener;

impl FromRequestParts<Arc<AppState>> for Listener {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<AppState>) -> Result<Self, StatusCode> {
        let visitor = Visitor::of(app, &parts.headers);
        visitor.map(|_| Self).ok_or(StatusCode::UNAUTHORIZED)
    }
}

/// The page to come back to: the one that was asked for, or, for a form, the one that it stands on.
fn page_of(method: &Method, uri: &Uri) -> String {
    if method == Method::GET {
        return uri
            .path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string);
    }
    let path = uri.path();
    let verbs = ["/pause", "/resume", "/cancel", "/verify"];
    let page = verbs
        .iter()
        .find_map(|verb| path.strip_suffix(verb))
        .unwrap_or(path);
    page.to_owned()
}

/// An address of this site to go to after a login; anything else is the first page. Nothing was done on the way, so none
/// that says so.
pub(crate) fn local(next: &str) -> &str {
    let next = match next.split_once('?') {
        Some((path, query)) if query.split('&').any(|pair| pair.starts_with("done=")) => path,
        _ => next,
    };
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.starts_with("/\\");
    let is_plain = next.len() <= MAX_NEXT_BYTES && next.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path && is_plain { next } else { "/" }
}

fn token(headers: &HeaderMap) -> Option<&str> {
    find(headers, SESSION)
}

/// The token that an earlier login left in the browser.
pub(crate) fn browser(headers: &HeaderMap) -> Option<&str> {
    find(headers, BROWSER)
}

/// A cookie's value. One that a browser binds to this host goes before one that it does not.
fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = || {
        let cookies = headers.get_all(header::COOKIE).into_iter();
        cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
    };
    let bound = |(found, _): &(&str, &str)| found.strip_prefix(OF_THIS_HOST) == Some(name);
    let plain = |(found, _): &(&str, &str)| *found == name;
    let (_, value) = pairs().find(bound).or_else(|| pairs().find(plain))?;
    Some(value)
}

fn csrf(token: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(CSRF_PURPOSE);
    hasher.update(token);
    let mut hex = String::new();
    for byte in hasher.finalize() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// The cookie that begins a session.
pub(crate) fn begin(token: &str, seconds: i64, https: bool) -> HeaderValue {
    keep(SESSION, token, seconds, https)
}

/// The cookie by which the browser is known at the next login.
pub(crate) fn know_browser(token: &str, https: bool) -> HeaderValue {
    keep(BROWSER, token, BROWSER_DAYS * SECONDS_OF_A_DAY, https)
}

fn keep(name: &str, value: &str, seconds: i64, https: bool) -> HeaderValue {
    let (prefix, secure) = if https {
        (OF_THIS_HOST, "; Secure")
    } else {
        ("", "")
    };
    cookie(&format!(
        "{prefix}{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    ))
}

/// The cookies that end a session, under either name. The browser stays known.
pub(crate) fn end() -> [HeaderValue; 2] {
    [("", ""), (OF_THIS_HOST, "; Secure")].map(|(prefix, secure)| {
        cookie(&format!(
            "{prefix}{SESSION}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{secure}"
        ))
    })
}

/// Never printed by whoever prints headers.
fn cookie(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_nowhere_else() {
        for elsewhere in [
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "",
            "builds",
            "/a\nb",
        ] {
            assert_eq!(local(elsewhere), "/", "{elsewhere:?}");
        }
        assert_eq!(
            local("/builds/7?rollout=3&done=promoted"),
            "/builds/7",
            "nothing was done on the way"
        );
        assert_eq!(
            local("/builds?package=com.example.app"),
            "/builds?package=com.example.app"
        );
    }

    #[test]
    fn a_form_leads_back_to_its_page() {
        let page = |uri| page_of(&Method::POST, &Uri::from_static(uri));
        assert_eq!(page("/builds/4/pause"), "/builds/4");
        assert_eq!(page("/builds/4/promote"), "/builds/4/promote");
        assert_eq!(
            page_of(&Method::GET, &Uri::from_static("/audit?actor=olga")),
            "/audit?actor=olga"
        );
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=b; xtidegate_session=no"),
        );
        assert_eq!(token(&headers), None);
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("c=d; tidegate_session=yes"),
        );
        assert_eq!(token(&headers), Some("yes"));
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("__Host-tidegate_session=bound"),
        );
        assert_eq!(token(&headers), Some("bound"));
        assert_eq!(browser(&headers), None);
    }
}
