//! The Android project's own programs against this reader, on manifests that are made and then damaged.
//!
//! ```text
//! cargo run --example readers --features build -- 5000 50
//! ```
//!
//! The first number is how many manifests `aapt2` and `aapt` read, the second how many files `apksigner`
//! verifies as well: it starts a Java machine for each. Where both accept a file, every field has to be the same.
//! Where this reader accepts a file that `aapt2` or `aapt` can't read, or `apksigner` refuses, it is counted and shown.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use tidegate_apk::build::{
    ApkBuilder, ManifestForm, SigningKey, Spelling, XmlAttribute, XmlElement, XmlValue,
};
use tidegate_apk::{Inspection, SdkRange, inspect, read_entry, verify, visible};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const MANIFEST: &str = "AndroidManifest.xml";
/// They share the platform's reader of binary XML, and differ in what they make of it.
const TOOLS: [&str; 2] = ["aapt2", "aapt"];
const ANDROID: &str = "http://schemas.android.com/apk/res/android";

fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let manifests = numbers.next().transpose()?.unwrap_or(5000);
    let signed = numbers.next().transpose()?.unwrap_or(50);
    let folder = tempfile::tempdir()?;
    let mut tally = Tally::default();
    let key = SigningKey::generate("Readers")?;
    for seed in 1..=manifests {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let path = folder.path().join("damaged.apk");
        let apk = damaged(&mut dice)?.sign(&key)?;
        std::fs::write(&path, &apk)?;
        tally.compare(seed, &apk, &path)?;
        if signed > 0 && seed % (manifests / signed.min(manifests)).max(1) == 0 {
            tally.compare_signature(seed, &apk, &path)?;
        }
    }
    tally.print();
    if tally.differences > 0 {
        return Err(format!("{} fields are read differently", tally.differences).into());
    }
    Ok(())
}

/// Numbers that are the same at every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % sides.max(1)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }
}

/// An app whose manifest was changed in its elements, in its bytes, or both.
fn damaged(dice: &mut Dice) -> Result<ApkBuilder> {
    let form = dice.pick(&[ManifestForm::Typed, ManifestForm::Typed, ManifestForm::References]);
    let app = ApkBuilder::new("com.example.app", 7)
        .version_name("1.2.3")
        .manifest_form(form);
    let app = app.debuggable(dice.roll(4) == 0).test_only(dice.roll(8) == 0);
    let app = if dice.roll(2) == 0 {
        app.utf8_strings()
    } else {
        app
    };
    let way = dice.roll(3);
    let app = if way == 1 { app } else { in_elements(app, dice) };
    if way == 0 {
        return Ok(app);
    }
    let mut bytes = read_entry(&app.clone().unsigned(), MANIFEST, 1 << 20)?;
    for _ in 0..=dice.roll(3) {
        in_bytes(&mut bytes, dice);
    }
    Ok(app.raw_manifest(bytes))
}

fn in_elements(app: ApkBuilder, dice: &mut Dice) -> ApkBuilder {
    app.edit_manifest(|root| {
        for _ in 0..=dice.roll(2) {
            change(root, dice);
        }
    })
}

/// Changes one thing about one element.
fn change(root: &mut XmlElement, dice: &mut Dice) {
    let children = root.children.len();
    let element = match dice.roll(children + 1) {
        0 => &mut *root,
        child => &mut root.children[child - 1],
    };
    match dice.roll(9) {
        0 => element.in_order = false,
        1 => element.ended = false,
        2 => element.namespace = Some(dice.pick(&[ANDROID, "urn:x"]).to_owned()),
        3 => element.attributes.reverse(),
        4 => {
            let again = element.clone();
            element.children.push(again);
        }
        5 if children > 0 => {
            let again = root.children[dice.roll(children)].clone();
            root.children.push(again);
        }
        6 => {
            element.name = dice
                .pick(&["manifest", "application", "uses-sdk", "instrumentation", "x"])
                .to_owned();
        }
        _ => {
            let count = element.attributes.len();
            if count > 0 {
                let at = dice.roll(count);
                change_attribute(&mut element.attributes[at], dice);
            }
        }
    }
}

