//! What is done at the console works on the running server.

use serde_json::json;

use crate::program::{client, err, exited, out, run, run_with_input, serve};

#[tokio::test]
async fn a_token_does_what_its_role_allows() {
    let folder = tempfile::tempdir().unwrap();
    // Before the first start, as a provisioning script would: the key is made here and found by the server.
    let token = run(
        folder.path(),
        &[
            "admin",
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
    let add = ["admin", "user", "add", "ann", "--role", "operator"];
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
    let signers = |arguments: &[&str]| run(folder.path(), &[&["admin", "signer"], arguments].concat());
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
            ],
            1,
            "ttl must be",
        ),
        (&["admin", "enroll-token", "--uses", "0"], 1, "uses must be"),
        (&["no-such-command"], 2, "no-such-command"),
    ];
    for (arguments, code, text) in cases {
        let output = run(folder.path(), arguments);
        exited(&output, code);
        assert!(err(&output).contains(text), "{}", err(&output));
        assert_eq!(out(&output), "");
    }
}
