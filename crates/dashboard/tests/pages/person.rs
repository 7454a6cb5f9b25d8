//! Somebody with a browser that has no JavaScript.

use reqwest::{Client, Method, RequestBuilder};
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::server::TestServer;

/// The password of everybody here.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Somebody who is logged in.
pub(crate) struct Person {
    http: Client,
    base: String,
    pub(crate) cookie: String,
    /// The token of their forms.
    pub(crate) csrf: String,
}

impl Person {
    /// Adds somebody named after their role, and logs them in.
    pub(crate) async fn logged_in(server: &TestServer, role: Role) -> Self {
        server.add_user(role.as_str(), role, PASSWORD).await;
        Self::log_in(server, role.as_str()).await
    }

    pub(crate) async fn log_in(server: &TestServer, name: &str) -> Self {
        let answer = log_in(server, name, PASSWORD, "/").await;
        assert_eq!(answer.status, 303, "{}", text(&answer));
        Self::with_cookie(server, &answer).await
    }

    /// Somebody with the session that an answer begins.
    pub(crate) async fn with_cookie(server: &TestServer, answer: &Answer) -> Self {
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        let mut person = Self {
            http: server.http().clone(),
            base: server.admin_url(""),
            cookie,
            csrf: String::new(),
        };
        let page = person.page("/builds").await;
        person.csrf = between(&page, "name=\"csrf\" content=\"", "\"").to_owned();
        person
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .header("cookie", &self.cookie)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    /// A page that must be there.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", text(&answer));
        text(&answer)
    }

    /// Sends a form, with its token.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut fields = fields.to_vec();
        fields.push(("csrf", &self.csrf));
        Answer::to(self.request(Method::POST, path).form(&fields)).await
    }
}

pub(crate) async fn log_in(server: &TestServer, name: &str, password: &str, next: &str) -> Answer {
    let form = [("name", name), ("password", password), ("next", next)];
    Answer::to(server.http().post(server.admin_url("/login")).form(&form)).await
}

pub(crate) fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

pub(crate) fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(begin)
        .unwrap_or_else(|| panic!("no {begin} in {text}"));
    rest.split_once(end).unwrap().0
}
