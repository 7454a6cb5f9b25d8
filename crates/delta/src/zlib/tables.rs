//! The tables of RFC 1951 and of zlib's levels.

/// How far a level looks for a match (zlib's `configuration_table`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// From this length on a match's successor is looked for with a quarter of the effort.
    pub(super) good: usize,
    /// Above this length no better match is looked for; for fast levels: no string inside it is remembered.
    pub(super) lazy: usize,
    /// A match of this length is long enough to stop.
    pub(super) nice: usize,
    /// How many earlier places are looked at.
    pub(super) chain: usize,
}

/// By level, from 1 on. The first three take each match that they find, the others look whether the next is longer.
pub(super) const EFFORTS: [Effort; 9] = [
    effort(4, 4, 8, 4),
    effort(4, 5, 16, 8),
    effort(4, 6, 32, 32),
    effort(4, 4, 16, 16),
    effort(8, 16, 32, 32),
    effort(8, 16, 128, 128),
    effort(8, 32, 128, 256),
    effort(32, 128, 258, 1024),
    effort(32, 258, 258, 4096),
];
pub(super) const FAST_LEVELS: u8 = 3;

const fn effort(good: usize, lazy: usize, nice: usize, chain: usize) -> Effort {
    Effort {
        good,
        lazy,
        nice,
        chain,
    }
}

pub(super) const LITERALS: usize = 256;
pub(super) const END_BLOCK: usize = 256;
pub(super) const LENGTH_CODES: usize = 29;
pub(super) const LITERAL_CODES: usize = LITERALS + 1 + LENGTH_CODES;
pub(super) const DISTANCE_CODES: usize = 30;
pub(super) const BIT_LENGTH_CODES: usize = 19;

pub(super) const EXTRA_LENGTH_BITS: [u8; LENGTH_CODES] = [
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
];
pub(super) const EXTRA_DISTANCE_BITS: [u8; DISTANCE_CODES] = [
    0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
];
pub(super) const EXTRA_BIT_LENGTH_BITS: [u8; BIT_LENGTH_CODES] =
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 7];
/// In which order the lengths of the bit-length codes are sent.
pub(super) const BIT_LENGTH_ORDER: [usize; BIT_LENGTH_CODES] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The shortest length of each length code, less three. The last is for 258 alone.
pub(super) const BASE_LENGTHS: [u16; LENGTH_CODES] = {
    let mut bases = bases(&EXTRA_LENGTH_BITS);
    bases[LENGTH_CODES - 1] = 255;
    bases
};
/// The shortest distance of each distance code, less one.
pub(super) const BASE_DISTANCES: [u16; DISTANCE_CODES] = bases(&EXTRA_DISTANCE_BITS);

const fn bases<const N: usize>(extra: &[u8; N]) -> [u16; N] {
    let mut bases = [0; N];
    let mut code = 1;
    while code < N {
        bases[code] = bases[code - 1] + (1 << extra[code - 1]);
        code += 1;
    }
    bases
}

/// The code of each length, less three.
pub(super) const LENGTH_CODE: [u8; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < LENGTH_CODES {
        let mut length = BASE_LENGTHS[code] as usize;
        while length < 256 {
            #[expect(clippy::cast_possible_truncation, reason = "there are 29 codes")]
            let short = code as u8;
            table[length] = short;
            length += 1;
        }
        code += 1;
    }
    table
};

/// The code of a distance, less one.
pub(super) fn distance_code(distance: u16) -> usize {
    if distance < 4 {
        return usize::from(distance);
    }
    // Two codes for each power of two.
    let bits = distance.ilog2() as usize;
    2 * bits + usize::from((distance >> (bits - 1)) & 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_distance_has_the_code_whose_range_it_is_in() {
        for distance in 0..32_768_u16 {
            let code = distance_code(distance);
            let next = BASE_DISTANCES.get(code + 1).copied().unwrap_or(32_768);
            assert!(
                (BASE_DISTANCES[code]..next).contains(&distance),
                "{distance}: {code}"
            );
        }
    }

    #[test]
    fn the_longest_length_has_a_code_of_its_own() {
        assert_eq!(LENGTH_CODE[255], 28);
        assert_eq!(LENGTH_CODE[254], 27);
        assert_eq!(LENGTH_CODE[8], 8);
        assert_eq!(LENGTH_CODE[9], 8);
    }
}
