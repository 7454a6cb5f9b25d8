//! What is true of all operations and schemas alike, said once here rather than at each.

use serde_json::{Map, Value, json};

use super::limits;

/// The media type of an APK.
const APK: &str = "application/vnd.android.package-archive";

/// Schemas whose fields may be left out: what callers send, and members that only some refusals have.
const WITH_OPTIONAL_FIELDS: [&str; 4] = ["Audience", "Gate", "Problem", "UploadForm"];

/// Verbs whose body may be left out.
const OPTIONAL_BODIES: [&str; 14] = [
    "AddServiceToken",
    "AdvanceRollout",
    "AllowEnrolment",
    "ApproveRollout",
    "CancelRollout",
    "CompleteRollout",
    "DenyRollout",
    "HaltRollout",
    "HoldRollout",
    "ResumeRollout",
    "ResumeRolloutById",
    "RetryDevice",
    "RollBackRollout",
    "StartRollout",
];

/// Completes a document.
pub(super) fn made(mut document: Value) -> Value {
    // Where the document came from: a server doesn't know what its proxy calls it.
    document["servers"] = json!([{ "url": "/" }]);
    for (name, schema) in members(&mut document["components"]["schemas"]) {
        complete_schema(name, schema);
    }
    for (_, methods) in members(&mut document["paths"]) {
        for (_, operation) in members(methods) {
            complete_operation(operation);
        }
    }
    leave_to_the_path(&mut document);
    document
}

/// Takes out of each body what the path says already: a field of that name is only refused where it says something else.
fn leave_to_the_path(document: &mut Value) {
    let mut said = vec![];
    for (path, methods) in members(&mut document["paths"]) {
        for (_, operation) in members(methods) {
            let body = operation.pointer("/requestBody/content/application~1json/schema/$ref");
            let schema = body
                .and_then(Value::as_str)
                .and_then(|body| body.rsplit('/').next());
            said.extend(schema.map(str::to_owned).zip(said_by(path)));
        }
    }
    for (schema, field) in said {
        if let Some(fields) = document["components"]["schemas"][schema]["properties"].as_object_mut() {
            fields.remove(field.as_str());
        }
    }
}

/// The field that a path's first parameter is.
fn said_by(path: &str) -> Option<String> {
    let (collection, rest) = path.split_once("/{")?;
    let (parameter, _) = rest.split_once('}')?;
    let field = match (collection, parameter) {
        ("/v1/apk", "id") => "build_id",
        ("/v1/rollouts", "id") => "rollout_id",
        ("/v1/experiments", "id") => "experiment_id",
        ("/v1/policies", "id") => "policy_id",
        _ => parameter,
    };
    Some(field.to_owned())
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

/// Every field of an answer is always there, with `null` where there is nothing.
fn complete_schema(name: &str, schema: &mut Value) {
    let is_answer = !name.ends_with("Request") && !WITH_OPTIONAL_FIELDS.contains(&name);
    let mut names = vec![];
    for (field, schema) in members(&mut schema["properties"]) {
        // Agents of before are not told of what came later, and of the current build only who uploads is.
        let may_be_absent = match name {
            "UpdateManifest" => field.starts_with("install_") || field == "patch",
            "Build" => field == "against_current",
            _ => false,
        };
        if !may_be_absent {
            names.push(Value::from(field.as_str()));
        }
        extend(schema, limits::of_field(name, field));
    }
    if is_answer && !names.is_empty() {
        schema["required"] = Value::Array(names);
    }
    if schema["properties"].is_null()
        && let Some(schema) = schema.as_object_mut()
    {
        schema.remove("properties");
    }
}

fn complete_operation(operation: &mut Value) {
    let summary = operation["summary"].clone();
    if let Some(operation) = operation.as_object_mut() {
        operation.entry("description").or_insert(summary);
        operation.entry("security").or_insert(json!([]));
    }
    if OPTIONAL_BODIES.iter().any(|id| operation["operationId"] == *id) {
        operation["requestBody"]["required"] = json!(false);
    }
    for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
        let is_required = parameter["required"] == true;
        let limit = limits::of_parameter(parameter["name"].as_str().unwrap_or_default(), is_required);
        extend(&mut parameter["schema"], limit);
    }
    if operation["parameters"].is_null()
        && let Some(operation) = operation.as_object_mut()
    {
        operation.remove("parameters");
    }
    complete_responses(&mut operation["responses"]);
}

fn complete_responses(responses: &mut Value) {
    let refusal = json!({ "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Problem" } } } });
    if let Some(responses) = responses.as_object_mut() {
        for class in ["4XX", "5XX"] {
            responses.entry(class).or_insert_with(|| refusal.clone());
        }
    }
    for (status, response) in members(responses) {
        let described = response["description"]
            .as_str()
            .is_some_and(|text| !text.is_empty());
        if !described {
            response["description"] = match status.as_bytes().first() {
                Some(b'4') => json!("Refused; `code` says why"),
                Some(b'5') => json!("The server failed, or can't answer now; try again later"),
                _ => json!("The answer"),
            };
        }
        if let Some(content) = response["content"].as_object_mut() {
            complete_content(status, content);
        } else if let Some(response) = response.as_object_mut() {
            response.remove("content");
        }
    }
}

fn complete_content(status: &str, content: &mut Map<String, Value>) {
    if status.starts_with(['4', '5'])
        && let Some(problem) = content.remove("application/json")
    {
        content.insert("application/problem+json".to_owned(), problem);
    }
    if let Some(apk) = content.get_mut(APK) {
        apk["schema"] = json!({ "type": "string", "format": "binary" });
    }
}

fn extend(schema: &mut Value, keywords: Option<Map<String, Value>>) {
    if let (Some(schema), Some(keywords)) = (schema.as_object_mut(), keywords) {
        schema.extend(keywords);
    }
}
