use lzma_rust2::{EncodeMode, LzmaOptions, LzmaWriter, MfType};
use std::io::Write;

use crate::Error;
use crate::error::File;
use crate::stream::{DICTIONARY, LITERAL_CONTEXT, LITERAL_POSITION, POSITION};

/// Compresses one part, with the effort of `xz -9e`.
pub(super) fn pack(plain: &[u8]) -> Result<Vec<u8>, Error> {
    if plain.is_empty() {
        return Ok(Vec::new());
    }
    let length = u32::try_from(plain.len()).unwrap_or(u32::MAX);
    // No more than there is: the encoder's tables are ten times of it.
    let dictionary = length.clamp(4096, DICTIONARY);
    let options = LzmaOptions::new(
        dictionary,
        LITERAL_CONTEXT,
        LITERAL_POSITION,
        POSITION,
        EncodeMode::Normal,
        LzmaOptions::NICE_LEN_MAX,
        MfType::Bt4,
        512,
    );
    let written = LzmaWriter::new_no_header(Vec::new(), &options, false).and_then(|mut writer| {
        writer.write_all(plain)?;
        writer.finish()
    });
    written.map_err(File::Patch.failed())
}
