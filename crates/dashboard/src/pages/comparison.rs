//! How a build differs from the one whose place it would take, in people's words.

/// What a list or a fact is called on the page.
pub(crate) fn label(name: &str) -> &str {
    match name {
        "version_code" => "Version code",
        "version_name" => "Version",
        "min_sdk" => "Lowest API level",
        "target_sdk" => "Written for API level",
        "installs_on" => "Installs on API levels",
        "debuggable" => "Debuggable",
        "signers" => "Signers",
        "permissions" => "Permission",
        "declared_permissions" => "Declared permission",
        "features" => "Feature",
        "libraries" => "Library",
        "exported_components" => "Exported",
        "native_libraries" => "Native library",
        "abis" => "Native code for",
        other => other,
    }
}

/// A text that may be empty.
pub(crate) fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}
