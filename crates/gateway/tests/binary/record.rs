//! Whoever writes the database behind the server's back is found, and a backup can be trusted.

use std::path::Path;
use std::process::{Command, Output};

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::program::{Running, client, err, exited, feed, out, run, run_with_input, serve, tidegate};

const PASSWORD: &str = "correct horse battery staple";

/// Does something to the database, as somebody with its file can.
fn tamper(folder: &Path, sql: &str) {
    const SCRIPT: &str = "
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1])
conn.executescript(sys.argv[2])
conn.commit()
";
    let file = folder.join("tidegate-data/tidegate.db");
    let done = Command::new("python3")
        .args(["-c", SCRIPT, file.to_str().unwrap(), sql])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", err(&done));
}

fn add_user(folder: &Path, name: &str) {
    let add = ["admin", "--init", "user", "add", name, "--role", "admin"];
    exited(&run_with_input(folder, &add, &format!("{PASSWORD}\n")), 0);
}

async fn log_in(addr: std::net::SocketAddr, name: &str) -> (u16, Value) {
    let body = json!({ "name": name, "password": PASSWORD });
    let login = client().post(format!("http://{addr}/v1/auth/login")).json(&body);
    let answer = login.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_user_who_was_inserted_cannot_log_in_and_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    add_user(folder.path(), "ann");
    // With a password hash that fits, which everybody can compute.
    let insert = "INSERT INTO users (name, role, password_hash, created_at, mac)
                  SELECT 'eve', 'admin', password_hash, created_at, mac FROM users WHERE name = 'ann';";
    tamper(folder.path(), insert);
    let (server, addr) = serve(folder.path());
    let (status, answer) = log_in(addr, "eve").await;
    assert_eq!(
        (status, &answer["code"]),
        (401, &json!("login_refused")),
        "{answer}"
    );
    let line: Value = serde_json::from_str(&server.line("ota.account.tampered")).unwrap();
    assert_eq!(line["account"], "user/eve");
    let (status, login) = log_in(addr, "ann").await;
    assert_eq!(status, 200, "{login}");

    let listed = out(&run(folder.path(), &["admin", "user", "list"]));
    assert!(
        listed.contains("eve admin, never logged in, TAMPERED WITH"),
        "{listed}"
    );
    let verified = run(folder.path(), &["audit", "verify"]);
    exited(&verified, 1);
    assert!(
        out(&verified).contains("user eve was changed behind the server's back"),
        "{}",
        out(&verified)
    );
    let answer = client()
        .get(format!("http://{addr}/v1/audit/verify"))
        .bearer_auth(login["token"].as_str().unwrap());
    let answer: Value = answer.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (&answer["intact"], &answer["tampered_users"]),
        (&json!(false), &json!(["eve"])),
        "{answer}"
    );
    exited(&run(folder.path(), &["admin", "user", "remove", "eve"]), 0);
    exited(&run(folder.path(), &["audit", "verify"]), 0);
}

/// Runs a server for a moment, with a witness, and ends it in an orderly manner.
fn serve_with_witness(folder: &Path, witness: &Path) {
    let mut command = tidegate(folder);
    command
        .arg("serve")
        .env("TIDEGATE_LISTEN", "127.0.0.1:0")
        .env("TIDEGATE_AUDIT_WITNESS", witness);
    let server = Running::start(command);
    server.line("ota.server.start");
    for name in ["bob", "cat"] {
        add_user(folder, name);
    }
    server.signal("TERM");
    let (status, all) = server.all();
    assert!(status.success(), "{all}");
}

#[test]
fn what_was_cut_off_or_begun_anew_contradicts_the_witness() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_user(folder, "ann");
    let witness = folder.join("witness.jsonl");
    serve_with_witness(folder, &witness);
    let verify = |folder: &Path| {
        run(
            folder,
            &["audit", "verify", "--witness", witness.to_str().unwrap()],
        )
    };
    let agreed = verify(folder);
    exited(&agreed, 0);
    assert!(
        out(&agreed)
            .contains("the chain is whole: 3 entries\nthe witness agrees: 2 heads, the last of entry 3"),
        "{}",
        out(&agreed)
    );
    let heads = std::fs::read_to_string(&witness).unwrap();
    let head: Value = serde_json::from_str(heads.lines().last().unwrap()).unwrap();
    let key = out(&run(folder, &["audit", "key"]));
    assert_eq!(
        (&head["seq"], head["public_key"].as_str()),
        (&json!(3), Some(key.trim()))
    );

    let elsewhere = run(
        folder,
        &["audit", "verify", "--witness", "/nowhere/witness.jsonl"],
    );
    exited(&elsewhere, 1);
    assert!(
        err(&elsewhere).contains("the witness can't be read: can't read /nowhere/witness.jsonl"),
        "{}",
        err(&elsewhere)
    );

    // A line that a crash cut off spoils nothing.
    std::fs::write(&witness, format!("{heads}{{\"seq\":4,")).unwrap();
    let noted = verify(folder);
    exited(&noted, 0);
    assert!(
        out(&noted).contains("1 lines of it are no head"),
        "{}",
        out(&noted)
    );

    tamper(
        folder,
        "DROP TRIGGER audit_log_no_delete; DELETE FROM audit_log WHERE seq = 3; DELETE FROM users WHERE name = 'cat';",
    );
    exited(&run(folder, &["audit", "verify"]), 0);
    let cut = verify(folder);
    exited(&cut, 1);
    assert!(
        out(&cut).contains("the witness knows entry 3, which is gone"),
        "{}",
        out(&cut)
    );
    // As long as before again, with an entry of its own.
    add_user(folder, "dan");
    let rewritten = verify(folder);
    exited(&rewritten, 1);
    assert!(
        out(&rewritten).contains("the witness knows another entry 3: the log was rewritten"),
        "{}",
        out(&rewritten)
    );
    tamper(folder, "UPDATE record SET bare_entries = 1;");
    let changed = run(folder, &["audit", "verify"]);
    exited(&changed, 2);
    assert!(
        err(&changed).contains("the record of the audit log was changed"),
        "{}",
        err(&changed)
    );
    tamper(folder, "DELETE FROM record; DELETE FROM record_keys;");
    let anew = verify(folder);
    exited(&anew, 1);
    assert!(
        out(&anew).contains("is not signed with the key of this log"),
        "{}",
        out(&anew)
    );
}

