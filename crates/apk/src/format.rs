//! What a file is when it is no APK, and what to do about it.
//!
//! People hand in what their build made: a bundle for a store, a set of APKs, a library. Each is told by a few
//! names in it or by its first bytes.

use crate::manifest::MANIFEST;
use crate::source::read_vec;
use crate::zip::{Archive, Entry};
use crate::{Error, Rule, Source};

const BUNDLE: &str = "an app bundle (.aab), from which a store builds APKs. Build one with: bundletool build-apks --mode=universal";
const APKS: &str = "a set of APKs (.apks) as bundletool makes it. Take universal.apk out of it, made with: \
                    bundletool build-apks --mode=universal";
const XAPK: &str =
    "a set of APKs (.xapk) as download sites make it. Ask the app's developer for a single APK";
const APKM: &str =
    "a set of APKs (.apkm) as download sites make it. Ask the app's developer for a single APK";
const ZIPPED: &str = "a ZIP archive with an APK in it. Unpack it and take the APK";
const AAR: &str = "an Android library (.aar), which apps are built with. Build the app: assembleRelease";
const JAR: &str = "a Java archive (.jar) without AndroidManifest.xml. Build the app: assembleRelease";
const TEXT_MANIFEST: &str = "its manifest is text: an unpacked project, zipped, or a library (.aar). Build the \
                             app: assembleRelease";
const PROTO_MANIFEST: &str = "its manifest is in the format of app bundles. Convert it with: aapt2 convert \
                              --output-format binary, then sign it; or build an APK";
const IDSIG: &str = "a signature file (.idsig), which belongs beside an APK. Take the file without .idsig";

const TEXT: &str = "a text file, perhaps a message that was saved as a file. Download or build the APK again";
const EMPTY: &str = "an empty file: a download or a copy that failed. Take the APK again";
const CUT_OFF: &str =
    "begins as a ZIP archive and has no end: cut off, as by a download that broke. Take it again";
const NO_ZIP: &str = "not a ZIP archive, which an APK is";

/// How many bytes at the start of a file are looked at.
const HEAD_BYTES: usize = 1024;
/// First bytes of formats that are no ZIP archive.
const HEADS: [(&[u8], &str); 7] = [
    (b"\x1f\x8b", "a file compressed with gzip. Unpack it first"),
    (b"\xfd7zXZ\0", "a file compressed with xz. Unpack it first"),
    (
        b"7z\xbc\xaf\x27\x1c",
        "a 7-Zip archive. Unpack it and take the APK",
    ),
    (b"Rar!", "a RAR archive. Unpack it and take the APK"),
    (
        b"dex\n",
        "the code of an app (.dex) without the app. Build the app: assembleRelease",
    ),
    (
        b"<!DOCTYPE",
        "a web page, perhaps an error that was saved as a file. Download the APK again",
    ),
    (
        b"<html",
        "a web page, perhaps an error that was saved as a file. Download the APK again",
    ),
];

/// What a file without an archive's end is, as far as its first bytes tell.
///
/// # Errors
/// [`Error::Read`].
pub(crate) fn of_file(source: &dyn Source) -> Result<Error, Error> {
    let len = usize::try_from(source.len()).map_or(HEAD_BYTES, |len| len.min(HEAD_BYTES));
    let head = read_vec(source, 0, len)?;
    let known = HEADS
        .iter()
        .find(|(start, _)| head.starts_with(start))
        .map(|(_, what)| *what);
    if let Some(known) = known.or_else(|| is_idsig(&head).then_some(IDSIG)) {
        return Ok(other(known));
    }
    let no_zip = |what: &str| Error::archive(Rule::NotAZip, "file", what);
    Ok(match head.as_slice() {
        [] => no_zip(EMPTY),
        [b'P'] | [b'P', b'K', ..] => no_zip(CUT_OFF),
        head if is_plain(head) => no_zip(TEXT),
        _ => no_zip(NO_ZIP),
    })
}

/// Whether these first bytes are text: UTF-8, perhaps cut off in a letter, and no control characters but those of
/// lines and columns.
fn is_plain(head: &[u8]) -> bool {
    let whole = match std::str::from_utf8(head) {
        Ok(_) => head,
        Err(error) if error.error_len().is_none() => &head[..error.valid_up_to()],
        Err(_) => return false,
    };
    !whole
        .iter()
        .any(|byte| matches!(byte, 0..=8 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f))
}

/// Version 2, the length of the hashing info, SHA-256 over blocks of 4 KiB. Source: "APK Signature Scheme v4".
fn is_idsig(head: &[u8]) -> bool {
    head.len() >= 13 && head.starts_with(&[2, 0, 0, 0]) && head[8..13] == [1, 0, 0, 0, 12]
}

/// What an archive without `AndroidManifest.xml` is.
pub(crate) fn without_manifest(archive: &Archive<'_>) -> Error {
    let has = |name: &str| archive.find(name).is_some();
    let any = |test: fn(&str) -> bool| archive.entries().iter().any(|entry: &Entry| test(&entry.name));
    let is_apk = |name: &str| {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        extension.is_some_and(|extension| extension.eq_ignore_ascii_case("apk"))
    };
    let what = if has("BundleConfig.pb") || has("base/manifest/AndroidManifest.xml") {
        BUNDLE
    } else if has("toc.pb") || has("universal.apk") || any(|name| name.starts_with("splits/")) {
        APKS
    } else if any(is_apk) && has("manifest.json") {
        XAPK
    } else if any(is_apk) && has("info.json") {
        APKM
    } else if any(is_apk) {
        ZIPPED
    } else if has("META-INF/MANIFEST.MF") && any(|name| name.ends_with(".class")) {
        JAR
    } else {
        let detail = "a ZIP archive without AndroidManifest.xml: no APK";
        return Error::manifest(Rule::MissingEntry, MANIFEST, detail);
    };
    other(what)
}

/// What an archive is whose manifest is not the binary XML of an APK; `None` when it may be.
pub(crate) fn of_manifest(bytes: &[u8], archive: &Archive<'_>) -> Option<Error> {
    if is_text(bytes) {
        let library = archive.find("classes.jar").is_some() || archive.find("R.txt").is_some();
        let what = if library { AAR } else { TEXT_MANIFEST };
        return Some(Error::manifest(Rule::OtherFormat, MANIFEST, what));
    }
    is_proto(bytes).then(|| Error::manifest(Rule::OtherFormat, MANIFEST, PROTO_MANIFEST))
}

/// Whether these bytes are XML as text, in UTF-8 or UTF-16.
fn is_text(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(64)];
    let marked = [&b"\xef\xbb\xbf"[..], b"\xff\xfe", b"\xfe\xff"];
    let body = marked
        .iter()
        .find_map(|mark| start.strip_prefix(*mark))
        .unwrap_or(start);
    let first = body
        .iter()
        .find(|byte| !matches!(byte, 0 | b' ' | b'\t' | b'\r' | b'\n'));
    first == Some(&b'<')
}

/// Whether these bytes are an `aapt.pb.XmlNode`: the field 1, an element, whose first field is a namespace or a
/// name.
fn is_proto(bytes: &[u8]) -> bool {
    let Some((0x0a, rest)) = bytes.split_first().map(|(first, rest)| (*first, rest)) else {
        return false;
    };
    let varint = rest.iter().take(5).position(|byte| byte & 0x80 == 0);
    varint.is_some_and(|last| matches!(rest.get(last + 1), Some(0x0a | 0x12 | 0x1a)))
}

fn other(what: &str) -> Error {
    Error::archive(Rule::OtherFormat, "file", what)
}
