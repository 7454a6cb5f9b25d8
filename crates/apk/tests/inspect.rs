//! What an operator sees of a file before anything is verified.

use tidegate_apk::build::{ApkBuilder, ManifestForm, SigningKey};
use tidegate_apk::{Rule, Scheme, inspect};

fn key() -> SigningKey {
    SigningKey::generate("Example release").expect("a key")
}

#[test]
fn a_signed_build_tells_package_version_platforms_and_signer() {
    let key = key();
    let apk = ApkBuilder::new("com.example.app", 7)
        .version_name("1.2")
        .min_sdk(26)
        .target_sdk(35)
        .lib("x86_64", "libx.so", vec![1; 5000])
        .lib("arm64-v8a", "libx.so", vec![2; 5000])
        .lib("arm64-v8a", "liby.so", vec![3; 10])
        .file("assets/lib/mips/libz.so", b"not a library".to_vec())
        .sign(&key)
        .unwrap();
    let seen = inspect(&apk).unwrap();
    assert_eq!((seen.package.as_str(), seen.version_code), ("com.example.app", 7));
    assert_eq!(
        (seen.version_name.as_str(), seen.min_sdk, seen.target_sdk),
        ("1.2", 26, 35)
    );
    assert_eq!(seen.abis, ["arm64-v8a", "x86_64"]);
    assert!(!seen.debuggable && !seen.test_only);
    assert_eq!(seen.schemes.to_string(), "v2,v3");
    let newest = &seen.signers[0];
    assert_eq!((newest.scheme, newest.sha256), (Scheme::V3, key.fingerprint()));
    assert_eq!(
        (newest.subject.as_str(), newest.key_bits),
        ("CN=Example release", 256)
    );
    assert_eq!(
        seen.signers_at(24)
            .map(|signer| signer.scheme)
            .collect::<Vec<_>>(),
        [Scheme::V2]
    );
    assert_eq!(
        seen.signers_at(28)
            .map(|signer| signer.scheme)
            .collect::<Vec<_>>(),
        [Scheme::V3]
    );
}

#[test]
fn the_manifest_may_write_its_values_in_any_form_and_encoding() {
    for form in [ManifestForm::Typed, ManifestForm::References] {
        for utf8 in [false, true] {
            let apk = ApkBuilder::new("org.example.übrig".replace('ü', "ue").as_str(), 3 << 32 | 5)
                .version_name("β-7 «long» 🚀")
                .min_sdk(21)
                .target_sdk(33)
                .debuggable(true)
                .test_only(true)
                .manifest_form(form);
            let apk = if utf8 { apk.utf8_strings() } else { apk };
            let seen = inspect(&apk.unsigned()).unwrap();
            assert_eq!(seen.package, "org.example.uebrig", "{form:?}");
            assert_eq!(
                (seen.version_code, seen.version_name.as_str()),
                (3 << 32 | 5, "β-7 «long» 🚀")
            );
            assert_eq!((seen.min_sdk, seen.target_sdk), (21, 33), "{form:?}");
            assert!(seen.debuggable && seen.test_only, "{form:?}");
        }
    }
}

#[test]
fn a_manifest_without_levels_gets_androids_defaults() {
    let seen = inspect(
        &ApkBuilder::new("a.b", 1)
            .min_sdk(None)
            .target_sdk(None)
            .unsigned(),
    )
    .unwrap();
    assert_eq!((seen.min_sdk, seen.target_sdk), (1, 1));
    let seen = inspect(&ApkBuilder::new("a.b", 1).min_sdk(19).target_sdk(None).unsigned()).unwrap();
    assert_eq!((seen.min_sdk, seen.target_sdk), (19, 19));
}

#[test]
fn an_unsigned_build_has_no_signers() {
    let seen = inspect(&ApkBuilder::new("a.b", 1).unsigned()).unwrap();
    assert!(seen.schemes.is_empty() && seen.signers.is_empty());
}

#[test]
fn a_zip_without_manifest_is_no_apk() {
    let apk = ApkBuilder::new("a.b", 1).unsigned();
    let text = String::from_utf8_lossy(&apk).replace("AndroidManifest.xml", "AndroidManifest.xmm");
    assert!(text.contains("xmm"));
    let other = replace_all(&apk, b"AndroidManifest.xml", b"AndroidManifest.xmm");
    assert_eq!(inspect(&other).unwrap_err().rule(), Some(Rule::MissingEntry));
}

#[test]
fn a_file_of_hundreds_of_megabytes_is_not_read() {
    /// Counts the bytes that are asked for.
    struct Counting(Vec<u8>, std::sync::atomic::AtomicU64);
    impl tidegate_apk::Source for Counting {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
            self.1
                .fetch_add(buf.len() as u64, std::sync::atomic::Ordering::Relaxed);
            self.0.read_exact_at(buf, offset)
        }
    }
    let apk = ApkBuilder::new("a.b", 1).padding(4 << 20).sign(&key()).unwrap();
    let counting = Counting(apk, 0.into());
    inspect(&counting).unwrap();
    assert!(counting.1.into_inner() < 200 << 10);
}

#[test]
fn keys_survive_being_stored() {
    let key = key();
    let again = SigningKey::from_der(key.pkcs8(), key.certificate_der()).unwrap();
    assert_eq!(again.fingerprint(), key.fingerprint());
    assert!(SigningKey::from_der(key.pkcs8(), self::key().certificate_der()).is_err());
    assert!(!format!("{key:?}").contains("pkcs8"));
}

#[test]
fn the_same_build_is_the_same_bytes() {
    let build = || {
        ApkBuilder::new("a.b", 1)
            .padding(1000)
            .file("assets/a.txt", vec![b'a'; 3000])
            .unsigned()
    };
    assert_eq!(build(), build());
}

fn replace_all(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}