#[test]
fn the_past_is_verifiable_after_the_master_key_was_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let keys: Vec<String> = [1_u8, 2]
        .iter()
        .map(|key| {
            (0..32_u8)
                .map(|byte| format!("{:02x}", byte ^ (key << 5)))
                .collect()
        })
        .collect();
    let with = |master: usize, rotation: Option<usize>, arguments: &[&str]| -> Output {
        let mut command = tidegate(folder.path());
        command.args(arguments).env("TIDEGATE_MASTER_KEY", &keys[master]);
        if let Some(rotation) = rotation {
            command.env("TIDEGATE_ROTATION_KEY", &keys[rotation]);
        }
        feed(command, &format!("{PASSWORD}\n"))
    };
    exited(
        &with(
            0,
            None,
            &["admin", "--init", "user", "add", "ann", "--role", "admin"],
        ),
        0,
    );
    let key = out(&with(0, None, &["audit", "key"]));
    let closed = with(1, None, &["audit", "verify"]);
    exited(&closed, 2);
    assert!(
        err(&closed).contains("sealed with another master key") && err(&closed).contains("rotation_key"),
        "{}",
        err(&closed)
    );
    // Either way round, and then the new one alone.
    exited(&with(0, Some(1), &["audit", "verify"]), 0);
    exited(&with(1, Some(0), &["audit", "verify"]), 0);
    exited(
        &with(1, None, &["admin", "user", "add", "bob", "--role", "viewer"]),
        0,
    );
    let verified = with(1, None, &["audit", "verify"]);
    exited(&verified, 0);
    assert!(
        out(&verified).contains("the chain is whole: 2 entries"),
        "{}",
        out(&verified)
    );
    assert_eq!(out(&with(1, None, &["audit", "key"])), key);
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[cfg(unix)]
#[tokio::test]
async fn a_backup_is_made_beside_the_server_and_proven() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_user(folder, "ann");
    let (_server, addr) = serve(folder);
    let (_, login) = log_in(addr, "ann").await;
    let form = Form::new().part("file", Part::bytes(apks::build(PACKAGE, 1)).file_name("app.apk"));
    let upload = client()
        .post(format!("http://{addr}/v1/apk/upload"))
        .multipart(form);
    let upload = upload
        .bearer_auth(login["token"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    assert!(upload.status().is_success());

    let made = run(folder, &["backup", "backup"]);
    exited(&made, 0);
    let backup = folder.join("backup");
    for (path, expected) in [
        ("", 0o700),
        ("key", 0o700),
        ("tidegate.db", 0o600),
        ("blobs.jsonl", 0o600),
        ("backup.json", 0o600),
        ("key/master.key", 0o600),
    ] {
        assert_eq!(mode(&backup.join(path)), expected, "{path}");
    }
    let again = run(folder, &["backup", "backup"]);
    exited(&again, 1);
    assert!(err(&again).contains("the folder is not empty"), "{}", err(&again));

    let check = || run(folder, &["restore", "--check", "backup"]);
    let sound = check();
    exited(&sound, 0);
    let told = out(&sound);
    assert!(
        told.contains("the chain is whole: 3 entries")
            && told.contains("1 files are listed, 0 of them are missing")
            && told.ends_with("the backup is sound\n"),
        "{told}"
    );
    assert_eq!(
        std::fs::read_dir(&backup).unwrap().count(),
        4,
        "nothing was left beside it"
    );

    let elsewhere = tempfile::tempdir().unwrap();
    let no_store = run(
        elsewhere.path(),
        &["restore", "--check", backup.to_str().unwrap()],
    );
    exited(&no_store, 1);
    assert!(
        out(&no_store).contains("there is no artifact store at"),
        "{}{}",
        out(&no_store),
        err(&no_store)
    );
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0, "it only looks");

    // Its own key is taken out, as it should be, and the server's is used.
    std::fs::remove_dir_all(backup.join("key")).unwrap();
    exited(&check(), 0);

    let blobs = std::fs::read_to_string(backup.join("blobs.jsonl")).unwrap();
    std::fs::write(backup.join("blobs.jsonl"), "").unwrap();
    let cut = check();
    exited(&cut, 1);
    assert!(
        out(&cut).contains("1 files of builds are not in blobs.jsonl"),
        "{}",
        out(&cut)
    );
    std::fs::write(backup.join("blobs.jsonl"), blobs).unwrap();

    let files = folder.join("tidegate-data/artifacts/blobs");
    std::fs::rename(&files, folder.join("elsewhere")).unwrap();
    let missing = check();
    exited(&missing, 1);
    assert!(
        out(&missing).contains("is not in the artifact store"),
        "{}",
        out(&missing)
    );
    std::fs::rename(folder.join("elsewhere"), &files).unwrap();

    let mut bytes = std::fs::read(backup.join("tidegate.db")).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(backup.join("tidegate.db"), bytes).unwrap();
    let damaged = check();
    exited(&damaged, 1);
    assert!(
        out(&damaged).ends_with("the backup is NOT sound\n"),
        "{}",
        out(&damaged)
    );
}

