//! Every rule of the scheme, each with the file that breaks it.

mod attributes;
mod formats;
mod kit;
mod levels;

use kit::{Key, Memory, block, manifest, sha256, signature_file, signed};

use super::*;

const NOUGAT: SdkRange = SdkRange {
    min: 24,
    max: SdkRange::OPEN,
};

/// Verifies as on Android 7 and newer, without newer signatures.
fn check(archive: &Memory) -> Result<JarVerdict, Error> {
    verify(archive, NOUGAT, &[])
}

/// The rule that the archive breaks and the place where.
fn refusal(archive: &Memory) -> (Rule, String) {
    refusal_at(archive, NOUGAT)
}

fn refusal_at(archive: &Memory, range: SdkRange) -> (Rule, String) {
    let error = verify(archive, range, &[]).expect_err("it should be refused");
    let refusal = error.refusal().expect("it should name a rule");
    (refusal.rule, refusal.place.clone())
}

fn broken(rule: Rule, place: &str) -> (Rule, String) {
    (rule, place.to_owned())
}

#[test]
fn a_signed_archive_names_its_signer() {
    let key = Key::new("Release");
    let verdict = check(&signed(&[&key], "")).unwrap();
    assert_eq!(verdict.signers.len(), 1);
    assert_eq!(verdict.signers[0].name, "CERT0.EC");
    assert_eq!(verdict.signers[0].certificates[0].der, key.certificate());
    assert_eq!(verdict.signers[0].certificates[0].subject, "CN=Release");
    assert_eq!(verdict.ignored, []);
    assert_eq!(verdict.warnings, []);
}

#[test]
fn a_changed_entry_is_refused() {
    let mut archive = signed(&[&Key::new("a")], "");
    archive.set("classes.dex", "other code");
    assert_eq!(refusal(&archive), broken(Rule::JarEntryDigest, "classes.dex"));
}

#[test]
fn an_entry_added_after_signing_is_refused() {
    let mut archive = signed(&[&Key::new("a")], "");
    archive.set("lib/x86/libevil.so", "payload");
    assert_eq!(
        refusal(&archive),
        broken(Rule::JarUnsignedEntry, "lib/x86/libevil.so")
    );
}

#[test]
fn an_entry_removed_after_signing_is_refused() {
    let mut archive = signed(&[&Key::new("a")], "");
    archive.0.retain(|(name, _)| name != "classes.dex");
    assert_eq!(refusal(&archive), broken(Rule::JarMissingEntry, "classes.dex"));
}

#[test]
fn a_duplicate_entry_name_is_refused() {
    let mut archive = signed(&[&Key::new("a")], "");
    archive.0.push(("classes.dex".into(), b"second code".to_vec()));
    assert_eq!(refusal(&archive), broken(Rule::DuplicateEntry, "classes.dex"));
}

#[test]
fn folders_need_no_signature() {
    let mut archive = signed(&[&Key::new("a")], "");
    archive.set("res/", "");
    archive.set("META-INF/", "");
    assert_eq!(check(&archive).unwrap().warnings, []);
}

#[test]
fn an_entry_beside_the_signature_is_reported_as_unprotected() {
    let mut archive = signed(&[&Key::new("a")], "");
    archive.set("META-INF/services/org.example.Plugin", "anything");
    let entry = "META-INF/services/org.example.Plugin".to_owned();
    assert_eq!(
        check(&archive).unwrap().warnings,
        [JarWarning::UnprotectedEntry { entry }]
    );
}

#[test]
fn an_entry_that_the_signature_file_leaves_out_is_refused() {
    let key = Key::new("a");
    let mut archive = signed(&[&key], "");
    let file = archive.text("META-INF/CERT0.SF");
    let file = &file[..file.find("Name: classes.dex").unwrap()];
    archive.set("META-INF/CERT0.SF", file);
    archive.set("META-INF/CERT0.EC", key.block(file.as_bytes()));
    assert_eq!(refusal(&archive), broken(Rule::JarUnsignedEntry, "classes.dex"));
}

#[test]
fn without_manifest_or_signature_it_is_unsigned() {
    let mut archive = signed(&[], "");
    assert_eq!(refusal(&archive), broken(Rule::JarSigners, "META-INF/"));
    archive.0.retain(|(name, _)| !name.starts_with("META-INF/"));
    assert_eq!(
        refusal(&archive),
        broken(Rule::JarManifest, "META-INF/MANIFEST.MF")
    );
}

