//! What is done at the console works on the running server.

use serde_json::json;

use crate::program::{client, err, exited, out, run, run_with_input, serve, tidegate};

#[tokio::test]
async fn a_token_does_what_its_role_allows() {
    let folder = tempfile::tempdir().unwrap();
    // Before the first start, as a provisioning script would: the key is made here and found by the server.
    let token = run(
        folder.path(),
        &[
            "admin",
            "--init",
            "token",
            "--subject",
            "ann",
            "--role",
            "viewer",
            "--ttl",
            "1h",
        ],
    );
    exited(&token, 0);
    let (_server, addr) = serve(folder.path());
    let (token, http) = (out(&token), client());
    let list = http
        .get(format!("http://{addr}/v1/apk"))
        .bearer_auth(token.trim())
        .send()
        .await
        .unwrap();
    assert_eq!(list.status(), 200);
    let audit = http
        .get(format!("http://{addr}/v1/audit?action=admin_token.create"))
        .bearer_auth(token.trim());
    let audit: serde_json::Value = audit.send().await.unwrap().json().await.unwrap();
    let entry = &audit["items"][0];
    assert_eq!(
        (&entry["actor"], &entry["target"], &entry["after"]["role"]),
        (&json!("console"), &json!("admin_token/ann"), &json!("viewer")),
        "{audit}"
    );
    let make = http
        .post(format!("http://{addr}/v1/enrollment-tokens"))
        .json(&json!({}));
    assert_eq!(make.bearer_auth(token.trim()).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_person_added_at_the_console_can_log_in() {
    let folder = tempfile::tempdir().unwrap();
    let add = ["admin", "--init", "user", "add", "ann", "--role", "operator"];
    let short = run_with_input(folder.path(), &add, "short\n");
    exited(&short, 1);
    assert!(
        err(&short).contains("must have 8 to 256 bytes"),
        "{}",
        err(&short)
    );
    exited(&run_with_input(folder.path(), &add, &"x".repeat(300)), 1);

    let password = "correct horse battery staple";
    let added = run_with_input(folder.path(), &add, &format!("{password}\n"));
    exited(&added, 0);
    assert_eq!(out(&added), "added ann as operator\n");
    exited(&run_with_input(folder.path(), &add, &format!("{password}\n")), 1);

    let (_server, addr) = serve(folder.path());
    let login = |password: &str| {
        let body = json!({ "name": "ann", "password": password });
        client()
            .post(format!("http://{addr}/v1/auth/login"))
            .json(&body)
            .send()
    };
    assert_eq!(login(password).await.unwrap().status(), 200);
    assert_eq!(login("something else").await.unwrap().status(), 401);
}

#[test]
fn a_signer_is_pinned_listed_and_unpinned() {
    let folder = tempfile::tempdir().unwrap();
    let signer = "ab".repeat(32);
    let signers = |arguments: &[&str]| {
        run(
            folder.path(),
            &[&["admin", "--init", "signer"], arguments].concat(),
        )
    };
    assert_eq!(out(&signers(&["list"])), "\n");
    let pinned = signers(&["pin", "com.example.app", &signer]);
    exited(&pinned, 0);
    let line = format!("com.example.app {} from API level 0\n", vec!["AB"; 32].join(":"));
    assert_eq!((out(&pinned), out(&signers(&["list"]))), (line.clone(), line));
    exited(&signers(&["unpin", "com.example.app"]), 0);
    assert!(out(&signers(&["list"])).contains("com.example.app is not pinned"));
    exited(&signers(&["unpin", "com.example.other"]), 1);
    exited(&signers(&["pin", "com.example.app", "abc"]), 2);
}

#[test]
fn devices_are_tagged_and_held_back_at_the_console() {
    let folder = tempfile::tempdir().unwrap();
    let admin = |arguments: &[&str]| run(folder.path(), &[&["admin", "--init"], arguments].concat());
    let says = |arguments: &[&str]| {
        let output = admin(arguments);
        exited(&output, 0);
        out(&output)
    };
    std::fs::write(folder.path().join("ids.txt"), "till-1\n\ntill-2\n").unwrap();
    let file = folder.path().join("ids.txt");
    let added = says(&["tag", "add", "lab", "till-0", "--file", file.to_str().unwrap()]);
    assert_eq!(added, "0 added, 0 removed; 3 unknown: till-0, till-1, till-2\n");
    exited(&admin(&["tag", "add", "lab"]), 2);
    exited(&admin(&["tag", "add", "Lab", "till-0"]), 2);

    let policy = [
        "policy",
        "add",
        "--tag",
        "lab",
        "--max-version",
        "41",
        "--remark",
        "42 breaks the printers",
    ];
    let made = says(&policy);
    assert!(
        made.starts_with("1 tag lab, all packages, at most 41, made "),
        "{made}"
    );
    assert!(made.ends_with(" by console: 42 breaks the printers\n"), "{made}");
    assert_eq!(says(&["policy", "list", "--tag", "lab"]), made);
    assert_eq!(says(&["tag", "list"]), "lab 0 devices\n");
    exited(&admin(&["tag", "delete", "lab"]), 1);
    exited(
        &admin(&["policy", "add", "--max-version", "41", "--remark", "on whom?"]),
        2,
    );
    exited(
        &admin(&["policy", "add", "--everybody", "--remark", "nothing"]),
        1,
    );
    let changed = says(&["policy", "change", "1", "--no-max-version", "--hold"]);
    assert!(
        changed.contains("all packages, hold until it is lifted, made"),
        "{changed}"
    );
    assert!(says(&["policy", "remove", "1"]).starts_with("removed 1 tag lab"));
    assert!(says(&["tag", "delete", "lab"]).starts_with("deleted lab"));

    assert_eq!(says(&["experiment", "list"]), "\n");
    let create = ["experiment", "create", "--package", "com.example.app"];
    for (arms, code) in [
        (&["--arm", "1=10"][..], 1),
        (&["--arm", "1=10", "--arm", "1=10:same"], 1),
        (&["--arm", "1=10", "--arm", "2=ten"], 2),
        (&["--arm", "1=10", "--arm", "2=10", "--start", "100"], 2),
        (&["--arm", "1=10", "--arm", "2=10", "--priority", "0"], 2),
        (&[], 2),
    ] {
        exited(&admin(&[&create, arms].concat()), code);
    }
    exited(&admin(&["experiment", "show", "1"]), 1);
    exited(&admin(&["experiment", "conclude", "1", "--no-winner"]), 1);
    exited(&admin(&["experiment", "conclude", "1"]), 2);

    assert_eq!(says(&["hold", "list"]), "no hold on everybody stands\n");
    let held = says(&["hold", "set", "--remark", "tills lose receipts"]);
    assert!(
        held.contains("everybody, all packages, hold until it is lifted"),
        "{held}"
    );
    assert_eq!(says(&["hold", "list"]), held);
    exited(
        &admin(&["hold", "set", "--package", "com.exmaple.app", "--remark", "x"]),
        1,
    );
    exited(
        &admin(&["hold", "set", "--until", "tomorrow", "--remark", "x"]),
        2,
    );
    assert!(says(&["hold", "lift"]).starts_with("lifted 2 everybody"));
    assert_eq!(says(&["hold", "lift"]), "lifted nothing: no such hold stood\n");
}

#[test]
fn what_cannot_be_is_refused_with_the_right_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[&str], i32, &str); 6] = [
        (
            &["admin", "token", "--subject", "ann", "--role", "king"],
            2,
            "viewer, operator or admin",
        ),
        (&["admin", "token", "--role", "admin"], 2, "--subject"),
        (
            &[
                "admin",
                "token",
                "--subject",
                "ann",
                "--role",
                "admin",
                "--ttl",
                "long",
            ],
            2,
            "--ttl",
        ),
        (
            &[
                "admin",
                "token",
                "--subject",
                "ann",
                "--role",
                "admin",
                "--ttl",
                "999d",
                "--init",
            ],
            1,
            "ttl must be",
        ),
        (
            &["admin", "enroll-token", "--uses", "0", "--init"],
            1,
            "uses must be",
        ),
        (&["no-such-command"], 2, "no-such-command"),
    ];
    for (arguments, code, text) in cases {
        let output = run(folder.path(), arguments);
        exited(&output, code);
        assert!(err(&output).contains(text), "{}", err(&output));
        assert_eq!(out(&output), "");
    }
}

