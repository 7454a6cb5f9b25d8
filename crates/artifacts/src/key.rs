//! From a hash to a name, and the only way to a name.

use object_store::path::Path;

/// A folder or bucket may hold other things; the blobs live under this.
pub(crate) const BLOBS: &str = "blobs";

/// Lower-case hex, 64 characters.
pub(crate) fn hex(sha256: &[u8; 32]) -> String {
    sha256.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `blobs/ab/ab…`: the two-digit folders keep directory listings short on disks that mind.
pub(crate) fn key(prefix: &Path, sha256: &[u8; 32]) -> Path {
    let hex = hex(sha256);
    prefix.clone().join(BLOBS).join(&hex[..2]).join(hex.as_str())
}

/// What [`hex`] wrote; `None` for anything else.
pub(crate) fn from_hex(name: &str) -> Option<[u8; 32]> {
    let mut sha256 = [0; 32];
    for (at, byte) in sha256.iter_mut().enumerate() {
        *byte = u8::from_str_radix(name.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    (hex(&sha256) == name).then_some(sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_key_is_only_hex() {
        let hostile = [
            *b"../../../../../../../../etc/pass",
            *b"/etc/passwd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            [0xff; 32],
        ];
        for bytes in hostile {
            let key = key(&Path::from("tenant"), &bytes);
            let parts: Vec<_> = key.parts().collect();
            assert_eq!(parts.len(), 4);
            assert_eq!((parts[0].as_ref(), parts[1].as_ref()), ("tenant", "blobs"));
            assert!(
                parts[2].as_ref().len() == 2 && parts[3].as_ref().len() == 64,
                "{key}"
            );
            assert!(
                parts[3]
                    .as_ref()
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
                "{key}"
            );
        }
    }
}
