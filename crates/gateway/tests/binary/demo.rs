//! The demo starts from nothing, and goes on from where it was.

use serde_json::{Value, json};
use tidegate_testkit::server::eventually;

use crate::program::{Running, client, tidegate};

#[test]
fn it_starts_from_nothing_and_again_on_what_it_left() {
    let folder = tempfile::tempdir().unwrap();
    for new in [12, 0] {
        let mut command = tidegate(folder.path());
        command.args(["demo", "--listen", "127.0.0.1:0", "--devices", "12"]);
        let demo = Running::start(command);
        demo.line("Tidegate runs at http://127.0.0.1:");
        demo.line(&format!("12 devices are enrolled, {new} of them new"));
        // The devices have taken the first build over HTTP before the second is released, in whichever of the runs.
        demo.line(if new > 0 {
            "releasing 1.0.0 to 100 %"
        } else {
            "releasing 1.1.0 to 10 %"
        });
        demo.signal("INT");
        demo.line("stopping");
        assert_eq!(demo.wait().code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nudge_wakes_its_devices() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tidegate(folder.path());
    command.args(["demo", "--listen", "127.0.0.1:0", "--devices", "12"]);
    let demo = Running::start(command);
    let line = demo.line("Tidegate runs at ");
    let base = line.trim_start_matches("Tidegate runs at ").to_owned();
    let line = demo.line("login ");
    let (_, password) = line.rsplit_once("password ").unwrap();
    demo.line("12 devices are enrolled");

    let http = client();
    let login = http
        .post(format!("{base}/v1/auth/login"))
        .json(&json!({ "name": "demo", "password": password }));
    let answer: Value = login.send().await.unwrap().json().await.unwrap();
    let token = answer["token"].as_str().unwrap();
    let nudge = http.post(format!("{base}/v1/apk/nudge-update")).json(&json!({}));
    let answer: Value = nudge
        .bearer_auth(token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(answer["total_devices"], 12, "{answer}");

    // Each has believed the command, asked the server, and told what came of it.
    let progress = || async {
        let campaign = http.get(format!("{base}/v1/nudges/1")).bearer_auth(token);
        let campaign: Value = campaign.send().await.unwrap().json().await.unwrap();
        campaign["progress"].clone()
    };
    eventually(progress, |progress: &Value| {
        progress["acknowledged"] == 12 && progress["polled"] == 12
    })
    .await;
}
