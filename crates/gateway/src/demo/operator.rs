//! The operator's side of the demo: the same REST calls that the guide prints.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::Error;

/// How long any request of the demo may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// How many devices may enrol with the demo's token.
const FLEET_USES: u32 = 100_000;

/// How long an enrolment token holds: a year of the fleet's, which are more than two real hours. Each start asks for one.
const TOKEN_SECONDS: u32 = 365 * 24 * 3600;

/// Somebody who is logged in.
pub(super) struct Operator {
    http: Client,
    base: String,
    name: String,
    password: String,
    token: Mutex<String>,
}

/// A client that stays on this machine, whatever the environment says of proxies.
pub(super) fn client() -> Result<Client, Error> {
    let client = Client::builder().no_proxy().timeout(REQUEST_LIMIT).build();
    client.map_err(|fault| Error::Demo(fault.to_string()))
}

impl Operator {
    /// Logs in.
    pub(super) async fn log_in(base: &str, name: &str, password: &str) -> Result<Self, Error> {
        let operator = Self {
            http: client()?,
            base: base.to_owned(),
            name: name.to_owned(),
            password: password.to_owned(),
            token: Mutex::default(),
        };
        operator.renew().await?;
        Ok(operator)
    }

    async fn renew(&self) -> Result<(), Error> {
        let body = json!({ "name": self.name, "password": self.password });
        let request = self.http.post(format!("{}/v1/auth/login", self.base)).json(&body);
        let answer = answer("log in", request.send().await).await?;
        let token = answer["token"].as_str().unwrap_or_default().to_owned();
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
        Ok(())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(token)
    }

    async fn get(&self, path: &str) -> Result<Value, Error> {
        let mut response = self.request(Method::GET, path).send().await;
        // A login ends after some hours, the demo when somebody ends it.
        if response
            .as_ref()
            .is_ok_and(|response| response.status() == StatusCode::UNAUTHORIZED)
        {
            self.renew().await?;
            response = self.request(Method::GET, path).send().await;
        }
        answer(path, response).await
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, Error> {
        answer(path, self.request(Method::POST, path).json(&body).send().await).await
    }

    /// The items of a list that fits a page.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<Value>, Error> {
        Ok(items(self.get(path).await?))
    }

    /// All devices, page by page.
    pub(super) async fn devices(&self) -> Result<Vec<Value>, Error> {
        let (mut devices, mut token) = (Vec::new(), String::new());
        loop {
            let page = self
                .get(&format!("/v1/devices?page_size=500&page_token={token}"))
                .await?;
            token = page["next_page_token"].as_str().unwrap_or_default().to_owned();
            devices.extend(items(page));
            if token.is_empty() {
                return Ok(devices);
            }
        }
    }

    /// What became of a build.
    pub(super) async fn stats(&self, build: i64) -> Result<Value, Error> {
        self.get(&format!("/v1/apk/{build}/deployment-stats")).await
    }

    /// Uploads a build.
    pub(super) async fn upload(&self, apk: Vec<u8>, notes: &str) -> Result<(), Error> {
        let form = Form::new()
            .part("file", Part::bytes(apk).file_name("tidepool.apk"))
            .text("notes", notes.to_owned())
            .text("build_type", "release")
            .text("ci_run_id", "demo");
        let request = self.request(Method::POST, "/v1/apk/upload").multipart(form);
        answer("upload", request.send().await).await.map(drop)
    }

    /// Releases a build on these terms.
    pub(super) async fn promote(&self, build: i64, terms: Value) -> Result<(), Error> {
        self.post(&format!("/v1/apk/{build}/promote"), terms)
            .await
            .map(drop)
    }

    /// A token for the whole fleet.
    pub(super) async fn enrollment_token(&self) -> Result<String, Error> {
        // The phones of an earlier demo begin anew, under the ids that they had.
        let body = json!({
            "uses": FLEET_USES, "ttl_s": TOKEN_SECONDS, "note": "the demo's fleet", "allow_known": true,
        });
        let made = self.post("/v1/enrollment-tokens", body).await?;
        Ok(made["enrollment_token"].as_str().unwrap_or_default().to_owned())
    }
}

fn items(mut page: Value) -> Vec<Value> {
    match page["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// The body of a good answer, or what the server says is wrong.
async fn answer(what: &str, response: reqwest::Result<Response>) -> Result<Value, Error> {
    let fault = |fault: String| Error::Demo(format!("{what}: {fault}"));
    let response = response.map_err(|error| fault(error.to_string()))?;
    let status = response.status();
    let body: Value = response
        .json()
        .await
        .map_err(|error| fault(format!("{status}: {error}")))?;
    if status.is_success() {
        return Ok(body);
    }
    Err(fault(format!(
        "{status}: {}",
        body["detail"].as_str().unwrap_or_default()
    )))
}