fn change_attribute(attribute: &mut XmlAttribute, dice: &mut Dice) {
    let names = [
        "versionCode",
        "versionName",
        "debuggable",
        "minSdkVersion",
        "package",
        "split",
        "",
    ];
    match dice.roll(5) {
        0 => attribute.id = dice.pick(&[0, 0x0101_000f, 0x0101_021b, 0x0101_020c, 0x0101_0272, 0x0101_0576]),
        1 => attribute.name = dice.pick(&names).to_owned(),
        2 => attribute.namespace = dice.pick(&[None, Some(ANDROID.to_owned()), Some("urn:x".to_owned())]),
        3 => attribute.spelling = dice.pick(&[Spelling::Nothing, Spelling::As("9".to_owned())]),
        _ => {
            attribute.value = dice.pick(&[
                XmlValue::Integer(21),
                XmlValue::Integer(-1),
                XmlValue::Boolean(true),
                XmlValue::Text("true".to_owned()),
                XmlValue::Text("23".to_owned()),
                XmlValue::Text("Q".to_owned()),
                XmlValue::Reference(0x7f01_0000),
                XmlValue::Reference(0x0104_000a),
                XmlValue::Reference(0),
                XmlValue::Typed(0x11, 0x20),
                XmlValue::Typed(0x04, 0x4120_0000),
                XmlValue::Typed(0, 0),
                XmlValue::Typed(0, 1),
            ]);
        }
    }
}

fn in_bytes(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let (len, word) = (bytes.len(), dice.roll(bytes.len() / 4) * 4);
    match dice.roll(5) {
        0 => {
            let at = dice.roll(len);
            bytes[at] ^= 1 << dice.roll(8);
        }
        1 => bytes[word..word + 4].copy_from_slice(&dice.pick(&[0, 1, 2, 8, 16, u32::MAX]).to_le_bytes()),
        2 => {
            let from = dice.roll(len / 4) * 4;
            let value: Vec<u8> = bytes[from..from + 4].to_vec();
            bytes[word..word + 4].copy_from_slice(&value);
        }
        3 => bytes[word] = bytes[word].wrapping_add(4),
        _ => again(bytes, dice),
    }
}

/// Repeats one of the document's chunks at the end.
fn again(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let (mut at, mut chunks) = (8, Vec::new());
    while let Some(size) = bytes.get(at + 4..at + 8) {
        let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]);
        let end = at.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        let Some(chunk) = bytes.get(at..end).filter(|chunk| chunk.len() >= 8) else {
            break;
        };
        chunks.push(chunk.to_vec());
        at = end;
    }
    if chunks.is_empty() {
        return;
    }
    bytes.extend(dice.pick(&chunks));
    let whole = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes[4..8].copy_from_slice(&whole.to_le_bytes());
}

#[derive(Default)]
struct Tally {
    files: u64,
    both: u64,
    only_theirs: u64,
    only_ours: u64,
    neither: u64,
    differences: u64,
    verified: u64,
    both_verified: u64,
    only_apksigner: u64,
    only_here: u64,
}

impl Tally {
    fn compare(&mut self, seed: u64, apk: &[u8], path: &Path) -> Result<()> {
        self.files += 1;
        let ours = inspect(&apk);
        for tool in TOOLS {
            match (&ours, theirs(tool, path)?) {
                (Ok(ours), Some(theirs)) => {
                    self.both += 1;
                    for (field, here, there) in differing(ours, &theirs) {
                        self.differences += 1;
                        keep(seed, apk)?;
                        println!("{seed}: {field} is {here:?} here and {there:?} to {tool}");
                    }
                }
                (Ok(_), None) => {
                    self.only_ours += 1;
                    println!("{seed}: read here, and not by {tool}");
                }
                (Err(_), Some(_)) => self.only_theirs += 1,
                (Err(_), None) => self.neither += 1,
            }
        }
        Ok(())
    }

    fn compare_signature(&mut self, seed: u64, apk: &[u8], path: &Path) -> Result<()> {
        self.verified += 1;
        let theirs = Command::new("apksigner").arg("verify").arg(path).output()?;
        let ours = inspect(&apk).and_then(|seen| verify(&apk, SdkRange::from(seen.min_sdk)));
        match (ours.is_ok(), theirs.status.success()) {
            (true, true) => self.both_verified += 1,
            (false, true) => self.only_apksigner += 1,
            (true, false) => {
                self.only_here += 1;
                let said = String::from_utf8_lossy(&theirs.stderr);
                println!("{seed}: verified here; apksigner: {}", visible(&said));
            }
            (false, false) => {}
        }
        Ok(())
    }

