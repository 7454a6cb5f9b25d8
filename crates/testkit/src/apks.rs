//! Small signed APKs.

use std::sync::OnceLock;

use tidegate_apk::build::{ApkBuilder, SigningKey};

/// The package that most stories are about.
pub const PACKAGE: &str = "com.example.app";

/// The key that signs all builds, unless a test is about another.
pub fn key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate("Example release").expect("no key"))
}

/// Somebody else's key.
pub fn foreign_key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate("Somebody else").expect("no key"))
}

/// A release of a package, signed with [`key`]: a few kilobytes.
pub fn build(package: &str, version_code: i64) -> Vec<u8> {
    sign(release(package, version_code))
}

/// A release with so many incompressible bytes in it.
pub fn large(package: &str, version_code: i64, bytes: usize) -> Vec<u8> {
    sign(release(package, version_code).padding(bytes))
}

/// The same, for a test to change before it is signed.
pub fn release(package: &str, version_code: i64) -> ApkBuilder {
    ApkBuilder::new(package, version_code).version_name(&format!("1.{version_code}"))
}

/// Signed with [`key`].
pub fn sign(apk: ApkBuilder) -> Vec<u8> {
    apk.sign(key()).expect("can't sign")
}
