//! A device, over REST.

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::apks::PACKAGE;

/// An enrolled device.
#[derive(Clone, Debug)]
pub struct Agent {
    pub(crate) http: Client,
    pub(crate) base: String,
    /// Its id.
    pub id: String,
    /// Its token.
    pub token: String,
    /// What it was given when it enrolled.
    pub enrollment: Value,
}

/// The answer to a poll.
#[derive(Clone, Debug)]
pub struct Polled {
    /// What is offered.
    pub manifest: Option<Value>,
    /// Why nothing is.
    pub reason: Option<String>,
    /// Seconds until the next poll.
    pub poll_after: u64,
}

impl Polled {
    /// The build that is offered.
    pub fn build(&self) -> Option<i64> {
        self.manifest
            .as_ref()
            .and_then(|manifest| manifest["build_id"].as_i64())
    }

    /// The reason for offering nothing; empty when something is offered.
    pub fn why_not(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }
}

impl Agent {
    /// A request with the device's token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token)
    }

    /// The same device at another address of the same fleet.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self {
            base: base.to_owned(),
            ..self.clone()
        }
    }

    /// Polls for [`PACKAGE`] with a version, and must be answered.
    ///
    /// # Panics
    /// When it is refused, or the answer lacks what every answer has.
    pub async fn poll(&self, version: i64) -> Polled {
        self.poll_as(PACKAGE, version, "").await
    }

    /// Polls with further parameters, such as `&sdk=34`.
    ///
    /// # Panics
    /// As [`Agent::poll`].
    pub async fn poll_as(&self, package: &str, version: i64, more: &str) -> Polled {
        let answer = self.ask(package, version, more).await;
        let poll_after = answer
            .header("tidegate-poll-after")
            .parse()
            .expect("poll-after is a number");
        let reason = Some(answer.header("tidegate-reason").to_owned()).filter(|reason| !reason.is_empty());
        match answer.status {
            200 => {
                assert_eq!(reason, None);
                Polled {
                    manifest: Some(answer.json()),
                    reason,
                    poll_after,
                }
            }
            304 => {
                assert!(answer.body.is_empty() && reason.is_some(), "{answer:?}");
                Polled {
                    manifest: None,
                    reason,
                    poll_after,
                }
            }
            other => panic!(
                "a poll was answered with {other}: {:?}",
                String::from_utf8_lossy(&answer.body)
            ),
        }
    }

    /// Polls, whatever comes back.
    pub async fn ask(&self, package: &str, version: i64, more: &str) -> Answer {
        let query = format!(
            "device_id={}&current_version_code={version}&package_name={package}{more}",
            self.id
        );
        Answer::to(self.request(Method::GET, &format!("/v1/agent/update?{query}"))).await
    }

    /// Fetches what a manifest offers, in whole or the part that a `Range` names. Sends no token: the URL is enough.
    pub async fn download(&self, manifest: &Value, range: Option<&str>) -> Answer {
        let request = self.http.get(download_url(manifest));
        Answer::to(match range {
            Some(range) => request.header("range", range),
            None => request,
        })
        .await
    }

    /// Reports on a build.
    pub async fn report(&self, build: i64, status: &str) -> Answer {
        self.report_as(&json!({ "build_id": build, "status": status }))
            .await
    }

    /// Reports in one's own words.
    pub async fn report_as(&self, report: &Value) -> Answer {
        Answer::to(self.request(Method::POST, "/v1/agent/report").json(report)).await
    }

    /// Tells where it can be nudged.
    pub async fn set_fcm_token(&self, token: &str) -> Answer {
        let body = json!({ "fcm_token": token });
        Answer::to(self.request(Method::PUT, "/v1/agent/fcm-token").json(&body)).await
    }
}

/// Where a manifest sends its device.
///
/// # Panics
/// When it sends it nowhere.
pub fn download_url(manifest: &Value) -> &str {
    manifest["download_url"]
        .as_str()
        .expect("a manifest has a download_url")
}
