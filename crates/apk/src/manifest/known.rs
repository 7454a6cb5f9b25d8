//! The attributes and elements that are read, by the names and numbers that Android knows them by.
//!
//! The platform's parser finds an attribute by the resource id of its name; the one that looks at a file before
//! it (`ApkLiteParseUtils`) finds it by namespace and name. So both are needed to know what devices see.

/// An attribute of the namespace `android`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// The resource id of its name (`R.attr`).
    pub(crate) id: u32,
    pub(crate) name: &'static str,
}

macro_rules! attributes {
    ($($(#[$condition:meta])* $constant:ident = $id:literal $name:literal,)*) => {
        $($(#[$condition])* pub(crate) const $constant: Attribute = Attribute { id: $id, name: $name };)*
    };
}

attributes! {
    MANAGE_SPACE_ACTIVITY = 0x0101_0004 "manageSpaceActivity",
    NAME = 0x0101_0003 "name",
    PERMISSION = 0x0101_0006 "permission",
    PROTECTION_LEVEL = 0x0101_0009 "protectionLevel",
    PERMISSION_GROUP = 0x0101_000a "permissionGroup",
    SHARED_USER_ID = 0x0101_000b "sharedUserId",
    HAS_CODE = 0x0101_000c "hasCode",
    DEBUGGABLE = 0x0101_000f "debuggable",
    EXPORTED = 0x0101_0010 "exported",
    PROCESS = 0x0101_0011 "process",
    TASK_AFFINITY = 0x0101_0012 "taskAffinity",
    AUTHORITIES = 0x0101_0018 "authorities",
    TARGET_PACKAGE = 0x0101_0021 "targetPackage",
    VALUE = 0x0101_0024 "value",
    RESOURCE = 0x0101_0025 "resource",
    MIME_TYPE = 0x0101_0026 "mimeType",
    SCHEME = 0x0101_0027 "scheme",
    HOST = 0x0101_0028 "host",
    TARGET_ACTIVITY = 0x0101_0202 "targetActivity",
    MIN_SDK_VERSION = 0x0101_020c "minSdkVersion",
    VERSION_CODE = 0x0101_021b "versionCode",
    VERSION_NAME = 0x0101_021c "versionName",
    TARGET_SDK_VERSION = 0x0101_0270 "targetSdkVersion",
    MAX_SDK_VERSION = 0x0101_0271 "maxSdkVersion",
    TEST_ONLY = 0x0101_0272 "testOnly",
    GL_ES_VERSION = 0x0101_0281 "glEsVersion",
    REQUIRED = 0x0101_028e "required",
    EXTRACT_NATIVE_LIBS = 0x0101_04ea "extractNativeLibs",
    VERSION = 0x0101_0519 "version",
    CERT_DIGEST = 0x0101_0548 "certDigest",
    TARGET_SANDBOX_VERSION = 0x0101_054c "targetSandboxVersion",
    IS_FEATURE_SPLIT = 0x0101_055b "isFeatureSplit",
    VERSION_CODE_MAJOR = 0x0101_0576 "versionCodeMajor",
    IS_SPLIT_REQUIRED = 0x0101_0591 "isSplitRequired",
    REQUIRED_SPLIT_TYPES = 0x0101_064e "requiredSplitTypes",
}

/// The elements that something is read from. Android compares names without their namespace.
pub(crate) const ELEMENTS: [&str; 19] = [
    "manifest",
    "uses-sdk",
    "application",
    "instrumentation",
    "permission",
    "uses-permission",
    "uses-permission-sdk-23",
    "uses-permission-sdk-m",
    "uses-feature",
    "uses-library",
    "uses-native-library",
    "uses-static-library",
    "activity",
    "activity-alias",
    "service",
    "receiver",
    "provider",
    "intent-filter",
    "action",
];

/// Further elements that Android's parser looks into, and refuses a file for.
pub(crate) const PARTS: [&str; 15] = [
    "permission-group",
    "permission-tree",
    "meta-data",
    "property",
    "preferred",
    "category",
    "data",
    "queries",
    "intent",
    "package",
    "processes",
    "process",
    "overlay",
    "uses-split",
    "static-library",
];
