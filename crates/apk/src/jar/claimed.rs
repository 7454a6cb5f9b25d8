//! Who claims to have signed, without checking it.

use super::pkcs7::SignedData;
use super::{Entries, MAX_BLOCK_BYTES, signature_files};
use crate::cert::Certificate;
use crate::{Error, Rule};

/// The signing certificate of each v1 signature block, in the order of the archive; empty when there is none.
///
/// # Errors
/// [`Rule::JarCertificate`] with the block that names no certificate, or whatever `entries` reports.
pub(crate) fn claimed_signers(entries: &dyn Entries) -> Result<Vec<Certificate>, Error> {
    let names = entries.names();
    let Ok(files) = signature_files(&names, &mut Vec::new()) else {
        return Ok(Vec::new());
    };
    files
        .into_iter()
        .map(|(block, _)| signer(entries, block))
        .collect()
}

fn signer(entries: &dyn Entries, block: &str) -> Result<Certificate, Error> {
    let bad = |detail: String| Error::signature(Rule::JarCertificate, block, detail);
    let bytes = entries.read(block, MAX_BLOCK_BYTES)?;
    let data = SignedData::parse(&bytes).map_err(|fault| bad(fault.to_string()))?;
    let found = data.signers.iter().find_map(|signer| data.certificate_of(signer));
    found
        .cloned()
        .ok_or_else(|| bad("holds no certificate of its signer".to_owned()))
}
