//! Compiles `proto/` without a system protoc, and gives every message serde and OpenAPI derives, so that the REST
//! surface needs no second set of structs.

use std::path::Path;

use prost_types::{DescriptorProto, FileDescriptorSet};

const FILES: [&str; 16] = [
    "tidegate/v1/agent.proto",
    "tidegate/v1/audiences.proto",
    "tidegate/v1/audit.proto",
    "tidegate/v1/auth.proto",
    "tidegate/v1/builds.proto",
    "tidegate/v1/calendars.proto",
    "tidegate/v1/devices.proto",
    "tidegate/v1/experiments.proto",
    "tidegate/v1/fleet.proto",
    "tidegate/v1/forecasts.proto",
    "tidegate/v1/nudges.proto",
    "tidegate/v1/packages.proto",
    "tidegate/v1/people.proto",
    "tidegate/v1/policies.proto",
    "tidegate/v1/rollouts.proto",
    "tidegate/v1/tags.proto",
];

/// Messages that carry a file's bytes and exist in gRPC alone: REST uploads are multipart.
const GRPC_ONLY: [&str; 1] = ["UploadBuildRequest"];

/// Messages within requests that are as strict as these. An audience with a mistyped name would address everybody.
const WITHIN_REQUESTS: [&str; 7] = [
    "Audience",
    "Freeze",
    "Gate",
    "Plan",
    "PlanStep",
    "RolloutCalendars",
    "Window",
];

/// Messages whose JSON is written by hand, in the module of the crate that is named after them.
const BY_HAND: [&str; 5] = [
    "GateChange",
    "InstallConditions",
    "InstallOpenings",
    "Slice",
    "Winner",
];

/// Requests of agents, which may be newer than the server.
const OF_DEVICES: [&str; 5] = [
    "CheckUpdateRequest",
    "EnrollRequest",
    "ReportRequest",
    "FcmTokenRequest",
    "ActionResultRequest",
];

/// What a request of REST must say, besides what its path says: nothing stands for these. The others have a default.
const REQUIRED: [(&str, &[&str]); 31] = [
    (
        "CheckUpdateRequest",
        &["device_id", "package_name", "current_version_code"],
    ),
    ("EnrollRequest", &["device_id"]),
    ("ReportRequest", &["build_id", "status"]),
    ("FcmTokenRequest", &["fcm_token"]),
    (
        "ActionResultRequest",
        &["request_id", "action", "outcome", "finished_at"],
    ),
    ("LoginRequest", &["name", "password"]),
    ("AdjustRolloutRequest", &["rollout_percent"]),
    ("ExplainDeviceRequest", &["package_name"]),
    ("PinSignerRequest", &["signer_fingerprint"]),
    ("AllowDebuggableRequest", &["allow"]),
    ("AddUserRequest", &["name", "role", "password"]),
    ("SetUserRoleRequest", &["role"]),
    ("SetUserPasswordRequest", &["password"]),
    ("AddServiceAccountRequest", &["name", "role"]),
    ("EraseDeviceRequest", &["confirm"]),
    ("SetBuildNotesRequest", &["notes"]),
    ("GetRolloutBoardRequest", &["package_name"]),
    ("CreateRolloutRequest", &["build_id"]),
    ("EditRolloutRequest", &["revision"]),
    ("CreateCalendarRequest", &["name", "zone"]),
    ("UpdateCalendarRequest", &["zone"]),
    ("Window", &["days", "start", "end"]),
    ("Freeze", &["from", "to"]),
    ("CreateExperimentRequest", &["package_name", "arms"]),
    ("ArmRequest", &["build_id", "width_percent"]),
    ("ConcludeExperimentRequest", &["winner"]),
    ("CreatePolicyRequest", &["remark"]),
    ("SetHoldRequest", &["remark"]),
    ("RenameTagRequest", &["to"]),
    ("Plan", &["steps"]),
    ("PlanStep", &["percent"]),
];

/// Whole percents of earlier versions, which JSON tells as decimals under the names that these had.
const WHOLE_PERCENTS: [&str; 3] = ["whole_percent", "whole_old_percent", "whole_new_percent"];

/// Shares with decimals. JSON tells a whole one without a point, as it always did.
const PERCENTS: [&str; 7] = [
    "rollout_percent",
    "old_percent",
    "new_percent",
    "percent",
    "failed_percent",
    "corrupt_percent",
    "tolerated_percent",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut compiler = protox::Compiler::new([&root])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(FILES)?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    // protox's own encoding keeps what prost-types would drop.
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let descriptors = compiler.file_descriptor_set();
    let mut config = tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .btree_map(".")
        .extern_path(".google.protobuf.Timestamp", "crate::Timestamp")
        .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]");
    for message in messages(&descriptors) {
        config = derive(config, message);
    }
    config.compile_fds(descriptors)?;
    Ok(())
}

