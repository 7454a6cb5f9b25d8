//! What the server takes in each field, in the words of JSON Schema. The numbers are those that the fields are checked
//! by. Lengths are bounded in bytes, and told in characters, of which there are never more.

use serde_json::{Map, Value, json};
use tidegate_domain::{
    InstallCondition, MAX_ARMS, MAX_ATTRIBUTE_BYTES, MAX_AUDIENCE_CHARS, MAX_AUDIENCE_ENTRIES,
    MAX_CALENDAR_NAME_BYTES, MAX_DEVICE_ID_BYTES, MAX_FCM_TOKEN_BYTES, MAX_FREEZES,
    MAX_IDEMPOTENCY_KEY_BYTES, MAX_MESSAGE_BYTES, MAX_NAMED_DEVICES, MAX_NUDGE_TTL, MAX_OUTCOME_BYTES,
    MAX_PACKAGE_NAME_BYTES, MAX_PATCH_FORMATS_BYTES, MAX_PRIORITY, MAX_REASON_BYTES, MAX_REMARK_BYTES,
    MAX_REQUEST_ID_BYTES, MAX_ROLLOUT_NAME_BYTES, MAX_SALT_BYTES, MAX_STEPS, MAX_TAG_BYTES,
    MAX_TAGGED_AT_ONCE, MAX_WINDOWS, MIN_ARMS, PatchOutcome, ReportStatus, Role, Verb,
};
use tidegate_service::{
    DeviceSort, FailureFate, MAX_ADMIN_TTL_DAYS, MAX_ENROLL_TTL_DAYS, MAX_ENROLL_USES, MAX_NOTES_BYTES,
    MAX_SEARCH_BYTES, MAX_STATS_HOURS, MAX_USER_NAME_BYTES,
};
use tidegate_signing::{
    MAX_ENROLLMENT_KEY_CHARS, MAX_PASSWORD_BYTES, MAX_PREVIOUS_TOKEN_BYTES, MIN_ENROLLMENT_KEY_CHARS,
    MIN_PASSWORD_BYTES,
};

/// An application id by Android's rules.
const PACKAGE: &str = r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$";

/// A tag of the operators'.
const TAG: &str = r"^[a-z0-9][a-z0-9._-]*$";

/// A calendar's name.
const CALENDAR: &str = r"^[A-Za-z0-9][A-Za-z0-9._-]*$";

/// The start and the end of a window.
const START: &str = r"^([01][0-9]|2[0-3]):[0-5][0-9]$";
const END: &str = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$";
/// A list of conditions, each of which has to hold.
fn install_when() -> Value {
    let names = InstallCondition::ALL.map(InstallCondition::as_str);
    json!({ "type": "array", "items": { "type": "string", "enum": names } })
}

