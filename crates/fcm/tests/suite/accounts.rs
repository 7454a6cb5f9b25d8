//! The service account's file: what is taken, and what is told of what is not.

use serde_json::{Value, json};
use tidegate_fcm::{Error, ServiceAccount};

use crate::pair;

#[tokio::test]
async fn a_file_that_is_not_in_order_is_refused_by_the_field_and_without_the_key() {
    let (fcm, _) = pair().await;
    let good: Value = serde_json::from_str(&fcm.service_account()).unwrap();
    let account = ServiceAccount::from_json(&good.to_string()).unwrap();
    let secret = good["private_key"].as_str().unwrap().lines().nth(1).unwrap();
    assert!(!format!("{account:?}").contains(secret));

    for (field, value) in [
        ("type", json!("authorized_user")),
        ("project_id", json!("../other")),
        ("project_id", json!("")),
        (
            "private_key",
            json!("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ),
        (
            "private_key",
            json!(
                good["private_key"]
                    .as_str()
                    .unwrap()
                    .replace("PRIVATE", "RSA PRIVATE")
            ),
        ),
        ("client_email", json!("")),
        ("token_uri", json!("http://oauth2.googleapis.com/token")),
        ("api_key", json!("x")),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let error = ServiceAccount::from_json(&bad.to_string()).unwrap_err();
        assert!(error.to_string().contains(field), "{field}: {error}");
        assert!(!error.to_string().contains(secret));
    }

    let mut less = good.clone();
    less.as_object_mut().unwrap().remove("private_key");
    let error = ServiceAccount::from_json(&less.to_string()).unwrap_err();
    assert!(
        matches!(&error, Error::Account(text) if text.contains("private_key")),
        "{error}"
    );
    let mut odd = good.clone();
    odd["client_id"] = json!({ "secret": secret });
    assert!(
        !ServiceAccount::from_json(&odd.to_string())
            .unwrap_err()
            .to_string()
            .contains(secret)
    );
    for text in ["", "{", "[]", &"x".repeat(70_000)] {
        assert!(ServiceAccount::from_json(text).is_err());
    }
}
