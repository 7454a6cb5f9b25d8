//! Operators' tokens: JSON Web Tokens ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)) signed with HS256.
//!
//! The header is not read but compared with the only one that we write. What attacks on JWT checks have in common
//! (`"alg":"none"`, a public key taken for an HMAC key, a `kid` or `jku` that points at the attacker's key) is
//! that the token chooses how it is checked; here it has no choice
//! ([RFC 8725](https://www.rfc-editor.org/rfc/rfc8725), section 3.1).

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tidegate_domain::Role;

use crate::mac::{tag_from_text, to_text};
use crate::master_key::fill;
use crate::{Error, KeyRing, TokenError};

/// `{"alg":"HS256","typ":"JWT"}`
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
const ISSUER: &str = "tidegate";
const TOKEN_ID_BYTES: usize = 16;

/// By how much a replica's clock may run behind that of the one which issued the token. The end has no leeway.
const CLOCK_LEEWAY: TimeDelta = TimeDelta::seconds(60);

/// The longest operator's token, in bytes. A longer text is refused before it is looked at.
pub const MAX_ADMIN_TOKEN_BYTES: usize = 1024;

/// The longest subject, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 128;

/// The longest life of an operator's token, in days. Whoever forgets to revoke one is not to meet it years later.
pub const MAX_ADMIN_TTL_DAYS: i64 = 366;

/// What an operator's token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminClaims {
    /// Who: a person's or a pipeline's name, as it stands in the audit log.
    pub subject: String,
    /// What they may do.
    pub role: Role,
    /// When the token was made.
    pub issued_at: DateTime<Utc>,
    /// The first moment at which it holds no more.
    pub expires_at: DateTime<Utc>,
    /// The token's own name, by which it is ended and listed: 128 random bits.
    pub token_id: String,
    /// The generation of the subject's tokens; `None` for a token of before there were any, which counts as 1.
    pub generation: Option<u32>,
}

/// An operator's token that was just made.
#[derive(Debug)]
pub struct IssuedAdminToken {
    /// The token.
    pub token: SecretString,
    /// What it says.
    pub claims: AdminClaims,
}

/// The claims as they travel. An unknown one is refused: it might be a restriction that we would overlook.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    iss: String,
    sub: String,
    role: String,
    iat: i64,
    exp: i64,
    jti: String,
    /// Left out by versions that did not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r#gen: Option<u32>,
}

impl KeyRing {
    /// Makes an operator's token that holds for `ttl` from now on, of the subject's first generation.
    ///
    /// # Errors
    /// As [`KeyRing::issue_admin_token`].
    pub fn admin_token(
        &self,
        subject: &str,
        role: Role,
        ttl: TimeDelta,
        now: DateTime<Utc>,
    ) -> Result<SecretString, Error> {
        Ok(self.issue_admin_token(subject, role, 1, ttl, now)?.token)
    }

    /// Makes an operator's token that holds for `ttl` from now on, while tokens of this generation of the subject are
    /// accepted.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a subject that is empty, longer than [`MAX_SUBJECT_BYTES`] or has control
    /// characters, and for a `ttl` below a second or above [`MAX_ADMIN_TTL_DAYS`]; [`Error::NoRandomness`].
    pub fn issue_admin_token(
        &self,
        subject: &str,
        role: Role,
        generation: u32,
        ttl: TimeDelta,
        now: DateTime<Utc>,
    ) -> Result<IssuedAdminToken, Error> {
        check_subject(subject)?;
        if ttl < TimeDelta::seconds(1) || ttl > TimeDelta::days(MAX_ADMIN_TTL_DAYS) {
            let fault = format!("must be from one second to {MAX_ADMIN_TTL_DAYS} days");
            return Err(Error::invalid("ttl", fault));
        }
        let mut token_id = [0; TOKEN_ID_BYTES];
        fill(&mut token_id)?;
        let payload = Payload {
            iss: ISSUER.to_owned(),
            sub: subject.to_owned(),
            role: role.to_string(),
            iat: now.timestamp(),
            exp: now.timestamp() + ttl.num_seconds(),
            jti: to_text(&token_id),
            r#gen: Some(generation),
        };
        let json =
            serde_json::to_vec(&payload).map_err(|fault| Error::invalid("subject", fault.to_string()))?;
        let signed = format!("{HEADER}.{}", to_text(&json));
        let tag = self.primary.admin_jwt.tag(&[signed.as_bytes()]);
        let claims = claims(payload).ok_or_else(|| Error::invalid("ttl", "ends beyond all calendars"))?;
        Ok(IssuedAdminToken {
            token: SecretString::from(format!("{signed}.{}", to_text(&tag))),
            claims,
        })
    }

    /// Checks an operator's token.
    ///
    /// # Errors
    /// [`TokenError`]: `Malformed` for what is no such token or was signed with other claims than ours, `Forged`
    /// for another header or signature than ours, `Expired` and `NotYetValid` for one that is ours out of its time.
    pub fn verify_admin_token(&self, token: &str, now: DateTime<Utc>) -> Result<AdminClaims, TokenError> {
        if token.len() > MAX_ADMIN_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let (signed, tag) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if header != HEADER {
            return Err(TokenError::Forged);
        }
        let tag = tag_from_text(tag).ok_or(TokenError::Malformed)?;
        if !self.any(|keys| keys.admin_jwt.verify(&[signed.as_bytes()], &tag)) {
            return Err(TokenError::Forged);
        }
        let claims = read(payload).ok_or(TokenError::Malformed)?;
        if now >= claims.expires_at {
            return Err(TokenError::Expired);
        }
        if claims.issued_at > now + CLOCK_LEEWAY {
            return Err(TokenError::NotYetValid);
        }
        Ok(claims)
    }
}

fn read(payload: &str) -> Option<AdminClaims> {
    let json = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let payload: Payload = serde_json::from_slice(&json).ok()?;
    if payload.iss != ISSUER {
        return None;
    }
    claims(payload)
}

fn claims(payload: Payload) -> Option<AdminClaims> {
    Some(AdminClaims {
        role: Role::from_str(&payload.role).ok()?,
        issued_at: DateTime::from_timestamp(payload.iat, 0)?,
        expires_at: DateTime::from_timestamp(payload.exp, 0)?,
        subject: payload.sub,
        token_id: payload.jti,
        generation: payload.r#gen,
    })
}

fn check_subject(subject: &str) -> Result<(), Error> {
    let fault = if subject.is_empty() {
        "must not be empty"
    } else if subject.len() > MAX_SUBJECT_BYTES {
        "is longer than 128 bytes"
    } else if subject.chars().any(char::is_control) {
        "must not contain control characters"
    } else {
        return Ok(());
    };
    Err(Error::invalid("subject", fault))
}