fn messages(descriptors: &FileDescriptorSet) -> Vec<&DescriptorProto> {
    descriptors
        .file
        .iter()
        .filter(|file| file.package() == "tidegate.v1")
        .flat_map(|file| &file.message_type)
        .filter(|message| !GRPC_ONLY.contains(&message.name()))
        .collect()
}

fn derive(mut config: tonic_prost_build::Builder, message: &DescriptorProto) -> tonic_prost_build::Builder {
    let path = format!(".tidegate.v1.{}", message.name());
    if BY_HAND.contains(&message.name()) {
        return config;
    }
    config = config
        .message_attribute(&path, "#[derive(serde::Serialize, serde::Deserialize)]")
        .message_attribute(
            &path,
            "#[cfg_attr(feature = \"openapi\", derive(utoipa::ToSchema))]",
        );
    // A request with a field that nobody reads is a mistake of the caller's; an answer with one is a newer server, and
    // a device's request with one a newer agent, which would give up on a refusal.
    let is_strict = message.name().ends_with("Request") && !OF_DEVICES.contains(&message.name());
    if is_strict || WITHIN_REQUESTS.contains(&message.name()) {
        config = config.message_attribute(&path, "#[serde(deny_unknown_fields)]");
    }
    // What may stand in a query string; the path and the body carry the others.
    let name = message.name();
    if name == "CheckUpdateRequest" || (name.starts_with("List") && name.ends_with("Request")) {
        config = config
            .message_attribute(
                &path,
                "#[cfg_attr(feature = \"openapi\", derive(utoipa::IntoParams))]",
            )
            .message_attribute(
                &path,
                "#[cfg_attr(feature = \"openapi\", into_params(parameter_in = Query))]",
            );
    }
    let required = REQUIRED.iter().find(|(request, _)| *request == name);
    for field in &message.field {
        let path = format!("{path}.{}", field.name());
        if WHOLE_PERCENTS.contains(&field.name()) {
            config = config.field_attribute(&path, "#[serde(skip)]");
        } else if !required.is_some_and(|(_, fields)| fields.contains(&field.name())) {
            config = config.field_attribute(&path, "#[serde(default)]");
        }
        if PERCENTS.contains(&field.name()) && (!field.proto3_optional() || name == "Gate") {
            let write = if field.proto3_optional() {
                "#[serde(serialize_with = \"crate::percent::write_given\")]"
            } else {
                "#[serde(serialize_with = \"crate::percent::write\")]"
            };
            config = config.field_attribute(&path, write);
        }
        // Left out is not none.
        if field.type_name() == ".tidegate.v1.GateChange" {
            let read = "#[serde(deserialize_with = \"crate::gate_change::read\", skip_serializing_if = \"Option::is_none\")]";
            config = config.field_attribute(&path, read);
        }
        // Nothing is said to agents of before, nor where nothing is asked for.
        if message.name() == "UpdateManifest" && ["install_when", "install_deadline"].contains(&field.name())
        {
            let absent = match field.name() {
                "install_when" => "#[serde(skip_serializing_if = \"Vec::is_empty\")]",
                _ => "#[serde(skip_serializing_if = \"Option::is_none\")]",
            };
            config = config.field_attribute(&path, absent);
        }
        // Only requests say it.
        if message.name() == "PlanStep" && field.name() == "devices_per_hour" {
            let absent = "#[serde(skip_serializing_if = \"Option::is_none\")]";
            config = config.field_attribute(&path, absent);
        }
        // Only an upload is answered with it.
        if message.name() == "Build" && field.name() == "against_current" {
            let absent = "#[serde(skip_serializing_if = \"Option::is_none\")]";
            config = config.field_attribute(&path, absent);
        }
        if message.name() == "NudgeUpdateRequest" && field.name() == "device_ids" {
            config = config.field_attribute(
                &path,
                "#[serde(deserialize_with = \"crate::named_devices::read\")]",
            );
        }
        if message.name().ends_with("Request") && field.type_name() == ".tidegate.v1.Audience" {
            config = config.field_attribute(&path, "#[serde(deserialize_with = \"crate::audience::read\")]");
        }
        if message.name() == "RolloutCalendars" {
            let read = "#[serde(deserialize_with = \"crate::calendar_names::read\")]";
            config = config.field_attribute(&path, read);
        }
        // Nothing is said to agents of before, nor where there is no limit or no patch.
        if message.name() == "UpdateManifest" && ["install_openings", "patch"].contains(&field.name()) {
            let absent = "#[serde(skip_serializing_if = \"Option::is_none\")]";
            config = config.field_attribute(&path, absent);
        }
        if message.name() == "AuditEntry" && ["before", "after"].contains(&field.name()) {
            config = config
                .field_attribute(&path, "#[serde(with = \"crate::embedded_json\")]")
                .field_attribute(
                    &path,
                    "#[cfg_attr(feature = \"openapi\", schema(value_type = Option<Object>))]",
                );
        }
    }
    config
}