    fn print(&self) {
        println!(
            "{} manifests, each to two tools: {} read by both sides, {} fields differ; refused here only {}, there only \
             {}, by both {}",
            self.files, self.both, self.differences, self.only_theirs, self.only_ours, self.neither
        );
        println!(
            "{} of the files verified with apksigner too: {} by both, {} there only, {} here only",
            self.verified, self.both_verified, self.only_apksigner, self.only_here
        );
    }
}

/// Puts a file that is read differently where somebody can look at it.
fn keep(seed: u64, apk: &[u8]) -> Result<()> {
    let folder = std::env::temp_dir().join("readers-that-differ");
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(folder.join(format!("{seed}.apk")), apk)?)
}

/// The fields that `dump badging` prints, `None` where it can't read the file.
fn theirs(tool: &str, path: &Path) -> Result<Option<BTreeMap<String, String>>> {
    let output = Command::new(tool).args(["dump", "badging"]).arg(path).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // It exits with 1 also where it only misses a launcher's icon, after it has printed.
    let Some(package) = text.lines().find(|line| line.starts_with("package: ")) else {
        return Ok(None);
    };
    let mut fields = BTreeMap::new();
    for field in ["name", "versionCode", "versionName"] {
        let value = package
            .split_once(&format!(" {field}='"))
            .and_then(|(_, rest)| rest.split_once('\''));
        fields.insert(
            field.to_owned(),
            value.map(|(value, _)| value.to_owned()).unwrap_or_default(),
        );
    }
    for (field, start) in [
        ("min", "sdkVersion:'"),
        ("target", "targetSdkVersion:'"),
        ("testOnly", "testOnly='"),
    ] {
        let line = text.lines().find_map(|line| line.strip_prefix(start));
        fields.insert(
            field.to_owned(),
            line.map(|line| line.trim_end_matches('\'').to_owned())
                .unwrap_or_default(),
        );
    }
    let debuggable = text.lines().any(|line| line == "application-debuggable");
    fields.insert("debuggable".to_owned(), debuggable.to_string());
    let failed = String::from_utf8_lossy(&output.stderr);
    // What it says of a field that it could not read, it leaves out.
    Ok((!failed.contains("ERROR getting") && output.status.success()).then_some(fields))
}

/// Field, value here, value there.
fn differing(ours: &Inspection, theirs: &BTreeMap<String, String>) -> Vec<(&'static str, String, String)> {
    let there = |field: &str| theirs.get(field).cloned().unwrap_or_default();
    let code = (ours.version_code & 0xffff_ffff).to_string();
    let signed = |text: String| {
        text.parse::<i64>()
            .map_or(text, |number| (number & 0xffff_ffff).to_string())
    };
    // It says nothing where there is none, and where there is -1, by which it means that there is none. Devices take that
    // one for the largest.
    let none = if code == u32::MAX.to_string() { &code } else { "0" };
    let or_none = |text: String| if text.is_empty() { none.to_owned() } else { text };
    let flag = |text: String| (!matches!(text.as_str(), "" | "0" | "false")).to_string();
    let mut fields = vec![
        ("package", ours.package.clone(), there("name")),
        ("versionCode", code.clone(), signed(or_none(there("versionCode")))),
        (
            "versionName",
            ours.version_name.clone(),
            visible(&there("versionName")),
        ),
        ("debuggable", ours.debuggable.to_string(), there("debuggable")),
        ("testOnly", ours.test_only.to_string(), flag(there("testOnly"))),
    ];
    // `aapt` takes the spelling, which need not be there; and both print no more than stands before a zero.
    if there("versionName").is_empty() || ours.version_name.contains("\\u{0}") {
        fields.retain(|(field, ..)| *field != "versionName");
    }
    // A codename, or a level that is not given, is told in another way there.
    for (field, here) in [("min", ours.min_sdk), ("target", ours.target_sdk)] {
        if there(field).parse::<u32>().is_ok() {
            fields.push((field, here.to_string(), there(field)));
        }
    }
    fields
        .into_iter()
        .filter(|(_, here, there)| here != there)
        .collect()
}
