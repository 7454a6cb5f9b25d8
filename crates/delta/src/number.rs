//! Whole numbers as a patch has them: seven bits a byte, the lowest first, the last byte below 128.

/// The longest is ten bytes.
const LONGEST: u32 = 64;

/// Takes bytes one by one.
pub(crate) trait Bytes {
    type Error;
    /// The next byte.
    fn byte(&mut self) -> Result<u8, Self::Error>;
    /// What a number that no 64 bits hold is.
    fn overlong(&self) -> Self::Error;
}

/// Reads one number. A number has one spelling: a last byte of 0 is refused, unless it is the only one.
pub(crate) fn read<B: Bytes>(bytes: &mut B) -> Result<u64, B::Error> {
    let mut number = 0_u64;
    let mut shift = 0;
    loop {
        let byte = bytes.byte()?;
        let part = u64::from(byte & 0x7f);
        if shift >= LONGEST || part << shift >> shift != part || (byte == 0 && shift > 0) {
            return Err(bytes.overlong());
        }
        number |= part << shift;
        if byte < 0x80 {
            return Ok(number);
        }
        shift += 7;
    }
}

/// Signed ones: 0, -1, 1, -2 … are 0, 1, 2, 3 …
pub(crate) fn signed(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Writes one number.
#[cfg(feature = "make")]
pub(crate) fn write(mut number: u64, output: &mut Vec<u8>) {
    while number >= 0x80 {
        output.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is below 128")]
    output.push(number as u8);
}

/// The reverse of [`signed`].
#[cfg(feature = "make")]
pub(crate) fn unsigned(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

#[cfg(all(test, feature = "make"))]
mod tests {
    use super::*;

    struct Slice<'s>(&'s [u8]);

    impl Bytes for Slice<'_> {
        type Error = ();

        fn byte(&mut self) -> Result<u8, ()> {
            let (first, rest) = self.0.split_first().ok_or(())?;
            self.0 = rest;
            Ok(*first)
        }

        fn overlong(&self) {}
    }

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 127, 128, 300, 1 << 32, u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            write(number, &mut bytes);
            assert_eq!(read(&mut Slice(&bytes)), Ok(number));
            assert_eq!(unsigned(signed(number)), number);
        }
        assert_eq!(signed(1), -1);
        assert_eq!(signed(2), 1);
    }

    #[test]
    fn a_number_has_one_spelling_and_64_bits() {
        for bytes in [
            &[0x80, 0][..],
            &[0xff; 11],
            &[0x80; 10],
            &[255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
        ] {
            assert_eq!(read(&mut Slice(bytes)), Err(()), "{bytes:?}");
        }
    }
}
