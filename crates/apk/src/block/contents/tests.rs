use sha2::{Digest as _, Sha256, Sha512};

use super::{CHUNK_BYTES, ContentDigest, Contents};

const CHUNK: usize = CHUNK_BYTES as usize;
const DIRECTORY: usize = 5000;
const BLOCK: usize = 8192;

/// A file of three sections with a block between the first two, every byte depending on where it is.
fn file(entries: usize) -> Vec<u8> {
    (0..entries + BLOCK + DIRECTORY)
        .map(|at| (at / 7 % 251) as u8)
        .collect()
}

fn end() -> Vec<u8> {
    vec![9; 22]
}

fn digest(entries: usize, algorithm: ContentDigest) -> Vec<u8> {
    let file = file(entries);
    let directory = (entries + BLOCK) as u64..file.len() as u64;
    Contents::new(&file, entries as u64, directory, end())
        .digest(algorithm)
        .unwrap()
}

/// The three sections as the signature schemes describe them.
fn sections(entries: usize) -> [Vec<u8>; 3] {
    let file = file(entries);
    let mut end = end();
    end[16..20].copy_from_slice(&(entries as u32).to_le_bytes());
    [file[..entries].to_vec(), file[entries + BLOCK..].to_vec(), end]
}

/// The definition, one chunk after the other.
fn chunked<D: sha2::Digest>(sections: &[Vec<u8>]) -> Vec<u8> {
    let chunks: Vec<&[u8]> = sections
        .iter()
        .flat_map(|section| section.chunks(CHUNK))
        .collect();
    let mut top = D::new_with_prefix([0x5a]);
    top.update((chunks.len() as u32).to_le_bytes());
    for chunk in chunks {
        let mut hash = D::new_with_prefix([0xa5]);
        hash.update((chunk.len() as u32).to_le_bytes());
        hash.update(chunk);
        top.update(hash.finalize());
    }
    top.finalize().to_vec()
}

/// The definition of the page tree: every level is padded to whole pages.
fn verity(sections: &[Vec<u8>]) -> Vec<u8> {
    let joined = sections.concat();
    let mut level = joined.clone();
    loop {
        level.resize(level.len().next_multiple_of(4096), 0);
        let salted = |page: &[u8]| {
            Sha256::new_with_prefix([0; 8])
                .chain_update(page)
                .finalize()
                .to_vec()
        };
        let done = level.len() == 4096 && level != joined;
        level = level.chunks(4096).flat_map(salted).collect();
        if done {
            return [&level[..], &(joined.len() as u64).to_le_bytes()].concat();
        }
    }
}

#[test]
fn chunks_hashed_side_by_side_give_what_the_definition_gives() {
    for entries in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 77] {
        let sections = sections(entries);
        assert_eq!(
            digest(entries, ContentDigest::Sha256),
            chunked::<Sha256>(&sections),
            "{entries} bytes"
        );
        assert_eq!(
            digest(entries, ContentDigest::Sha512),
            chunked::<Sha512>(&sections),
            "{entries} bytes"
        );
    }
}

#[test]
fn the_page_tree_spans_the_three_sections_as_one() {
    for entries in [4096, CHUNK, 2 * CHUNK + 4096] {
        assert_eq!(
            digest(entries, ContentDigest::VeritySha256),
            verity(&sections(entries)),
            "{entries} bytes"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_to_the_end_is_an_error() {
    let short = vec![0; 10];
    let contents = Contents::new(&short, 3 << 20, 0..5, end());
    assert!(contents.digest(ContentDigest::Sha256).is_err());
}
