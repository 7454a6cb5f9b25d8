//! Enrolling a device with a server.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use tidegate_domain::DeviceId;
use tidegate_signing::{CommandKey, CommandKeys, ExposeSecret, SecretString};

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
    /// Lets the server be reached by plain HTTP, as [`crate::Config::allow_http`] does. Not sent.
    #[serde(skip)]
    pub allow_http: bool,
}

/// Without the push token.
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

/// Enrols a device with a server, such as `https://updates.example.com`. After a lost answer, call it again: it gives the
/// same credentials, also for a token that is for one use.
///
/// # Errors
/// [`Error::Refused`] with `401` for a token that is unknown, used up or expired and `400` for a field that is
/// malformed; [`Error::Invalid`] for a server by plain HTTP; [`Error::Transport`], [`Error::Malformed`].
pub async fn enroll(
    transport: &impl Transport,
    server: &str,
    enrollment_token: &str,
    device: &DeviceId,
    enrollment: &Enrollment,
) -> Result<Credentials, Error> {
    if !may_be_called(server, enrollment.allow_http) {
        return Err(Error::invalid("server", ONLY_HTTPS));
    }
    let body = EnrollBody {
        enrollment_token,
        device_id: device.as_str(),
        enrollment,
    };
    let url = format!("{}/v1/agent/enroll", server.trim_end_matches('/'));
    let body = serde_json::to_vec(&body).map_err(|fault| Error::invalid("enrollment", fault.to_string()))?;
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
