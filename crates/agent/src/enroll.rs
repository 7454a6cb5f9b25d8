//! Enrolling a device with a server.

use std::fmt;

use bytes::Bytes;
use serde::{Serialize, Serializer};
use tidegate_domain::DeviceId;
use tidegate_signing::{
    CommandKey, CommandKeys, ExposeSecret, SecretString, enrollment_key_hash, new_enrollment_key,
};

use crate::address::may_be_called;
use crate::config::ONLY_HTTPS;
use crate::protocol::{EnrollAnswer, EnrollBody};
use crate::{Error, Transport, exchange};

/// What a device tells about itself when it enrols. All of it may be left out.
#[derive(Clone, Default, Serialize)]
pub struct Enrollment {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// `Build.MODEL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `Build.MANUFACTURER`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    /// `Build.VERSION.SDK_INT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk: Option<u32>,
    /// `Build.VERSION.RELEASE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub android_version: Option<String>,
    /// Where it works, in the fleet's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The fleet's own labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Where Firebase reaches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fcm_token: Option<String>,
    /// The package that it will ask about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_name: Option<String>,
    /// The version of it that it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version_code: Option<i64>,
    /// By which the server knows this device when it enrols again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enrollment_key: Option<EnrollmentKey>,
    /// Lets the server be reached by plain HTTP, as [`crate::Config::allow_http`] does. Not sent.
    #[serde(skip)]
    pub allow_http: bool,
}

/// Without the push token and the key.
impl fmt::Debug for Enrollment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrollment")
            .field("alias", &self.alias)
            .field("model", &self.model)
            .field("package_name", &self.package_name)
            .field("current_version_code", &self.current_version_code)
            .finish_non_exhaustive()
    }
}

/// The secrets that a device gets when it enrols. Keep them where secrets are kept: in Android's key store, not in the
/// state file.
#[derive(Clone)]
pub struct Credentials {
    /// Proves to the server which device asks.
    pub device_token: SecretString,
    /// Prove to the device that a command is the server's.
    pub command_keys: CommandKeys,
    /// The protocol that the server named in the enrolment; `None` for credentials that were stored. It is no secret
    /// and need not be stored: the agent keeps it in its state.
    pub server_protocol: Option<u32>,
}

impl Credentials {
    /// Credentials that were stored as texts.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a token that no header can carry, or a key that is too short or too long.
    pub fn new(device_token: &str, primary: &str, rotation: Option<&str>) -> Result<Self, Error> {
        let key = |text: &str| {
            CommandKey::from_text(text).map_err(|fault| Error::invalid("command_keys", fault.to_string()))
        };
        if device_token.is_empty() || http::HeaderValue::from_str(device_token).is_err() {
            return Err(Error::invalid("device_token", "can't be carried by a header"));
        }
        Ok(Self {
            device_token: SecretString::from(device_token),
            command_keys: CommandKeys {
                primary: key(primary)?,
                rotation: rotation.map(key).transpose()?,
            },
            server_protocol: None,
        })
    }

    /// The value of the `Authorization` header, marked as sensitive so that it isn't printed.
    pub(crate) fn bearer(&self) -> http::HeaderValue {
        let text = format!("Bearer {}", self.device_token.expose_secret());
        let mut value =
            http::HeaderValue::from_str(&text).unwrap_or_else(|_| http::HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// A secret that a device draws once, before it enrols, and keeps: with it the same enrolment can be repeated, and by
/// nobody else. [`crate::FolderStore::enrollment_key`] keeps one beside the state; on Android, a place that the backup of
/// apps leaves out is right, so that no second phone gets it.
#[derive(Clone)]
pub struct EnrollmentKey(SecretString);

impl EnrollmentKey {
    /// Draws a key of 256 bits.
    ///
    /// # Errors
    /// [`Error::Storage`] when the system gives no random bytes.
    pub fn draw() -> Result<Self, Error> {
        let drawn = new_enrollment_key().map_err(std::io::Error::other)?;
        Ok(Self(drawn))
    }

    /// A key that was kept as a text.
    ///
    /// # Errors
    /// [`Error::Invalid`] for one that no server takes.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        enrollment_key_hash(text).map_err(|fault| Error::invalid("enrollment_key", fault.to_string()))?;
        Ok(Self(SecretString::from(text)))
    }

    /// The key as it is kept and sent.
    pub fn text(&self) -> &SecretString {
        &self.0
    }
}

impl fmt::Debug for EnrollmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrollmentKey(…)")
    }
}