#[test]
fn a_changed_signature_file_is_refused() {
    let mut archive = signed(&[&Key::new("a")], "");
    let file = archive.text("META-INF/CERT0.SF") + "Name: extra\r\nSHA-256-Digest: AAAA\r\n\r\n";
    archive.set("META-INF/CERT0.SF", file);
    assert_eq!(refusal(&archive), broken(Rule::JarSignature, "META-INF/CERT0.EC"));
}

#[test]
fn a_block_of_another_key_under_the_same_name_is_another_signer() {
    let mut archive = signed(&[&Key::new("a")], "");
    let thief = Key::new("a");
    let file = archive.text("META-INF/CERT0.SF");
    archive.set("META-INF/CERT0.EC", thief.block(file.as_bytes()));
    let verdict = check(&archive).unwrap();
    assert_eq!(verdict.signers[0].certificates[0].der, thief.certificate());
}

#[test]
fn a_certificate_exchanged_for_one_of_the_same_name_does_not_verify() {
    let key = Key::new("a");
    let mut archive = signed(&[&key], "");
    let file = archive.text("META-INF/CERT0.SF");
    let forged = block(
        &[&Key::new("a").certificate()],
        &[&key.signer_info(file.as_bytes())],
    );
    archive.set("META-INF/CERT0.EC", forged);
    assert_eq!(refusal(&archive), broken(Rule::JarSignature, "META-INF/CERT0.EC"));
}

#[test]
fn a_block_without_its_certificate_is_refused() {
    let key = Key::new("a");
    let mut archive = signed(&[&key], "");
    let file = archive.text("META-INF/CERT0.SF");
    let other = block(
        &[&Key::new("b").certificate()],
        &[&key.signer_info(file.as_bytes())],
    );
    archive.set("META-INF/CERT0.EC", other);
    assert_eq!(
        refusal(&archive),
        broken(Rule::JarCertificate, "META-INF/CERT0.EC")
    );
}

#[test]
fn a_block_without_signer_is_refused() {
    let key = Key::new("a");
    let mut archive = signed(&[&key], "");
    archive.set("META-INF/CERT0.EC", block(&[&key.certificate()], &[]));
    assert_eq!(refusal(&archive), broken(Rule::JarSignature, "META-INF/CERT0.EC"));
}

#[test]
fn a_block_without_its_signature_file_is_skipped() {
    let key = Key::new("a");
    let mut archive = signed(&[&key], "");
    archive.set("META-INF/OTHER.RSA", "anything");
    let missing = JarWarning::MissingSignatureFile {
        block: "META-INF/OTHER.RSA".into(),
        file: "META-INF/OTHER.SF".into(),
    };
    let unprotected = JarWarning::UnprotectedEntry {
        entry: "META-INF/OTHER.RSA".into(),
    };
    assert_eq!(check(&archive).unwrap().warnings, [missing, unprotected]);
}

#[test]
fn two_signers_of_everything_are_both_seen() {
    let verdict = check(&signed(&[&Key::new("a"), &Key::new("b")], "")).unwrap();
    let names: Vec<&str> = verdict
        .signers
        .iter()
        .map(|signer| signer.name.as_str())
        .collect();
    assert_eq!(names, ["CERT0.EC", "CERT1.EC"]);
}

#[test]
fn signers_that_differ_between_entries_are_refused() {
    let (first, second) = (Key::new("a"), Key::new("b"));
    let mut archive = signed(&[&first, &second], "");
    let file = archive.text("META-INF/CERT1.SF");
    let file = &file[..file.find("Name: classes.dex").unwrap()];
    archive.set("META-INF/CERT1.SF", file);
    archive.set("META-INF/CERT1.EC", second.block(file.as_bytes()));
    assert_eq!(refusal(&archive), broken(Rule::JarSigners, "classes.dex"));
}

#[test]
fn a_signer_of_nothing_is_ignored() {
    let (first, second) = (Key::new("a"), Key::new("b"));
    let mut archive = signed(&[&first, &second], "");
    let file = archive.text("META-INF/CERT1.SF");
    let file = &file[..file.find("Name: ").unwrap()];
    archive.set("META-INF/CERT1.SF", file);
    archive.set("META-INF/CERT1.EC", second.block(file.as_bytes()));
    let verdict = check(&archive).unwrap();
    assert_eq!(verdict.signers.len(), 1);
    assert_eq!(verdict.ignored[0].name, "CERT1.EC");
}

