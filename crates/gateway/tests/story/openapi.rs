//! The API description agrees with what is served.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

use crate::credentials::VERBS;

on_both_engines!(
    the_document_is_whole,
    requests_say_what_the_server_takes,
    answers_have_all_their_fields,
    every_documented_path_answers,
    every_verb_is_documented_with_its_credential,
);

async fn document(server: &TestServer) -> Value {
    Answer::to(server.http().get(server.url("/openapi.json")))
        .await
        .ok()
}

/// One documented operation.
struct Operation<'a> {
    method: String,
    path: &'a str,
    is: &'a Value,
}

impl Operation<'_> {
    fn tag(&self) -> &str {
        self.is["tags"][0].as_str().unwrap_or_default()
    }

    /// Whether it asks for this credential, and not only takes it beside something else.
    fn wants(&self, credential: &str) -> bool {
        let schemes = self.is["security"].as_array().unwrap();
        let is_free = schemes
            .iter()
            .any(|scheme| scheme.as_object().unwrap().is_empty());
        !is_free && schemes.iter().any(|scheme| scheme.get(credential).is_some())
    }

    /// The path with something in place of each parameter.
    fn filled(&self) -> String {
        let id = if self.path.starts_with("/v1/apk") {
            "1"
        } else {
            "pixel-1"
        };
        let parts = self
            .path
            .split('/')
            .map(|part| if part.starts_with('{') { id } else { part });
        parts.collect::<Vec<_>>().join("/")
    }
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().unwrap();
    let mut all = vec![];
    for (path, methods) in paths {
        for (method, is) in methods.as_object().unwrap() {
            all.push(Operation {
                method: method.to_uppercase(),
                path,
                is,
            });
        }
    }
    all
}

