//! Signing in: an assertion for an access token.

#![allow(
    clippy::disallowed_methods,
    reason = "it stands for a service of the real world"
)]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{TimeDelta, Utc};
use serde::Deserialize;
use serde_json::json;

use super::server::Reply;
use super::{CLIENT_EMAIL, Shared};
use crate::account::{ASSERTION_SECONDS, SCOPE};

/// How far the sender's clock may be ahead, in seconds.
const LEEWAY: i64 = 30;

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    scope: String,
    aud: String,
    iat: i64,
    exp: i64,
}

pub(super) fn sign_in(shared: &Shared, body: &[u8]) -> Reply {
    let scripted = shared.state().sign_in_fault.clone();
    if let Some((status, code)) = scripted {
        return refuse(shared, status, &code, "by script");
    }
    match check(shared, body) {
        Ok(()) => grant(shared),
        Err((code, why)) => refuse(shared, 400, code, why),
    }
}

fn check(shared: &Shared, body: &[u8]) -> Result<(), (&'static str, &'static str)> {
    let field = |name: &str| {
        let mut pairs = form_urlencoded::parse(body);
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    if field("grant_type").as_deref() != Some("urn:ietf:params:oauth:grant-type:jwt-bearer") {
        return Err(("unsupported_grant_type", "Invalid grant_type"));
    }
    let assertion = field("assertion").unwrap_or_default();
    let claims = verified(shared, &assertion).ok_or(("invalid_grant", "Invalid JWT Signature."))?;
    let now = Utc::now().timestamp();
    if claims.iss != CLIENT_EMAIL {
        return Err(("invalid_grant", "Invalid grant: account not found"));
    }
    if claims.scope != SCOPE {
        return Err(("invalid_scope", "Invalid OAuth scope"));
    }
    if claims.aud != shared.token_uri() {
        return Err(("invalid_grant", "Invalid JWT: audience"));
    }
    let in_time =
        claims.iat <= now + LEEWAY && claims.exp > now && claims.exp - claims.iat <= ASSERTION_SECONDS;
    if !in_time {
        return Err(("invalid_grant", "Invalid JWT: check your iat and exp values"));
    }
    Ok(())
}

fn verified(shared: &Shared, assertion: &str) -> Option<Claims> {
    let (signed, signature) = assertion.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
    let genuine = header.alg == "RS256" && shared.key.verifies(signed.as_bytes(), &decode(signature)?);
    genuine.then(|| serde_json::from_slice(&decode(claims)?).ok())?
}

fn grant(shared: &Shared) -> Reply {
    let mut state = shared.state();
    state.issued += 1;
    state.counts.sign_ins += 1;
    let token = format!("stand-in-access-{}-{:016x}", state.issued, rand::random::<u64>());
    let life = state.token_life;
    let now = Utc::now();
    let end = now + TimeDelta::from_std(life).unwrap_or_default();
    // Expired tokens go, so that the map stays small.
    state.access.retain(|_, end| *end > now.timestamp());
    state.access.insert(token.clone(), end.timestamp());
    let body = json!({"access_token": token, "expires_in": life.as_secs(), "token_type": "Bearer"});
    Reply::json(200, &body)
}

fn refuse(shared: &Shared, status: u16, code: &str, why: &str) -> Reply {
    shared.state().counts.refused_sign_ins += 1;
    Reply::json(status, &json!({"error": code, "error_description": why}))
}
