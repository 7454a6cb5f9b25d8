//! The three texts and blocks of a v1 signature, in an archive that has nothing else. The input's first two
//! words are the lengths of the first two parts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_apk::crypto::Digest;
use tidegate_apk::jar::{self, Entries};
use tidegate_apk::{Error, SdkRange};

struct Parts<'a> {
    manifest: &'a [u8],
    file: &'a [u8],
    block: &'a [u8],
}

impl Parts<'_> {
    fn bytes(&self, name: &str) -> &[u8] {
        match name {
            "META-INF/MANIFEST.MF" => self.manifest,
            "META-INF/CERT.SF" => self.file,
            "META-INF/CERT.RSA" => self.block,
            _ => b"the code",
        }
    }
}

impl Entries for Parts<'_> {
    fn names(&self) -> Vec<&str> {
        vec![
            "META-INF/MANIFEST.MF",
            "META-INF/CERT.SF",
            "META-INF/CERT.RSA",
            "classes.dex",
        ]
    }

    fn read(&self, name: &str, _limit: u64) -> Result<Vec<u8>, Error> {
        Ok(self.bytes(name).to_vec())
    }

    fn digest(&self, name: &str, digests: &[Digest]) -> Result<Vec<Vec<u8>>, Error> {
        Ok(digests
            .iter()
            .map(|digest| digest.compute(self.bytes(name)))
            .collect())
    }
}

fn split(input: &[u8]) -> Option<Parts<'_>> {
    let ([a, b, c, d], rest) = input.split_first_chunk::<4>()?;
    let (manifest, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([*a, *b])))?;
    let (file, block) = rest.split_at_checked(usize::from(u16::from_le_bytes([*c, *d])))?;
    Some(Parts {
        manifest,
        file,
        block,
    })
}

fuzz_target!(|input: &[u8]| {
    if let Some(parts) = split(input) {
        let _ = jar::verify(&parts, SdkRange::from(1), &[]);
        let _ = jar::verify(&parts, SdkRange::from(24), &[2]);
    }
});