/// Of a field of a request, by the request's name and its own.
pub(super) fn of_field(request: &str, field: &str) -> Option<Map<String, Value>> {
    let limit = match (request, field) {
        (
            "PromoteRequest"
            | "AdjustRolloutRequest"
            | "CreateRolloutRequest"
            | "EditRolloutRequest"
            | "ConcludeExperimentRequest",
            "rollout_percent",
        ) => json!({ "minimum": 0.01, "maximum": 100 }),
        ("PromoteRequest" | "CreateRolloutRequest" | "CreateExperimentRequest", "salt") => {
            text(1, MAX_SALT_BYTES)
        }
        (
            "CreateRolloutRequest" | "EditRolloutRequest" | "CreateExperimentRequest" | "ArmRequest",
            "name",
        ) => text(0, MAX_ROLLOUT_NAME_BYTES),
        ("CreateRolloutRequest" | "EditRolloutRequest", "priority") => between(0, MAX_PRIORITY.into()),
        ("CreateRolloutRequest", "install_when") => install_when(),
        ("EditRolloutRequest", "install_when") => json!({ "oneOf": [{ "type": "null" }, install_when()] }),
        ("EditRolloutRequest", "revision") => between(1, u32::MAX.into()),
        ("CreateExperimentRequest", "package_name") => package(),
        ("CreateExperimentRequest", "priority") => between(1, MAX_PRIORITY.into()),
        ("CreateExperimentRequest", "arms") => json!({ "minItems": MIN_ARMS, "maxItems": MAX_ARMS }),
        ("CreateExperimentRequest", "start_percent") => {
            json!({ "minimum": 0, "exclusiveMaximum": 100 })
        }
        ("CreateExperimentRequest", "holdout_percent") | ("ArmRequest", "width_percent") => {
            json!({ "exclusiveMinimum": 0, "maximum": 100 })
        }
        ("CreateCalendarRequest", "name") => {
            json!({ "pattern": CALENDAR, "maxLength": MAX_CALENDAR_NAME_BYTES })
        }
        ("CreateCalendarRequest" | "UpdateCalendarRequest", "windows") => json!({ "maxItems": MAX_WINDOWS }),
        ("CreateCalendarRequest" | "UpdateCalendarRequest", "freezes") => json!({ "maxItems": MAX_FREEZES }),
        ("UpdateCalendarRequest", "revision") => between(1, u32::MAX.into()),
        ("ApproveRolloutRequest" | "DenyRolloutRequest", "revision") => between(0, u32::MAX.into()),
        ("AdvanceRolloutRequest", "step") => between(0, MAX_STEPS.try_into().unwrap_or(u64::MAX)),
        ("Window", "days") => json!({
            "minItems": 1,
            "items": { "type": "string", "enum": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] },
        }),
        ("Window", "start") => json!({ "pattern": START }),
        ("Window", "end") => json!({ "pattern": END }),
        ("CreateRolloutRequest" | "ArmRequest", "build_id") => json!({ "minimum": 1 }),
        ("EditBuildRequest", "min_from_version") => json!({ "minimum": 0 }),
        // One that is made of lists is shown as an expression of any length.
        ("Audience", "regions" | "models") => json!({ "maxItems": MAX_AUDIENCE_ENTRIES }),
        (
            "PromoteRequest" | "CreateRolloutRequest" | "EditRolloutRequest" | "CreateExperimentRequest",
            "audience",
        ) => json!({ "oneOf": [
            { "type": "null" },
            text_of(1, MAX_AUDIENCE_CHARS),
            { "$ref": "#/components/schemas/Audience" },
        ] }),
        // What is too long is answered with what is wrong with it, as all that is wrong with an expression.
        ("CheckAudienceRequest", "audience") => json!({ "oneOf": [
            { "type": "null" },
            { "type": "string", "minLength": 1 },
            { "$ref": "#/components/schemas/Audience" },
        ] }),
        ("EnrollRequest", "device_id") => text(1, MAX_DEVICE_ID_BYTES),
        ("EnrollRequest", "package_name") => package(),
        ("EnrollRequest", "sdk") => between(0, u32::MAX.into()),
        ("EnrollRequest", "current_version_code") => json!({ "minimum": 0 }),
        ("EnrollRequest", "alias" | "model" | "manufacturer" | "region" | "android_version") => {
            text(0, MAX_ATTRIBUTE_BYTES)
        }
        ("EnrollRequest" | "FcmTokenRequest", "fcm_token") => text(0, MAX_FCM_TOKEN_BYTES),
        ("ReportRequest", "status") => json!({ "enum": ReportStatus::ALL.map(ReportStatus::as_str) }),
        ("ReportRequest", "patch") => json!({ "enum": PatchOutcome::ALL.map(PatchOutcome::as_str) }),
        ("CheckUpdateRequest", "patches") => text(0, MAX_PATCH_FORMATS_BYTES),
        ("ReportRequest", "reason") => text(0, MAX_REASON_BYTES),
        ("ReportRequest", "message") => text(0, MAX_MESSAGE_BYTES),
        ("ReportRequest", "request_id") => text(0, MAX_REQUEST_ID_BYTES),
        ("ReportRequest", "attempt") => between(0, u32::MAX.into()),
        ("ActionResultRequest", "outcome") => text(1, MAX_OUTCOME_BYTES),
        ("ActionResultRequest", "message") => text(0, MAX_MESSAGE_BYTES),
        ("NudgeUpdateRequest", "device_ids") => {
            json!({ "items": device(), "minItems": 1, "maxItems": MAX_NAMED_DEVICES })
        }
        ("NudgeUpdateRequest", "audience") => json!({ "enum": ["", "all", "behind"] }),
        ("NudgeUpdateRequest", "priority") => json!({ "enum": ["", "normal", "high"] }),
        ("NudgeUpdateRequest", "ttl_s") => between(1, MAX_NUDGE_TTL.as_secs()),
        ("NudgeUpdateRequest", "idempotency_key") => text(0, MAX_IDEMPOTENCY_KEY_BYTES),
        ("EraseDeviceRequest", "confirm") => text(1, MAX_DEVICE_ID_BYTES),
        ("SetBuildNotesRequest" | "EditBuildRequest", "notes") => text(0, MAX_NOTES_BYTES),
        ("CreateEnrollmentTokenRequest", "uses") => between(0, MAX_ENROLL_USES.into()),
        ("EnrollRequest", "enrollment_key") => text(MIN_ENROLLMENT_KEY_CHARS, MAX_ENROLLMENT_KEY_CHARS),
        ("EnrollRequest", "previous_token") => text(0, MAX_PREVIOUS_TOKEN_BYTES),
        ("CreateEnrollmentTokenRequest" | "AllowEnrolmentRequest", "ttl_s") => {
            between(0, MAX_ENROLL_TTL_DAYS.unsigned_abs() * 24 * 3600)
        }
        ("TagDevicesRequest", "add" | "remove") => {
            json!({ "items": device(), "maxItems": MAX_TAGGED_AT_ONCE })
        }
        ("AddUserRequest" | "SetUserRoleRequest" | "AddServiceAccountRequest", "role") => {
            json!({ "enum": Role::ALL.map(Role::as_str) })
        }
        ("AddUserRequest" | "AddServiceAccountRequest", "name") => text(1, MAX_USER_NAME_BYTES),
        ("AddUserRequest" | "SetUserPasswordRequest", "password") => {
            text(MIN_PASSWORD_BYTES, MAX_PASSWORD_BYTES)
        }
        ("AddServiceAccountRequest" | "AddServiceTokenRequest", "ttl_s") => {
            between(0, MAX_ADMIN_TTL_DAYS.unsigned_abs() * 24 * 3600)
        }
        ("AddServiceAccountRequest", "packages") => {
            json!({ "items": { "type": "string", "pattern": PACKAGE, "maxLength": MAX_PACKAGE_NAME_BYTES } })
        }
        ("AddServiceAccountRequest", "verbs") => {
            json!({ "items": { "type": "string", "enum": Verb::ALL.map(Verb::as_str) } })
        }
        ("CreateCalendarRequest" | "UpdateCalendarRequest", "zone") => text(1, MAX_ATTRIBUTE_BYTES),
        ("RenameTagRequest", "to") => tag(),
        ("Slice", "start") => json!({ "oneOf": [
            { "type": "number", "minimum": 0, "exclusiveMaximum": 100 },
            { "type": "string", "enum": ["auto"] },
        ] }),
        ("Slice", "width_percent") => json!({ "exclusiveMinimum": 0, "maximum": 100 }),
        ("Gate", "mode") => json!({ "enum": ["", "act", "hold", "watch"] }),
        ("Gate", "failed_percent" | "corrupt_percent") => json!({ "minimum": 0.01, "maximum": 50 }),
        (
            "PromoteRequest" | "CreateRolloutRequest" | "EditRolloutRequest" | "EditPackageRequest",
            "on_halt",
        ) => json!({ "enum": [null, "hold", "roll_back"] }),
        ("ResumeRolloutRequest", "acknowledged_failures") => json!({ "minimum": 0 }),
        (
            "CreatePolicyRequest" | "UpdatePolicyRequest" | "SetHoldRequest" | "ResumeRolloutRequest",
            "remark",
        ) => text(1, MAX_REMARK_BYTES),
        ("CreatePolicyRequest" | "UpdatePolicyRequest", "max_version") => json!({ "minimum": 0 }),
        // 32 pairs of hex digits, with or without the 31 colons.
        ("PinSignerRequest", "signer_fingerprint") => text(64, 95),
        _ => return None,
    };
    limit.as_object().cloned()
}