/// Standing in the wrong folder, somebody would get a key and a database that nobody serves.
#[test]
fn nothing_is_made_where_no_server_was_started() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("tidegate-data");
    let commands: [&[&str]; 8] = [
        &["admin", "token", "--subject", "ann", "--role", "admin"],
        &["admin", "tokens", "list"],
        &["admin", "enroll-token"],
        &["admin", "user", "list"],
        &["admin", "signer", "list"],
        &["admin", "audience", "check", "sdk >= 30"],
        &["admin", "rollout", "list"],
        &["admin", "build", "edit", "1", "--barrier", "true"],
    ];
    for command in commands {
        let refused = run(folder.path(), command);
        exited(&refused, 2);
        let message = err(&refused);
        assert!(
            message.contains("there is no key at ./tidegate-data/master.key") && message.contains("--init"),
            "{message}"
        );
        assert!(!data.exists(), "{command:?}");
    }
    // With a key and without a database.
    let key: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
    let mut command = tidegate(folder.path());
    command
        .args(["admin", "user", "list"])
        .env("TIDEGATE_MASTER_KEY", &key);
    let refused = command.output().unwrap();
    exited(&refused, 2);
    assert!(
        err(&refused).contains("the database is empty or not there"),
        "{}",
        err(&refused)
    );
    assert!(!data.exists());

    exited(&run(folder.path(), &["admin", "user", "list", "--init"]), 0);
    exited(&run(folder.path(), &["admin", "user", "list"]), 0);
}

