//! The demo starts from nothing, and goes on from where it was.

use serde_json::{Value, json};
use tidegate_testkit::server::eventually;

use crate::program::{Running, client, tidegate};

/// Waits for the devices, and logs in as the demo says. Its address and a token.
async fn log_in(demo: &Running, devices: u32) -> (String, String) {
    let line = demo.line("Tidegate runs at ");
    let base = line.trim_start_matches("Tidegate runs at ").to_owned();
    demo.line(&format!("{devices} devices are enrolled"));
    let line = demo.line("login ");
    let (_, password) = line.rsplit_once("password ").unwrap();
    let login = client()
        .post(format!("{base}/v1/auth/login"))
        .json(&json!({ "name": "demo", "password": password }));
    let answer: Value = login.send().await.unwrap().json().await.unwrap();
    (base, answer["token"].as_str().unwrap().to_owned())
}

#[test]
fn it_starts_from_nothing_and_again_on_what_it_left() {
    let folder = tempfile::tempdir().unwrap();
    for new in [12, 0] {
        let mut command = tidegate(folder.path());
        command.args(["demo", "--listen", "127.0.0.1:0", "--devices", "12"]);
        let demo = Running::start(command);
        demo.line("Tidegate runs at http://127.0.0.1:");
        demo.line(&format!("12 devices are enrolled, {new} of them new"));
        demo.line("Your turn: open http://127.0.0.1:");
        // The devices have taken the first build over HTTP before the second is released, in whichever of the runs.
        demo.line(if new > 0 {
            "tidepool 1.0.0 active"
        } else {
            "tidepool 1.1.0 step 1 of 4"
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
    let (base, token) = log_in(&demo, 12).await;
    let http = client();
    let nudge = http.post(format!("{base}/v1/apk/nudge-update")).json(&json!({}));
    let answer: Value = nudge
        .bearer_auth(&token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(answer["total_devices"], 12, "{answer}");

    // Each has believed the command, asked the server, and told what came of it.
    let progress = || async {
        let campaign = http.get(format!("{base}/v1/nudges/1")).bearer_auth(&token);
        let campaign: Value = campaign.send().await.unwrap().json().await.unwrap();
        campaign["progress"].clone()
    };
    eventually(progress, |progress: &Value| {
        progress["acknowledged"] == 12 && progress["polled"] == 12
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_goes_on_by_itself_and_the_bad_build_is_halted_by_its_gate_and_left_to_a_person() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tidegate(folder.path());
    command.args(["demo", "--listen", "127.0.0.1:0", "--devices", "240"]);
    let demo = Running::start(command);
    let (base, token) = log_in(&demo, 240).await;
    demo.line("kiosk 3.1.0 HALTED by its gate");
    demo.line("tidepool 1.1.0 step 2 of 4");

    let get = async |path: &str| -> Value {
        let asked = client().get(format!("{base}{path}")).bearer_auth(&token);
        asked.send().await.unwrap().json().await.unwrap()
    };
    let rollouts = get("/v1/rollouts?package_name=com.example.tidepool.kiosk").await;
    let bad = rollouts["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|rollout| rollout["is_current"] == true)
        .unwrap();
    assert_eq!(bad["state"], "halted", "{bad}");
    let timeline = get(&format!("/v1/rollouts/{}/timeline", bad["rollout_id"])).await;
    let events = timeline["events"].as_array().unwrap();
    assert_eq!(events[0]["actor"], "tidegate", "{timeline}");
    let why = events[0]["remark"].as_str().unwrap();
    assert!(why.contains("failed to install it"), "{why}");
    assert!(
        events.iter().all(|event| event["state"] != "rolled_back"),
        "the roll-back is the watcher's: {timeline}"
    );
}