/// Of a parameter, which means the same wherever it stands.
pub(super) fn of_parameter(name: &str, is_required: bool) -> Option<Map<String, Value>> {
    let limit = match name {
        "id" => json!({ "minimum": 1 }),
        // Left empty in a list, each of these stands for all.
        "device_id" => text(usize::from(is_required), MAX_DEVICE_ID_BYTES),
        "tag" if is_required => tag(),
        "package_name" if is_required => package(),
        "hours" => between(0, MAX_STATS_HOURS.unsigned_abs()),
        "page_size" | "current_version_code" | "expires" => json!({ "minimum": 0 }),
        "min_version" | "max_version" => json!({ "minimum": 0 }),
        "search" => text(0, MAX_SEARCH_BYTES),
        "reason" => text(0, MAX_REASON_BYTES),
        "fate" => words(FailureFate::ALL.map(FailureFate::as_str)),
        "sort" => words(DeviceSort::ALL.map(DeviceSort::as_str)),
        "sdk" | "min_sdk" | "max_sdk" | "protocol" | "crashes" => between(0, u32::MAX.into()),
        "model" | "region" | "abi" | "manufacturer" | "android" | "zone" | "tags" => {
            text(0, MAX_ATTRIBUTE_BYTES)
        }
        _ => return None,
    };
    limit.as_object().cloned()
}

/// One of these, or nothing.
fn words(known: [&str; 3]) -> Value {
    let all: Vec<&str> = std::iter::once("").chain(known).collect();
    json!({ "enum": all })
}

fn device() -> Value {
    text_of(1, MAX_DEVICE_ID_BYTES)
}

fn package() -> Value {
    json!({ "pattern": PACKAGE, "maxLength": MAX_PACKAGE_NAME_BYTES })
}

fn tag() -> Value {
    json!({ "pattern": TAG, "maxLength": MAX_TAG_BYTES })
}

fn between(least: u64, most: u64) -> Value {
    json!({ "minimum": least, "maximum": most })
}

fn text_of(shortest: usize, longest: usize) -> Value {
    json!({ "type": "string", "minLength": shortest, "maxLength": longest })
}

fn text(shortest: usize, longest: usize) -> Value {
    json!({ "minLength": shortest, "maxLength": longest })
}
