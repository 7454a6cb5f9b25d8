//! Unpacking, in pieces, never beyond the declared size.

use flate2::{Decompress, FlushDecompress, Status};

use super::Entry;
use crate::{Error, Rule, Source};

/// How much is read and unpacked at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Hands the entry's unpacked bytes to `take`.
pub(crate) fn unpack(source: &dyn Source, entry: &Entry, take: impl FnMut(&[u8])) -> Result<(), Error> {
    if entry.is_stored() {
        copy(source, entry, take)
    } else {
        inflate(source, entry, take)
    }
}

fn copy(source: &dyn Source, entry: &Entry, mut take: impl FnMut(&[u8])) -> Result<(), Error> {
    let mut buffer = vec![0; piece(entry.packed)];
    let mut at = entry.data;
    while at < entry.data_end() {
        let len = piece(entry.data_end() - at);
        source.read_exact_at(&mut buffer[..len], at)?;
        take(&buffer[..len]);
        at += len as u64;
    }
    Ok(())
}

fn inflate(source: &dyn Source, entry: &Entry, mut take: impl FnMut(&[u8])) -> Result<(), Error> {
    let corrupt = |detail: String| Error::archive(Rule::CorruptEntry, entry.name.clone(), detail);
    let mut inflater = Decompress::new(false);
    let (mut packed, mut unpacked) = (vec![0; piece(entry.packed)], vec![0; PIECE_BYTES]);
    let mut at = entry.data;
    while at < entry.data_end() {
        let len = piece(entry.data_end() - at);
        source.read_exact_at(&mut packed[..len], at)?;
        at += len as u64;
        let mut rest = &packed[..len];
        loop {
            let (read_before, written_before) = (inflater.total_in(), inflater.total_out());
            let status = inflater
                .decompress(rest, &mut unpacked, FlushDecompress::None)
                .map_err(|error| corrupt(format!("does not inflate: {error}")))?;
            let read = usize::try_from(inflater.total_in() - read_before).unwrap_or(rest.len());
            let written = usize::try_from(inflater.total_out() - written_before).unwrap_or(unpacked.len());
            rest = &rest[read..];
            if inflater.total_out() > entry.unpacked {
                return Err(corrupt(format!(
                    "unpacks to more than the {} bytes it declares",
                    entry.unpacked
                )));
            }
            take(&unpacked[..written]);
            if status == Status::StreamEnd {
                return finished(entry, inflater.total_out());
            }
            // A full output buffer may hide more output; otherwise more input is needed.
            if written < unpacked.len() && (rest.is_empty() || read == 0) {
                break;
            }
        }
        if !rest.is_empty() {
            return Err(corrupt("the deflate stream stalls".to_owned()));
        }
    }
    Err(corrupt("the deflate stream is cut off".to_owned()))
}

fn finished(entry: &Entry, unpacked: u64) -> Result<(), Error> {
    if unpacked == entry.unpacked {
        return Ok(());
    }
    let detail = format!("unpacks to {unpacked} bytes, but declares {}", entry.unpacked);
    Err(Error::archive(Rule::CorruptEntry, entry.name.clone(), detail))
}

fn piece(left: u64) -> usize {
    usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES))
}