impl Serialize for EnrollmentKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

/// Enrols a device with a server, such as `https://updates.example.com`. After a lost answer, call it again with the same
/// enrolment key: it gives the same credentials, also for a token that is for one use. A server that is too old to know
/// keys is asked without.
///
/// # Errors
/// [`Error::Refused`] with `401` for a token that is unknown, used up, revoked or expired, `409` for an id that is enrolled
/// and was not enrolled with this key, and `400` for a field that is malformed; [`Error::Invalid`] for a server by plain
/// HTTP; [`Error::Transport`], [`Error::Malformed`].
pub async fn enroll(
    transport: &impl Transport,
    server: &str,
    enrollment_token: &str,
    device: &DeviceId,
    enrollment: &Enrollment,
) -> Result<Credentials, Error> {
    let body = EnrollBody {
        enrollment_token: Some(enrollment_token),
        previous_token: None,
        device_id: device.as_str(),
        enrollment,
    };
    let enrolled = send(transport, server, &body).await;
    let is_bad_request = matches!(&enrolled, Err(Error::Refused { status: 400, .. }));
    if !is_bad_request || enrollment.enrollment_key.is_none() {
        return enrolled;
    }
    let without = Enrollment {
        enrollment_key: None,
        ..enrollment.clone()
    };
    let body = EnrollBody {
        enrollment: &without,
        ..body
    };
    send(transport, server, &body).await
}

/// Moves a device to a server that imported it from its previous one, by the token that it had there. The enrolment needs
/// an enrolment key: the server forgets the previous token with its first answer, so that only the key repeats a lost one.
///
/// # Errors
/// As [`enroll`]; [`Error::Refused`] with `401` for an id that was not imported, has moved already, or had another token,
/// and `429` when the server asks for patience; [`Error::Invalid`] without an enrolment key.
pub async fn enroll_with_previous_token(
    transport: &impl Transport,
    server: &str,
    previous_token: &SecretString,
    device: &DeviceId,
    enrollment: &Enrollment,
) -> Result<Credentials, Error> {
    if enrollment.enrollment_key.is_none() {
        return Err(Error::invalid("enrollment_key", "is needed to move"));
    }
    let body = EnrollBody {
        enrollment_token: None,
        previous_token: Some(previous_token.expose_secret()),
        device_id: device.as_str(),
        enrollment,
    };
    send(transport, server, &body).await
}

async fn send(transport: &impl Transport, server: &str, body: &EnrollBody<'_>) -> Result<Credentials, Error> {
    if !may_be_called(server, body.enrollment.allow_http) {
        return Err(Error::invalid("server", ONLY_HTTPS));
    }
    let url = format!("{}/v1/agent/enroll", server.trim_end_matches('/'));
    let body = serde_json::to_vec(body).map_err(|fault| Error::invalid("enrollment", fault.to_string()))?;
    let request = http::Request::post(url)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(body))
        .map_err(|fault| Error::invalid("server", fault.to_string()))?;
    let answer = exchange::ask(transport, request).await?.or_refused()?;
    let answer: EnrollAnswer = answer.json()?;
    let keys = &answer.command_keys;
    let credentials = Credentials::new(&answer.device_token, &keys.primary, keys.rotation.as_deref())?;
    Ok(Credentials {
        server_protocol: Some(answer.protocol),
        ..credentials
    })
}
