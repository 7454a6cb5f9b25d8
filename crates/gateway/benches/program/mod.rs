//! The finished program, started as an operator would, with a build that a tenth of the fleet is offered.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Client;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tidegate_testkit::apks;

pub(crate) const PACKAGE: &str = "com.example.poll";

/// How many devices the enrolment token lets in.
const DEVICES: &str = "100000";

/// The program. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin: String,
    pub(crate) enrollment: String,
    /// The build.
    pub(crate) build: Value,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// `core`: the processor's core that it is to keep to.
    pub(crate) async fn start(folder: &Path, settings: &[(&str, &str)], core: Option<&str>) -> Self {
        std::fs::create_dir(folder).expect("a folder");
        let address = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let child = pinned(folder, core)
            .arg("serve")
            .env("TIDEGATE_LISTEN", address.to_string())
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program");
        let ready = format!("http://{address}/readyz");
        while !reqwest::get(&ready)
            .await
            .is_ok_and(|answer| answer.status() == 200)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let admin = told(folder, &["token", "--subject", "bench", "--role", "operator"]);
        let enrollment = told(folder, &["enroll-token", "--uses", DEVICES]);
        let mut server = Self {
            child,
            address,
            admin,
            enrollment,
            build: Value::Null,
        };
        let apk = Part::bytes(apks::build(PACKAGE, 2)).file_name("app.apk");
        let upload = server
            .post("/v1/apk/upload")
            .multipart(Form::new().part("file", apk));
        server.build = answer(upload).await["build_id"].clone();
        let promote = server.post(&format!("/v1/apk/{}/promote", server.build));
        answer(promote.json(&json!({ "rollout_percent": 10 }))).await;
        server
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        let request = Client::new().post(format!("http://{}{path}", self.address));
        request.bearer_auth(&self.admin)
    }

    /// A new device's token.
    pub(crate) async fn device(&self, device: &str) -> String {
        let order = json!({ "enrollment_token": self.enrollment, "device_id": device });
        let enrolled = answer(self.post("/v1/agent/enroll").json(&order)).await;
        enrolled["device_token"].as_str().expect("a token").to_owned()
    }

    /// A new device's poll.
    pub(crate) async fn poll(&self, device: &str) -> String {
        let token = self.device(device).await;
        format!(
            "GET /v1/agent/update?device_id={device}&current_version_code=1&package_name={PACKAGE}&sdk=34 HTTP/1.1\r\n\
             Host: tidegate\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
    }
}

/// The program, on one core where it is to keep to one.
fn pinned(folder: &Path, core: Option<&str>) -> Command {
    let program = program(folder);
    let Some(core) = core else { return program };
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program.get_program());
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

/// What a command of `tidegate admin` prints.
fn told(folder: &Path, command: &[&str]) -> String {
    let output = program(folder)
        .arg("admin")
        .args(command)
        .output()
        .expect("the program");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .expect("a text")
        .trim()
        .to_owned()
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.expect("an answer");
    let answer = answer.error_for_status().expect("a good answer");
    answer.json().await.expect("JSON")
}