#[tokio::test]
async fn after_a_restored_backup_people_log_in_again_and_devices_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_user(folder, "ann");
    let (server, addr) = serve(folder);
    exited(&run(folder, &["backup", "backup"]), 0);
    // What the backup does not know: somebody's token, and a device's.
    let made = run(folder, &["admin", "token", "--subject", "eve", "--role", "admin"]);
    let (eve, enroll) = (out(&made), run(folder, &["admin", "enroll-token"]));
    let (_, login) = log_in(addr, "ann").await;
    let ann = login["token"].as_str().unwrap();
    let body = json!({ "enrollment_token": out(&enroll).trim(), "device_id": "pixel-1" });
    let enrolled = client()
        .post(format!("http://{addr}/v1/agent/enroll"))
        .json(&body);
    let enrolled: Value = enrolled.send().await.unwrap().json().await.unwrap();
    server.signal("TERM");
    server.wait();

    let data = folder.join("tidegate-data");
    for file in ["tidegate.db", "tidegate.db-wal", "tidegate.db-shm"] {
        let _ = std::fs::remove_file(data.join(file));
    }
    std::fs::copy(folder.join("backup/tidegate.db"), data.join("tidegate.db")).unwrap();
    // Tokens are told apart by the second.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let restored = run(folder, &["admin", "restored"]);
    exited(&restored, 0);
    assert!(
        out(&restored).contains("repeat the revocations"),
        "{}",
        out(&restored)
    );

    let (_server, addr) = serve(folder);
    let ask = |path: &str, token: &str| {
        client()
            .get(format!("http://{addr}{path}"))
            .bearer_auth(token)
            .send()
    };
    for token in [ann, eve.trim()] {
        assert_eq!(ask("/v1/apk", token).await.unwrap().status(), 401);
    }
    let poll = "/v1/agent/update?device_id=pixel-1&package_name=com.example.app&current_version_code=1";
    let device = enrolled["device_token"].as_str().unwrap();
    assert_eq!(ask(poll, device).await.unwrap().status(), 304);
    let (status, login) = log_in(addr, "ann").await;
    assert_eq!(status, 200);
    let ann = login["token"].as_str().unwrap();
    assert_eq!(ask("/v1/apk", ann).await.unwrap().status(), 200);
    let audit = ask("/v1/audit?action=server.restored", ann).await.unwrap();
    let audit: Value = audit.json().await.unwrap();
    assert_eq!(audit["items"][0]["actor"], "console");
    the_page_asks_until_somebody_says_that_it_is_done(addr).await;
    exited(&run(folder, &["audit", "verify"]), 0);
}

async fn the_page_asks_until_somebody_says_that_it_is_done(addr: std::net::SocketAddr) {
    let browser = reqwest::Client::builder().no_proxy();
    let browser = browser
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let form = [("name", "ann"), ("password", PASSWORD), ("next", "/")];
    let login = browser
        .post(format!("http://{addr}/login"))
        .form(&form)
        .send()
        .await
        .unwrap();
    let cookie = login.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let page = || async {
        let page = browser.get(format!("http://{addr}/")).header("cookie", cookie);
        page.send().await.unwrap().text().await.unwrap()
    };
    let told = page().await;
    assert!(told.contains("repeat the revocations made since"), "{told}");
    let csrf = told
        .split("name=\"csrf\" content=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let dismiss = browser
        .post(format!("http://{addr}/restored/dismiss"))
        .header("cookie", cookie);
    let dismissed = dismiss.form(&[("csrf", csrf)]).send().await.unwrap();
    assert_eq!(dismissed.status(), 303);
    assert!(!page().await.contains("repeat the revocations"));
}
