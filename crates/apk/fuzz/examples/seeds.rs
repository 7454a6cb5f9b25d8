//! Writes the seeds: one small file of every kind that the builder makes.

use std::fs;
use std::path::Path;

use tidegate_apk::Scheme;
use tidegate_apk::build::{ApkBuilder, ManifestForm, SigningKey};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let key = SigningKey::generate("Seed")?;
    let app = || ApkBuilder::new("org.example.fuzzed", 1);

    let zip = seeds.join("zip");
    fs::create_dir_all(&zip)?;
    fs::write(zip.join("unsigned.apk"), app().unsigned())?;
    fs::write(zip.join("signed.apk"), app().sign(&key)?)?;

    let folder = seeds.join("manifest");
    fs::create_dir_all(&folder)?;
    for (name, app) in [
        ("utf16", app()),
        ("utf8", app().utf8_strings().debuggable(true)),
        ("references", app().manifest_form(ManifestForm::References)),
    ] {
        let apk = app.unsigned();
        let mut seed = Vec::new();
        let (manifest, next) = entry(&apk, 0)?;
        seed.extend(u16::try_from(manifest.len())?.to_le_bytes());
        seed.extend(manifest);
        if apk[next..].starts_with(b"PK\x03\x04") {
            seed.extend(entry(&apk, next)?.0);
        }
        fs::write(folder.join(name), seed)?;
    }

    let block = seeds.join("signing_block");
    fs::create_dir_all(&block)?;
    for (name, first, scheme) in [
        ("v2", 2, Scheme::V2),
        ("v3", 3, Scheme::V3),
        ("v31", 31, Scheme::V3),
    ] {
        let pair = first_pair(&app().sign_with(&key, &[scheme])?);
        fs::write(block.join(name), [&[first], &pair[12..]].concat())?;
        fs::write(
            block.join(format!("{name}-pair")),
            [&[0], pair.as_slice()].concat(),
        )?;
    }
    Ok(())
}

/// The unpacked entry whose local header is at `at`, and where the next one starts.
fn entry(apk: &[u8], at: usize) -> Result<(Vec<u8>, usize), Box<dyn std::error::Error>> {
    let word = |offset: usize| usize::from(u16::from_le_bytes([apk[at + offset], apk[at + offset + 1]]));
    let start = at + 30 + word(26) + word(28);
    let end = start + word(18);
    if word(8) == 0 {
        return Ok((apk[start..end].to_vec(), end));
    }
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::DeflateDecoder::new(&apk[start..end]),
        &mut bytes,
    )?;
    Ok((bytes, end))
}

/// The first pair of a signed APK's signing block.
fn first_pair(apk: &[u8]) -> Vec<u8> {
    let word = |at: usize| u32::from_le_bytes([apk[at], apk[at + 1], apk[at + 2], apk[at + 3]]) as usize;
    let directory = word(apk.len() - 22 + 16);
    let start = directory - word(directory - 24);
    apk[start..start + 8 + word(start)].to_vec()
}
