//! The stylesheet, the scripts and the icon, embedded in the binary.
//!
//! They are served under a hash of them all, so that a browser may keep them for a year: whoever is shown a new
//! page is shown new addresses, and a script that imports another beside it gets the one that it was written with.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::AppState;

/// How many hex digits of the hash stand in the addresses.
const HASH_DIGITS: usize = 16;

const FOREVER: &str = "public, max-age=31536000, immutable";

struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! assets {
    ($($name:literal: $content_type:ident),+ $(,)?) => {
        &[$(Asset {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../assets/", $name)),
        }),+]
    };
}

const ASSETS: &[Asset] = assets! {
    "app.css": CSS,
    "app.js": JAVASCRIPT,
    "audit.js": JAVASCRIPT,
    "chart.js": JAVASCRIPT,
    "comfort.js": JAVASCRIPT,
    "devices.css": CSS,
    "devices.js": JAVASCRIPT,
    "dialogs.js": JAVASCRIPT,
    "foretell.js": JAVASCRIPT,
    "keep.js": JAVASCRIPT,
    "live.js": JAVASCRIPT,
    "login.js": JAVASCRIPT,
    "release.css": CSS,
    "settings.css": CSS,
    "share.js": JAVASCRIPT,
    "theme.js": JAVASCRIPT,
    "times.js": JAVASCRIPT,
    "upload.js": JAVASCRIPT,
    "icon.svg": SVG,
};

static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = Sha256::new();
    for asset in ASSETS {
        hasher.update(asset.name);
        hasher.update([0]);
        hasher.update(asset.bytes);
        hasher.update([0]);
    }
    let mut hex = String::new();
    for byte in hasher.finalize() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex.truncate(HASH_DIGITS);
    hex
});

/// The hash that the assets' addresses carry.
pub(crate) fn hash() -> &'static str {
    &HASH
}

pub(crate) fn routes() -> Router<Arc<AppState>> {
    Router::new().route("/assets/{hash}/{name}", get(asset))
}

async fn asset(Path((hash, name)): Path<(String, String)>) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // While replicas of two versions serve one fleet, a page may ask the other one: a style of yesterday is better
    // than none, as long as nobody keeps it.
    let cache = if hash == *HASH { FOREVER } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, cache),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, asset.bytes).into_response()
}
