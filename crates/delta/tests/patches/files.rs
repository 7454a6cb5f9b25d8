//! Archives as build tools make them, and what devices do with a patch.

use std::ops::ControlFlow;

use tidegate_delta::zlib::{Deflater, Settings as Zlib, Strategy};
use tidegate_delta::{Error, Limits, Made, Patch, Settings, make, unwatched};

/// How an entry is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Form {
    Stored,
    Zlib(Zlib),
    /// Deflated by something that isn't zlib: in blocks of a length that zlib never makes.
    Foreign,
}

/// zlib at a level, as most tools use it.
pub(crate) fn level(level: u8) -> Form {
    Form::Zlib(Zlib::new(level, 15, 8, Strategy::Default).unwrap())
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) form: Form,
}

pub(crate) fn entry(name: &str, bytes: impl Into<Vec<u8>>, form: Form) -> Entry {
    Entry {
        name: name.into(),
        bytes: bytes.into(),
        form,
    }
}

/// A zip archive of these entries.
pub(crate) fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let data = compressed(&entry.bytes, entry.form);
        let method = if entry.form == Form::Stored { 0_u16 } else { 8 };
        let local = u32::try_from(file.len()).unwrap();
        let mut common = vec![20, 0, 0, 0];
        common.extend_from_slice(&method.to_le_bytes());
        common.extend_from_slice(&[0; 8]);
        for length in [data.len(), entry.bytes.len()] {
            common.extend_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
        }
        common.extend_from_slice(&u16::try_from(entry.name.len()).unwrap().to_le_bytes());
        common.extend_from_slice(&[0, 0]);
        file.extend_from_slice(b"PK\x03\x04");
        file.extend_from_slice(&common);
        file.extend_from_slice(entry.name.as_bytes());
        file.extend_from_slice(&data);
        directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        directory.extend_from_slice(&common);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&local.to_le_bytes());
        directory.extend_from_slice(entry.name.as_bytes());
    }
    let (at, count) = (
        u32::try_from(file.len()).unwrap(),
        u16::try_from(entries.len()).unwrap(),
    );
    let length = u32::try_from(directory.len()).unwrap();
    file.extend(directory);
    file.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    file.extend_from_slice(&count.to_le_bytes());
    file.extend_from_slice(&count.to_le_bytes());
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&at.to_le_bytes());
    file.extend_from_slice(&[0, 0]);
    file
}

fn compressed(bytes: &[u8], form: Form) -> Vec<u8> {
    let mut output = Vec::new();
    match form {
        Form::Stored => output.extend_from_slice(bytes),
        Form::Zlib(settings) => {
            let mut deflater = Deflater::new(settings).unwrap();
            deflater.write(bytes, &mut output).unwrap();
            deflater.finish(&mut output).unwrap();
        }
        Form::Foreign => {
            for block in bytes.chunks(100) {
                let length = u16::try_from(block.len()).unwrap();
                output.push(0);
                output.extend_from_slice(&length.to_le_bytes());
                output.extend_from_slice(&(!length).to_le_bytes());
                output.extend_from_slice(block);
            }
            output.extend_from_slice(&[1, 0, 0, 255, 255]);
        }
    }
    output
}

/// Something like code: words that come again and again, with numbers in between.
pub(crate) fn code(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let words: Vec<Vec<u8>> = (0..200)
        .map(|_| (0..random.usize(2..12)).map(|_| random.u8(..)).collect())
        .collect();
    let mut code = Vec::new();
    while code.len() < length {
        code.extend_from_slice(&words[random.usize(..words.len())]);
        if random.u8(..8) == 0 {
            code.extend_from_slice(&random.u16(..).to_le_bytes());
        }
    }
    code.truncate(length);
    code
}

/// The same with something put in, something taken out and some numbers changed, as a release does.
pub(crate) fn changed(code: &[u8], seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut changed = code.to_vec();
    for _ in 0..20 {
        let at = random.usize(..changed.len());
        changed[at] = changed[at].wrapping_add(4);
    }
    let at = random.usize(..changed.len());
    let inserted = self::code(seed, 300);
    changed.splice(at..at, inserted);
    let at = random.usize(..changed.len() - 100);
    changed.drain(at..at + 100);
    changed
}

/// Noise, as compressed pictures are.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

pub(crate) fn made(base: &[u8], result: &[u8]) -> (Made, Vec<u8>) {
    within(base, result, Settings::default()).unwrap()
}

pub(crate) fn within(base: &[u8], result: &[u8], settings: Settings) -> Result<(Made, Vec<u8>), Error> {
    let mut patch = Vec::new();
    let made = make(base, result, &mut patch, settings, &mut unwatched)?;
    assert_eq!(made.patch_size, patch.len() as u64);
    Ok((made, patch))
}

/// What a device gets from a patch, and that it used the scratch that was announced.
pub(crate) fn applied(patch: &[u8], base: &[u8]) -> Result<Vec<u8>, Error> {
    let patch = Patch::open(patch, Limits::default())?;
    let (mut scratch, mut result) = (Vec::new(), Vec::new());
    patch.apply(
        base,
        &mut scratch,
        &mut result,
        &mut |_| ControlFlow::Continue(()),
    )?;
    assert_eq!(scratch.len() as u64, patch.scratch_bytes());
    assert_eq!(result.len() as u64, patch.result_size());
    Ok(result)
}

/// Makes the patch, applies it, and says what was made.
pub(crate) fn exact(base: &[u8], result: &[u8]) -> Made {
    let (made, patch) = self::made(base, result);
    assert!(applied(&patch, base).unwrap() == result, "another file came out");
    made
}
