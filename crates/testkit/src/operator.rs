//! A person or a machine with an admin token, over REST.

use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::answer::Answer;

/// A person or a machine with an admin token.
#[derive(Clone, Debug)]
pub struct Operator {
    pub(crate) http: Client,
    pub(crate) base: String,
    pub(crate) token: String,
}

impl Operator {
    /// The admin token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The same person at another server, or with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// A request with the token, to be filled and sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token)
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::POST, path).json(body)).await
    }

    /// POST with whatever bytes as a JSON body.
    pub async fn post_text(&self, path: &str, body: &str) -> Answer {
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/json");
        Answer::to(request.body(body.to_owned())).await
    }

    /// Uploads a file.
    pub async fn upload(&self, apk: &[u8]) -> Answer {
        self.upload_form(Form::new().part("file", Part::bytes(apk.to_vec()).file_name("app.apk")))
            .await
    }

    /// Uploads a form of one's own making.
    pub async fn upload_form(&self, form: Form) -> Answer {
        Answer::to(self.request(Method::POST, "/v1/apk/upload").multipart(form)).await
    }

    /// Uploads a file that must be taken in: the build's id.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn uploaded(&self, apk: &[u8]) -> i64 {
        let build = self.upload(apk).await.ok();
        build["build_id"].as_i64().expect("a build has an id")
    }

    /// Releases a build to a share of the fleet.
    pub async fn promote(&self, build: i64, percent: i64) -> Answer {
        self.promote_as(build, &json!({ "rollout_percent": percent }))
            .await
    }

    /// Releases a build on settings of one's own.
    pub async fn promote_as(&self, build: i64, settings: &Value) -> Answer {
        self.post(&format!("/v1/apk/{build}/promote"), settings).await
    }

    /// Changes the share.
    pub async fn adjust(&self, build: i64, percent: i64) -> Answer {
        self.post(
            &format!("/v1/apk/{build}/rollout"),
            &json!({ "rollout_percent": percent }),
        )
        .await
    }

    /// Holds a rollout.
    pub async fn pause(&self, build: i64) -> Answer {
        self.post_text(&format!("/v1/apk/{build}/pause"), "").await
    }

    /// Goes on with it.
    pub async fn resume(&self, build: i64) -> Answer {
        self.post_text(&format!("/v1/apk/{build}/resume"), "").await
    }

    /// Takes a package's current build back.
    pub async fn roll_back(&self, package: &str, force_downgrade: bool) -> Answer {
        let body = json!({ "package_name": package, "force_downgrade": force_downgrade });
        self.post("/v1/apk/rollback", &body).await
    }

    /// One build.
    pub async fn build(&self, build: i64) -> Answer {
        self.get(&format!("/v1/apk/{build}")).await
    }

    /// Builds, for a query such as `?page_size=2`.
    pub async fn builds(&self, query: &str) -> Answer {
        self.get(&format!("/v1/apk{query}")).await
    }

    /// Rollouts, for a query.
    pub async fn rollouts(&self, query: &str) -> Answer {
        self.get(&format!("/v1/rollouts{query}")).await
    }

    /// What became of a build.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn stats(&self, build: i64) -> Value {
        self.get(&format!("/v1/apk/{build}/deployment-stats?hours=24"))
            .await
            .ok()
    }

    /// The audit log, newest first, for a query.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn audit(&self, query: &str) -> Vec<Value> {
        let log = self.get(&format!("/v1/audit{query}")).await.ok();
        log["items"].as_array().cloned().unwrap_or_default()
    }

    /// Whether the audit log's chain holds.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn audit_is_intact(&self) -> bool {
        self.get("/v1/audit/verify").await.ok()["intact"] == true
    }

    /// Devices, for a query.
    pub async fn devices(&self, query: &str) -> Answer {
        self.get(&format!("/v1/devices{query}")).await
    }

    /// One device.
    pub async fn device(&self, id: &str) -> Answer {
        self.get(&format!("/v1/devices/{id}")).await
    }

    /// Why a device is offered what it is offered.
    pub async fn explain(&self, device: &str, package: &str, version: i64) -> Answer {
        let query = format!("package_name={package}&current_version_code={version}");
        self.get(&format!("/v1/devices/{device}/explain?{query}")).await
    }

    /// Shuts a device out.
    pub async fn revoke(&self, device: &str) -> Answer {
        self.post_text(&format!("/v1/devices/{device}/revoke"), "").await
    }

    /// Takes a device out of the fleet.
    pub async fn retire(&self, device: &str) -> Answer {
        self.post_text(&format!("/v1/devices/{device}/retire"), "").await
    }

    /// Erases a device.
    pub async fn erase(&self, device: &str) -> Answer {
        let confirmation = json!({ "confirm": device });
        self.post(&format!("/v1/devices/{device}/erase"), &confirmation)
            .await
    }

    /// Deletes a build.
    pub async fn delete_build(&self, build: i64) -> Answer {
        self.post_text(&format!("/v1/apk/{build}/delete"), "").await
    }

    /// A token with which so many devices enrol.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn enroll_token(&self, uses: i64) -> String {
        self.enroll_token_as(&json!({ "uses": uses })).await
    }

    /// A token with which devices enrol, asked for in these words.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn enroll_token_as(&self, words: &Value) -> String {
        let token = self.post("/v1/enrollment-tokens", words).await.ok();
        token["enrollment_token"]
            .as_str()
            .expect("a token is text")
            .to_owned()
    }

    /// All that operators can change, to be compared with what it was before: builds, rollouts, packages and the
    /// audit log.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn everything(&self) -> Value {
        let lists = ["/v1/apk", "/v1/rollouts", "/v1/packages", "/v1/audit"];
        let mut all = vec![];
        for list in lists {
            all.push(self.get(&format!("{list}?page_size=500")).await.ok());
        }
        Value::Array(all)
    }
}
