//! The service account's file, as Google's console hands it out.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Error, TrustedUrl};

/// The largest file that is read; Google's have some 2,400 bytes.
pub const MAX_ACCOUNT_BYTES: usize = 64 * 1024;

/// The OAuth scope that messages need.
pub(crate) const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// How long an assertion is valid; Google accepts at most an hour.
pub(crate) const ASSERTION_SECONDS: i64 = 3600;

/// The longest project id that is taken. Google's have 6 to 30 letters.
const MAX_PROJECT_BYTES: usize = 64;

/// A service account that can sign in. Its `Debug` shows no key.
pub struct ServiceAccount {
    project_id: String,
    client_email: String,
    key_id: Option<String>,
    token_uri: TrustedUrl,
    key: RsaKeyPair,
}

/// The file. A field that Google does not write is refused as a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields that are in Google's file and of no use here")]
struct File {
    r#type: String,
    project_id: String,
    private_key_id: Option<String>,
    private_key: SecretString,
    client_email: String,
    client_id: Option<String>,
    auth_uri: Option<String>,
    #[serde(default = "google")]
    token_uri: String,
    auth_provider_x509_cert_url: Option<String>,
    client_x509_cert_url: Option<String>,
    universe_domain: Option<String>,
}

fn google() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

impl ServiceAccount {
    /// Reads the file's text.
    ///
    /// # Errors
    /// [`Error::Account`] that names the field at fault and repeats no secret; [`Error::Address`] for a `token_uri`
    /// that credentials must not be sent to.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let fault = |text: &str| Error::Account(text.to_owned());
        if text.len() > MAX_ACCOUNT_BYTES {
            return Err(fault("the file is larger than 64 KiB"));
        }
        // serde's message names fields and places; of values, it repeats only those of a wrong type.
        let file: File = serde_json::from_str(text).map_err(|error| {
            let place = (error.line(), error.column());
            Error::Account(format!("line {}, column {}: {}", place.0, place.1, shape(&error)))
        })?;
        if file.r#type != "service_account" {
            return Err(fault("type must be service_account"));
        }
        if !is_project(&file.project_id) {
            return Err(fault("project_id must be letters, digits, '-', '.' and ':'"));
        }
        if file.client_email.is_empty() || file.client_email.chars().any(char::is_control) {
            return Err(fault("client_email must be the account's address"));
        }
        Ok(Self {
            token_uri: TrustedUrl::parse("token_uri", &file.token_uri)?,
            key: key(&file.private_key)?,
            project_id: file.project_id,
            client_email: file.client_email,
            key_id: file.private_key_id,
        })
    }

    /// The Firebase project that messages are sent for.
    pub fn project_id(&self) -> &str {
        &self.project_id
    }

    pub(crate) fn token_uri(&self) -> &TrustedUrl {
        &self.token_uri
    }

    /// The signed claim that is exchanged for an access token (RFC 7523).
    pub(crate) fn assertion(&self, now: DateTime<Utc>) -> Result<SecretString, Error> {
        let header = Header {
            alg: "RS256",
            typ: "JWT",
            kid: self.key_id.as_deref(),
        };
        let claims = Claims {
            iss: &self.client_email,
            scope: SCOPE,
            aud: self.token_uri.as_str(),
            iat: now.timestamp(),
            exp: now.timestamp() + ASSERTION_SECONDS,
        };
        let signed = format!("{}.{}", part(&header)?, part(&claims)?);
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| Error::Account("private_key does not sign".to_owned()))?;
        Ok(SecretString::from(format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(signature)
        )))
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("project_id", &self.project_id)
            .field("client_email", &self.client_email)
            .field("token_uri", &self.token_uri)
            .finish_non_exhaustive()
    }
}

fn part(part: &impl Serialize) -> Result<String, Error> {
    let json = serde_json::to_vec(part).map_err(|fault| Error::Account(fault.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// It becomes part of a URL's path.
fn is_project(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':');
    (1..=MAX_PROJECT_BYTES).contains(&id.len()) && id.bytes().all(fits) && !id.starts_with('.')
}

/// What is wrong, without the value.
fn shape(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match error.classify() {
        serde_json::error::Category::Data if text.starts_with("invalid type") => {
            "a field has not the type that it should".to_owned()
        }
        serde_json::error::Category::Data => text.split(", expected").next().unwrap_or_default().to_owned(),
        _ => "this is not JSON".to_owned(),
    }
}

/// PKCS #8 in PEM (RFC 7468).
fn key(pem: &SecretString) -> Result<RsaKeyPair, Error> {
    let fault =
        || Error::Account("private_key must be an RSA key of 2,048 bits or more in PKCS #8 PEM".to_owned());
    let inner = pem
        .expose_secret()
        .trim()
        .strip_prefix("-----BEGIN PRIVATE KEY-----")
        .and_then(|rest| rest.strip_suffix("-----END PRIVATE KEY-----"))
        .ok_or_else(fault)?;
    let digits: Zeroizing<String> = Zeroizing::new(inner.split_ascii_whitespace().collect());
    let der = Zeroizing::new(STANDARD.decode(digits.as_bytes()).map_err(|_| fault())?);
    RsaKeyPair::from_pkcs8(&der).map_err(|_| fault())
}
