use dsa::{BoxedUint, Components, Signature, VerifyingKey, signature::hazmat::PrehashVerifier};

use super::{Digest, Fault, key::bit_length};
use crate::ber::{Element, INTEGER, SEQUENCE};

/// The largest prime that a DSA key in an APK has; FIPS 186-4 knows no larger one.
const MAX_PRIME_BITS: usize = 3_072;
/// The largest subgroup order of FIPS 186-4.
const MAX_ORDER_BITS: usize = 256;

/// A DSA public key: the domain parameters and the public value, big endian without leading zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The prime modulus.
    pub p: Vec<u8>,
    /// The subgroup's order.
    pub q: Vec<u8>,
    /// The subgroup's generator.
    pub g: Vec<u8>,
    /// The public value.
    pub y: Vec<u8>,
}

impl Key {
    pub(super) fn parse(parameters: Option<Element<'_>>, bits: &[u8]) -> Result<Self, Fault> {
        let Some(parameters) = parameters.filter(|found| found.is_universal(SEQUENCE)) else {
            return Err(Fault::Malformed {
                what: "DSA public key",
                why: "no domain parameters".into(),
            });
        };
        let mut numbers = parameters.children();
        let mut number = |what: &str| -> Result<Vec<u8>, Fault> {
            Ok(numbers.universal(INTEGER, what)?.unsigned(what)?.to_vec())
        };
        let (p, q, g) = (
            number("DSA prime")?,
            number("DSA order")?,
            number("DSA generator")?,
        );
        let y = Element::first(bits, "DSA public value")?
            .unsigned("DSA public value")?
            .to_vec();
        Ok(Self { p, q, g, y })
    }
}

pub(super) fn verify(key: &Key, digest: Digest, message: &[u8], signature: &[u8]) -> Result<(), Fault> {
    let (p_bits, q_bits) = (bit_length(&key.p), bit_length(&key.q));
    let widest = bit_length(&key.g).max(bit_length(&key.y));
    if p_bits > MAX_PRIME_BITS || q_bits > MAX_ORDER_BITS || widest > p_bits {
        return Err(Fault::Unsupported(format!(
            "a DSA key with p of {p_bits} bits and q of {q_bits} bits"
        )));
    }
    // The arithmetic wants every number modulo p in p's own width.
    let number = |bytes: &[u8], bits: usize| {
        let width = u32::try_from(bits.next_multiple_of(64)).unwrap_or(u32::MAX);
        BoxedUint::from_be_slice(bytes, width).map_err(|error| Fault::Malformed {
            what: "DSA public key",
            why: error.to_string(),
        })
    };
    let components = Components::from_components(
        number(&key.p, p_bits)?,
        number(&key.q, q_bits)?,
        number(&key.g, p_bits)?,
    )
    .map_err(|_| bad_key())?;
    let key = VerifyingKey::from_components(components, number(&key.y, p_bits)?).map_err(|_| bad_key())?;
    let signature = Signature::try_from(signature).map_err(|_| Fault::Malformed {
        what: "DSA signature",
        why: "not a sequence of two positive numbers".into(),
    })?;
    key.verify_prehash(&digest.compute(message), &signature)
        .map_err(|_| Fault::Mismatch)
}

fn bad_key() -> Fault {
    Fault::Malformed {
        what: "DSA public key",
        why: "its numbers do not form a key of FIPS 186-4".into(),
    }
}