async fn the_document_is_whole(engine: Engine) {
    let server = TestServer::start(engine).await;
    let document = document(&server).await;
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1."),
        "{}",
        document["openapi"]
    );
    assert_eq!(document["info"]["title"], "Tidegate");
    let mut ids = BTreeSet::new();
    for operation in operations(&document) {
        let (method, path, is) = (&operation.method, operation.path, operation.is);
        assert!(
            ids.insert(is["operationId"].to_string()),
            "{method} {path}: its operationId is taken"
        );
        let said = is["summary"]
            .as_str()
            .or(is["description"].as_str())
            .unwrap_or_default();
        assert!(!said.is_empty(), "{method} {path} says nothing");
        assert!(is["security"].is_array(), "{method} {path}: who may call it?");
        for parameter in is["parameters"].as_array().into_iter().flatten() {
            let is_demanded = parameter["in"] == "header" && parameter["required"] == true;
            assert!(!is_demanded, "{method} {path} goes without {parameter}");
        }
        let responses = is["responses"].as_object().unwrap();
        for (status, response) in responses {
            let says = response["description"].as_str().unwrap_or_default();
            assert!(!says.is_empty(), "{method} {path} {status} says nothing");
            for (media_type, content) in response["content"].as_object().into_iter().flatten() {
                let refuses = status.starts_with(['4', '5']);
                assert_eq!(
                    refuses,
                    media_type == "application/problem+json",
                    "{method} {path} {status}"
                );
                assert!(content["schema"].is_object(), "{method} {path} {status}");
            }
        }
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{method} {path}"
        );
        for parameter in path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        {
            let declared = is["parameters"].as_array().unwrap().iter();
            let mut named =
                declared.filter(|declared| declared["name"] == parameter && declared["in"] == "path");
            assert!(named.next().is_some(), "{method} {path}: {parameter}");
        }
    }
    assert_eq!(document["servers"][0]["url"], "/");
    let mut references = vec![];
    collect_references(&document, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

async fn requests_say_what_the_server_takes(engine: Engine) {
    let server = TestServer::start(engine).await;
    let document = document(&server).await;
    let schemas = &document["components"]["schemas"];
    let percent = &schemas["PromoteRequest"]["properties"]["rollout_percent"];
    assert_eq!(
        (&percent["minimum"], &percent["maximum"]),
        (&0.01.into(), &100.into())
    );
    assert!(percent["default"].is_null(), "it would be refused");
    assert_eq!(
        schemas["AdjustRolloutRequest"]["required"],
        serde_json::json!(["rollout_percent"])
    );
    assert_eq!(
        schemas["ReportRequest"]["properties"]["status"]["enum"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    let (admin, device) = (
        server.person("ann", Role::Admin),
        server.device("pixel-1").await.token,
    );
    let mut requests = 0;
    for (name, schema) in schemas.as_object().unwrap() {
        let properties = schema["properties"].as_object().into_iter().flatten();
        for (field, schema) in properties.filter(|_| name.ends_with("Request")) {
            assert!(schema["default"].is_null(), "{name}.{field}");
            requests += 1;
        }
    }
    assert!(requests > 40, "{requests}");
    let roles = &schemas["SetUserRoleRequest"]["properties"]["role"]["enum"];
    assert_eq!(*roles, serde_json::json!(["viewer", "operator", "admin"]));
    for (request, said) in [
        ("ResumeRolloutRequest", ["build_id", "rollout_id"].as_slice()),
        ("AdvanceRolloutRequest", &["rollout_id"]),
        ("ConcludeExperimentRequest", &["experiment_id"]),
        ("UpdatePolicyRequest", &["policy_id"]),
        ("PinSignerRequest", &["package_name"]),
        ("RetryDeviceRequest", &["device_id"]),
    ] {
        for field in said {
            let again = &schemas[request]["properties"][field];
            assert!(again.is_null(), "the path says {field} of {request} already");
        }
    }
    assert!(!schemas["RetryDeviceRequest"]["properties"]["build_id"].is_null());
    for operation in operations(&document) {
        let body = &operation.is["requestBody"];
        if !body.is_null() {
            let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
            // Nothing of these ids is there.
            let path = operation.path.replace("{id}", "999").replace(['{', '}'], "");
            let by = match operation.wants("device_token") {
                true => &device,
                false => admin.token(),
            };
            let bare = server.http().request(method, server.url(&path)).bearer_auth(by);
            let bare = Answer::to(bare).await;
            let is_wanted = [400, 415].contains(&bare.status);
            assert_eq!(body["required"] == true, is_wanted, "{path}: {}", bare.status);
        }
    }
}

/// As the server itself answers.
async fn answers_have_all_their_fields(engine: Engine) {
    let server = TestServer::start(engine).await;
    let document = document(&server).await;
    let ada = server.operator(Role::Admin);
    let build = ada.uploaded(&apks::build(PACKAGE, 1)).await;
    ada.promote(build, 100).await.ok();
    server.device("pixel-1").await.poll(1).await;
    for (schema, answer) in [
        ("Build", ada.build(build).await.ok()),
        ("Device", ada.device("pixel-1").await.ok()),
        ("DeploymentStats", ada.stats(build).await),
        ("AuditEntry", ada.audit("").await.pop().unwrap()),
        ("Rollout", ada.rollouts("").await.ok()["items"][0].clone()),
        ("ListPackagesResponse", ada.get("/v1/packages").await.ok()),
    ] {
        let schema = &document["components"]["schemas"][schema];
        let names: BTreeSet<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
        let required = schema["required"].as_array().unwrap().iter();
        assert_eq!(
            required
                .map(|name| name.as_str().unwrap())
                .collect::<BTreeSet<_>>(),
            names
        );
        for (name, value) in answer.as_object().unwrap() {
            let field = &schema["properties"][name];
            let may_be_null = field["type"]
                .as_array()
                .is_some_and(|types| types.contains(&"null".into()))
                || field["oneOf"]
                    .as_array()
                    .is_some_and(|kinds| kinds.iter().any(|kind| kind["type"] == "null"));
            assert!(!value.is_null() || may_be_null, "{name}: {field}");
        }
    }
}

fn collect_references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("$ref", Value::String(reference)) => found.push(reference),
                    _ => collect_references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

async fn every_documented_path_answers(engine: Engine) {
    let server = TestServer::start(engine).await;
    let document = document(&server).await;
    for operation in operations(&document) {
        let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
        let answer = Answer::to(server.http().request(method, server.url(&operation.filled()))).await;
        let (method, path, status) = (&operation.method, operation.path, answer.status);
        let documented = operation.is["responses"].as_object().unwrap();
        let class = format!("{}XX", status / 100);
        assert!(
            documented.contains_key(&status.to_string()) || documented.contains_key(&class),
            "{method} {path} answers {status}, which it does not say"
        );
        if operation.wants("admin_token") || operation.wants("device_token") {
            answer.refused(401, "no_token");
        } else {
            let open = ["auth", "health", "agent"];
            assert!(
                open.contains(&operation.tag()),
                "{method} {path} asks for no credential"
            );
        }
        assert!(
            status != 404 && status != 405,
            "{method} {path} is documented and not served"
        );
    }
}

async fn every_verb_is_documented_with_its_credential(engine: Engine) {
    let server = TestServer::start(engine).await;
    let document = document(&server).await;
    let operations = operations(&document);
    for (method, path, _, _) in VERBS {
        let path = path.split('?').next().unwrap();
        let named = operations
            .iter()
            .find(|operation| operation.method == *method && same(operation.path, path));
        let operation = named.unwrap_or_else(|| panic!("{method} {path} is not documented"));
        assert!(operation.wants("admin_token"), "{method} {path}");
    }
    let admin = operations
        .iter()
        .filter(|operation| operation.wants("admin_token"))
        .count();
    assert_eq!(admin, VERBS.len(), "a verb is missing in this test's table");
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(
        (
            &schemes["admin_token"]["scheme"],
            &schemes["device_token"]["scheme"]
        ),
        (&"bearer".into(), &"bearer".into())
    );
}

/// Whether a path is this template's, and not merely shaped like it.
fn same(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let fits = |(part, given): (&&str, &&str)| {
        part == given || (part.starts_with('{') && !["upload", "rollback"].contains(given))
    };
    template.len() == path.len() && template.iter().zip(&path).all(fits)
}
