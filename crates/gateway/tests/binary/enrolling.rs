//! Enrolment tokens and imports at the console.

use serde_json::{Value, json};

use crate::program::{client, err, exited, out, run, serve};

const QR: [&str; 8] = [
    "admin",
    "--init",
    "enroll-token",
    "--qr",
    "--component",
    "com.example.agent/.Owner",
    "--apk-url",
    "https://downloads.example.com/agent.apk",
];

#[test]
fn the_code_of_a_fresh_phone_says_what_androids_setup_reads() {
    let folder = tempfile::tempdir().unwrap();
    let signer = ["--signer", &"ab".repeat(32)];
    let server = ["--server", "https://updates.example.com"];
    exited(&run(folder.path(), &QR), 2);
    let nowhere = run(folder.path(), &[&QR[..], &signer].concat());
    exited(&nowhere, 2);
    assert!(err(&nowhere).contains("public_url"), "{}", err(&nowhere));
    let plain = [&QR[..], &signer, &["--server", "http://updates.example.com"]].concat();
    exited(&run(folder.path(), &plain), 2);
    let alone = [
        "admin",
        "--init",
        "enroll-token",
        "--component",
        "com.example.agent/.Owner",
    ];
    exited(&run(folder.path(), &alone), 2);

    let shown = run(folder.path(), &[&QR[..], &signer, &server].concat());
    exited(&shown, 0);
    let shown = out(&shown);
    let lines: Vec<&str> = shown.lines().collect();
    let (said, drawn) = lines.split_last().unwrap();
    assert!(drawn.len() > 20 && drawn.iter().all(|line| line.chars().all(|c| " ▀▄█".contains(c))));
    let said: Value = serde_json::from_str(said).unwrap();
    let name = |what: &str| format!("android.app.extra.PROVISIONING_{what}");
    assert_eq!(
        said[name("DEVICE_ADMIN_SIGNATURE_CHECKSUM")],
        "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s"
    );
    assert_eq!(
        said[name("DEVICE_ADMIN_COMPONENT_NAME")],
        "com.example.agent/.Owner"
    );
    let extras = &said[name("ADMIN_EXTRAS_BUNDLE")];
    assert_eq!(extras["tidegate_server"], "https://updates.example.com");
    let token = extras["tidegate_enrollment_token"].as_str().unwrap();
    assert!(token.starts_with("tge1."), "{token}");
}

#[tokio::test]
async fn tokens_are_listed_and_revoked_at_the_console() {
    let folder = tempfile::tempdir().unwrap();
    let made = run(
        folder.path(),
        &[
            "admin",
            "--init",
            "enroll-token",
            "--uses",
            "3",
            "--note",
            "line 2",
            "--allow-known",
        ],
    );
    exited(&made, 0);
    let (_server, addr) = serve(folder.path());
    let token = out(&made).trim().to_owned();
    let enroll = async |id: &str| {
        let body = json!({ "enrollment_token": token, "device_id": id });
        let request = client()
            .post(format!("http://{addr}/v1/agent/enroll"))
            .json(&body);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(enroll("phone-1").await, 201);
    let list = run(folder.path(), &["admin", "enroll-tokens", "list"]);
    exited(&list, 0);
    let line = out(&list);
    for part in [
        "1 2 of 3 uses left, expires ",
        ", allows known devices, made ",
        " by console, line 2\n",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains(&token), "{line}");
    let revoked = run(folder.path(), &["admin", "enroll-tokens", "revoke", "1"]);
    exited(&revoked, 0);
    assert!(out(&revoked).contains(", revoked "), "{}", out(&revoked));
    assert_eq!(enroll("phone-2").await, 401);
    exited(&run(folder.path(), &["admin", "enroll-tokens", "revoke", "9"]), 1);
}

/// Of "old-token", as another server kept it.
const SHA256: &str = "9bdf10a691a1cfda89d9ff66629d1609ab176cec9b6a3146a8929f28937a9fce";

#[tokio::test]
async fn a_fleet_is_imported_beside_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("devices.jsonl");
    let good = json!({ "device_id": "till-1", "token_sha256": SHA256 });
    std::fs::write(&file, format!("{good}\n{{\"device_id\": \"a|b\"}}\n")).unwrap();
    let path = file.to_str().unwrap();
    exited(&run(folder.path(), &["import", "devices", path]), 2);

    let (_server, addr) = serve(folder.path());
    let dry = run(folder.path(), &["import", "devices", path, "--dry-run"]);
    exited(&dry, 1);
    let sums = "1 added, 0 updated, 0 in use already and left as they are, 1 not taken\n";
    assert_eq!(out(&dry), format!("dry run: {sums}"));
    assert!(err(&dry).starts_with("line 2: device_id "), "{}", err(&dry));
    let real = run(folder.path(), &["import", "devices", path]);
    exited(&real, 1);
    assert_eq!(out(&real), sums);

    let body =
        json!({ "device_id": "till-1", "previous_token": "old-token", "enrollment_key": "k".repeat(22) });
    let moved = client()
        .post(format!("http://{addr}/v1/agent/enroll"))
        .json(&body);
    let moved: Value = moved.send().await.unwrap().json().await.unwrap();
    let poll = format!(
        "http://{addr}/v1/agent/update?device_id=till-1&package_name=com.example.app&current_version_code=1"
    );
    let polled = client()
        .get(poll)
        .bearer_auth(moved["device_token"].as_str().unwrap());
    assert_eq!(polled.send().await.unwrap().status(), 304, "{moved}");

    let users = folder.path().join("users.jsonl");
    let user = json!({ "name": "ann", "role": "viewer", "password_bcrypt": BCRYPT });
    std::fs::write(&users, user.to_string()).unwrap();
    exited(
        &run(folder.path(), &["import", "users", users.to_str().unwrap()]),
        0,
    );
    let login = json!({ "name": "ann", "password": "correct horse" });
    let login = client().post(format!("http://{addr}/v1/auth/login")).json(&login);
    assert_eq!(login.send().await.unwrap().status(), 200);
    exited(&run(folder.path(), &["import", "devices", "no-such-file"]), 1);
}

/// Of "correct horse", as another server kept it.
const BCRYPT: &str = "$2b$04$T37bvSSHMNFM3.OggtCDEOvisCxuUY8PcACbgB5liVgfHenDH0hA2";
