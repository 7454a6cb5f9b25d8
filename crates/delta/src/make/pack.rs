use std::io::Write;

use lzma_rust2::{EncodeMode, LzmaOptions, LzmaWriter, MfType};

use crate::Error;
use crate::error::File;
use crate::stream::{DICTIONARY, LITERAL_CONTEXT, LITERAL_POSITION, POSITION};

/// The smallest dictionary that LZMA knows.
const LEAST: u32 = 4096;

/// Compresses one part within `memory` bytes, with long matches and few looks: beyond 48 of them nothing got smaller.
pub(super) fn pack(plain: &[u8], memory: u64) -> Result<Vec<u8>, Error> {
    if plain.is_empty() {
        return Ok(Vec::new());
    }
    let length = u32::try_from(plain.len()).unwrap_or(u32::MAX);
    // No more than there is: the encoder's tables are ten times of it.
    let mut options = options(length.clamp(LEAST, DICTIONARY));
    while u64::from(options.get_memory_usage()) * 1024 > memory && options.dict_size > LEAST {
        options.dict_size = (options.dict_size / 2).max(LEAST);
    }
    let written = LzmaWriter::new_no_header(Vec::new(), &options, false).and_then(|mut writer| {
        writer.write_all(plain)?;
        writer.finish()
    });
    written.map_err(File::Patch.failed())
}

fn options(dictionary: u32) -> LzmaOptions {
    LzmaOptions::new(
        dictionary,
        LITERAL_CONTEXT,
        LITERAL_POSITION,
        POSITION,
        EncodeMode::Normal,
        LzmaOptions::NICE_LEN_MAX,
        MfType::Bt4,
        48,
    )
}