#[test]
fn ten_signers_are_taken_and_eleven_refused() {
    let keys: Vec<Key> = (0..11)
        .map(|index| Key::new(&format!("signer {index}")))
        .collect();
    let keys: Vec<&Key> = keys.iter().collect();
    assert_eq!(check(&signed(&keys[..10], "")).unwrap().signers.len(), 10);
    assert_eq!(refusal(&signed(&keys, "")), broken(Rule::JarSigners, "META-INF/"));
}

#[test]
fn one_bad_signer_spoils_the_file() {
    let mut archive = signed(&[&Key::new("a"), &Key::new("b")], "");
    archive.set("META-INF/CERT1.EC", "not a block");
    assert_eq!(refusal(&archive), broken(Rule::JarMalformed, "META-INF/CERT1.EC"));
}

#[test]
fn a_stripped_v2_signature_is_noticed() {
    let archive = signed(&[&Key::new("a")], "X-Android-APK-Signed: 2\r\n");
    assert_eq!(refusal(&archive), broken(Rule::JarStripped, "META-INF/CERT0.SF"));
    assert!(verify(&archive, NOUGAT, &[2]).is_ok());
}

#[test]
fn a_stripped_v3_signature_is_noticed() {
    let archive = signed(&[&Key::new("a")], "X-Android-APK-Signed: 2, 3\r\n");
    let error = verify(&archive, NOUGAT, &[2]).unwrap_err();
    assert_eq!(error.rule(), Some(Rule::JarStripped));
    assert!(verify(&archive, NOUGAT, &[2, 3]).is_ok());
}

#[test]
fn a_newer_signature_that_is_not_announced_is_worth_a_warning() {
    let verdict = verify(&signed(&[&Key::new("a")], ""), NOUGAT, &[2]).unwrap();
    let file = "META-INF/CERT0.SF".to_owned();
    assert_eq!(verdict.warnings, [JarWarning::NoStrippingProtection { file }]);
}

#[test]
fn an_announced_scheme_of_the_future_is_worth_a_warning() {
    let verdict = check(&signed(
        &[&Key::new("a")],
        "X-Android-APK-Signed: nonsense, 99,,\r\n",
    ))
    .unwrap();
    let file = "META-INF/CERT0.SF".to_owned();
    assert_eq!(verdict.warnings, [JarWarning::UnknownScheme { file, scheme: 99 }]);
}

#[test]
fn a_manifest_larger_than_the_bound_is_refused() {
    let mut archive = signed(&[&Key::new("a")], "");
    archive.set("META-INF/MANIFEST.MF", vec![b'\n'; 33 << 20]);
    assert_eq!(refusal(&archive), broken(Rule::TooLarge, "META-INF/MANIFEST.MF"));
}

#[test]
fn a_manifest_changed_outside_of_the_signed_sections_is_checked_section_by_section() {
    let mut archive = signed(&[&Key::new("a")], "");
    let text = archive
        .text("META-INF/MANIFEST.MF")
        .replacen("(Tidegate)", "(Other)", 1);
    archive.set("META-INF/MANIFEST.MF", text);
    let file = "META-INF/CERT0.SF".to_owned();
    let warning = JarWarning::ManifestDigest {
        file,
        digest: Digest::Sha256,
    };
    assert_eq!(check(&archive).unwrap().warnings, [warning]);
}

#[test]
fn a_manifest_changed_in_a_signed_section_is_refused() {
    let mut archive = signed(&[&Key::new("a")], "");
    archive.set("classes.dex", "other code");
    let old = sha256(b"the code");
    let text = archive
        .text("META-INF/MANIFEST.MF")
        .replacen(&old, &sha256(b"other code"), 1);
    archive.set("META-INF/MANIFEST.MF", text);
    assert_eq!(refusal(&archive), broken(Rule::JarSignatureFile, "classes.dex"));
}

#[test]
fn a_changed_main_section_is_refused_where_it_is_signed() {
    let key = Key::new("a");
    let main = "Manifest-Version: 1.0\r\nCreated-By: 1.0 (Tidegate)\r\n\r\n";
    let attribute = format!(
        "SHA-256-Digest-Manifest-Main-Attributes: {}\r\n",
        sha256(main.as_bytes())
    );
    let mut archive = signed(&[&key], &attribute);
    assert!(check(&archive).is_ok());
    let text = archive
        .text("META-INF/MANIFEST.MF")
        .replacen("(Tidegate)", "(Other)", 1);
    archive.set("META-INF/MANIFEST.MF", text);
    assert_eq!(
        refusal(&archive),
        broken(Rule::JarSignatureFile, "META-INF/CERT0.SF")
    );
}