#[test]
fn an_audience_is_checked_at_the_console() {
    let folder = tempfile::tempdir().unwrap();
    exited(&run(folder.path(), &["admin", "user", "list", "--init"]), 0);
    let check = |arguments: &[&str]| {
        run(
            folder.path(),
            &[&["admin", "audience", "check"], arguments].concat(),
        )
    };
    let counted = check(&["sdk >= 30 && has(region)"]);
    exited(&counted, 0);
    assert_eq!(out(&counted), "0 of 0 devices\n");
    for (arguments, part) in [
        (
            &["sdk = 30"][..],
            "character 5: `=` does not compare; did you mean ==",
        ),
        (&["version > 1"], "package_name is needed"),
        (
            &["version > 1", "--package", "com.example.unknown"],
            "com.example.unknown",
        ),
    ] {
        let refused = check(arguments);
        exited(&refused, 1);
        assert!(err(&refused).contains(part), "{}", err(&refused));
        assert_eq!(out(&refused), "");
    }
}

#[tokio::test]
async fn people_and_tokens_are_managed_beside_the_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, addr) = serve(folder.path());
    let password = "correct horse battery staple";
    for (name, role) in [("ann", "admin"), ("bob", "operator")] {
        let add = ["admin", "user", "add", name, "--role", role];
        exited(&run_with_input(folder.path(), &add, &format!("{password}\n")), 0);
    }
    let admin = |arguments: &[&str]| run(folder.path(), &[&["admin"], arguments].concat());
    let body = json!({ "name": "bob", "password": password });
    let login = client().post(format!("http://{addr}/v1/auth/login")).json(&body);
    let login: serde_json::Value = login.send().await.unwrap().json().await.unwrap();
    let bob = login["token"].as_str().unwrap().to_owned();
    let listed = out(&admin(&["user", "list"]));
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines[0], "ann admin, never logged in");
    assert!(lines[1].starts_with("bob operator, last login 20"), "{listed}");

    assert!(out(&admin(&["user", "disable", "bob"])).contains(", disabled 20"));
    refused_soon(addr, &bob).await;
    let last = admin(&["user", "role", "ann", "viewer"]);
    exited(&last, 1);
    assert!(err(&last).contains("ann is the last admin"), "{}", err(&last));
    exited(&admin(&["user", "enable", "bob"]), 0);
    let other = "another horse battery staple\n";
    exited(
        &run_with_input(folder.path(), &["admin", "user", "password", "bob"], other),
        0,
    );
    assert_eq!(out(&admin(&["user", "remove", "bob"])), "removed bob\n");

    let add = [
        "service-account",
        "add",
        "ci",
        "--role",
        "operator",
        "--package",
        "com.example.app",
        "--verb",
        "upload",
    ];
    let ci = out(&admin(&add)).trim().to_owned();
    let accounts = out(&admin(&["service-account", "list"]));
    assert_eq!(
        accounts,
        "ci --role operator --package com.example.app --verb upload\n"
    );
    let tokens = out(&admin(&["tokens", "list", "--subject", "service:ci"]));
    assert!(tokens.contains(" service:ci operator, expires 20"), "{tokens}");
    let id = tokens.split(' ').next().unwrap();
    let let_in = client().get(format!("http://{addr}/v1/apk")).bearer_auth(&ci);
    // The account was made beside the server, which hears of it within a second.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(let_in.send().await.unwrap().status(), 200);
    assert!(out(&admin(&["tokens", "revoke", id])).contains(", revoked 20"));
    refused_soon(addr, &ci).await;
    let another = out(&admin(&["service-account", "token", "ci", "--ttl", "1h"]));
    assert_eq!(another.trim().split('.').count(), 3);
    exited(&admin(&["service-account", "remove", "ci"]), 0);
    assert_eq!(out(&admin(&["service-account", "list"])), "\n");

    let reserved = admin(&["token", "--subject", "service:ci", "--role", "admin"]);
    exited(&reserved, 1);
    let token = out(&admin(&["token", "--subject", "cat", "--role", "viewer"]));
    let tokens = out(&admin(&["tokens", "list", "--subject", "cat"]));
    exited(
        &admin(&["tokens", "revoke", tokens.split(' ').next().unwrap()]),
        0,
    );
    refused_soon(addr, token.trim()).await;
}

/// Waits until a token is refused, which is to be within a second, and some more on a busy machine.
async fn refused_soon(addr: std::net::SocketAddr, token: &str) {
    for _ in 0..100 {
        let request = client().get(format!("http://{addr}/v1/apk")).bearer_auth(token);
        if request.send().await.unwrap().status() == 401 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the token is still taken");
}