#[test]
fn a_signature_file_without_version_is_ignored() {
    let key = Key::new("a");
    let mut archive = signed(&[&key], "");
    let file = archive
        .text("META-INF/CERT0.SF")
        .replacen("Signature-Version", "Version", 1);
    archive.set("META-INF/CERT0.EC", key.block(file.as_bytes()));
    archive.set("META-INF/CERT0.SF", file);
    assert_eq!(refusal(&archive), broken(Rule::JarSigners, "META-INF/"));
}

#[test]
fn a_block_cut_off_anywhere_is_refused() {
    let archive = signed(&[&Key::new("a")], "");
    let whole = archive
        .0
        .iter()
        .find(|(name, _)| name.ends_with(".EC"))
        .unwrap()
        .1
        .clone();
    for end in 0..whole.len() {
        let mut archive = archive.clone();
        archive.set("META-INF/CERT0.EC", &whole[..end]);
        assert!(check(&archive).is_err(), "cut at {end} of {}", whole.len());
    }
}

#[test]
fn a_flipped_bit_in_a_block_never_lets_another_key_in() {
    let key = Key::new("a");
    let spki = Certificate::parse(&key.certificate()).unwrap().spki_der;
    let archive = signed(&[&key], "");
    let whole = archive
        .0
        .iter()
        .find(|(name, _)| name.ends_with(".EC"))
        .unwrap()
        .1
        .clone();
    let mut refused = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x04;
        let mut archive = archive.clone();
        archive.set("META-INF/CERT0.EC", bytes);
        match check(&archive) {
            // Much of a block is nobody's: versions, dates, the certificate's own signature.
            Ok(verdict) => assert_eq!(verdict.signers[0].certificates[0].spki_der, spki, "at {at}"),
            Err(_) => refused += 1,
        }
    }
    assert!(
        refused > whole.len() / 2,
        "{refused} of {} were refused",
        whole.len()
    );
}

#[test]
fn a_manifest_that_names_an_entry_twice_is_refused() {
    let key = Key::new("a");
    let mut archive = signed(&[&key], "");
    let text = archive.text("META-INF/MANIFEST.MF");
    let section = &text[text.find("Name: classes.dex").unwrap()..];
    let text = format!("{text}{section}");
    archive.set("META-INF/MANIFEST.MF", text);
    assert_eq!(refusal(&archive), broken(Rule::JarManifest, "classes.dex"));
}

#[test]
fn a_manifest_section_without_name_is_refused() {
    let mut archive = signed(&[&Key::new("a")], "");
    let text = archive.text("META-INF/MANIFEST.MF") + "SHA-256-Digest: AAAA\r\n\r\n";
    archive.set("META-INF/MANIFEST.MF", text);
    assert_eq!(
        refusal(&archive),
        broken(Rule::JarManifest, "META-INF/MANIFEST.MF")
    );
}

#[test]
fn an_entry_whose_section_has_no_digest_is_refused() {
    let key = Key::new("a");
    let mut archive = signed(&[&key], "");
    let text = manifest(&[("AndroidManifest.xml", b"the binary manifest")]) + "Name: classes.dex\r\n\r\n";
    let file = signature_file(&text, "");
    archive.set("META-INF/MANIFEST.MF", text);
    archive.set("META-INF/CERT0.EC", key.block(file.as_bytes()));
    archive.set("META-INF/CERT0.SF", file);
    assert_eq!(refusal(&archive), broken(Rule::JarUnsignedEntry, "classes.dex"));
}

#[test]
fn a_digest_that_is_not_base64_is_refused() {
    let key = Key::new("a");
    let mut archive = signed(&[&key], "");
    let old = sha256(b"the code");
    let text = archive
        .text("META-INF/MANIFEST.MF")
        .replacen(&old, "*** no base64 ***", 1);
    let file = signature_file(&text, "");
    archive.set("META-INF/MANIFEST.MF", text);
    archive.set("META-INF/CERT0.EC", key.block(file.as_bytes()));
    archive.set("META-INF/CERT0.SF", file);
    assert_eq!(refusal(&archive), broken(Rule::JarMalformed, "classes.dex"));
}
