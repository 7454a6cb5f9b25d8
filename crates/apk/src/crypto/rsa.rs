use std::ops::RangeInclusive;

use ring::signature::{self as ring_rsa, RsaParameters, RsaPublicKeyComponents};
use rsa::{BoxedUint, pkcs1v15::Pkcs1v15Sign, pss::Pss, traits::SignatureScheme};

use super::{Digest, Fault, key::bit_length};

/// The moduli that some platform accepts, in bits; larger ones only cost time.
const MODULUS_BITS: RangeInclusive<usize> = 512..=16_384;
/// The widest public exponent that Android's library accepts: a wider one makes one verification take
/// minutes.
const MAX_EXPONENT_BITS: usize = 33;
/// What *ring* takes.
const RING_BITS: RangeInclusive<usize> = 2_048..=8_192;

pub(super) fn verify_pkcs1(
    modulus: &[u8],
    exponent: &[u8],
    digest: Digest,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Fault> {
    check(modulus, exponent, signature)?;
    let parameters = match digest {
        Digest::Sha256 => Some(&ring_rsa::RSA_PKCS1_2048_8192_SHA256),
        Digest::Sha384 => Some(&ring_rsa::RSA_PKCS1_2048_8192_SHA384),
        Digest::Sha512 => Some(&ring_rsa::RSA_PKCS1_2048_8192_SHA512),
        Digest::Md5 | Digest::Sha1 | Digest::Sha224 => None,
    };
    if let Some(parameters) = parameters.filter(|_| suits_ring(modulus)) {
        return verify_with_ring(parameters, modulus, exponent, message, signature);
    }
    let scheme = match digest {
        Digest::Md5 => Pkcs1v15Sign::new::<md5::Md5>(),
        Digest::Sha1 => Pkcs1v15Sign::new::<sha1::Sha1>(),
        Digest::Sha224 => Pkcs1v15Sign::new::<sha2::Sha224>(),
        Digest::Sha256 => Pkcs1v15Sign::new::<sha2::Sha256>(),
        Digest::Sha384 => Pkcs1v15Sign::new::<sha2::Sha384>(),
        Digest::Sha512 => Pkcs1v15Sign::new::<sha2::Sha512>(),
    };
    verify_with(scheme, modulus, exponent, &digest.compute(message), signature)
}

pub(super) fn verify_pss(
    modulus: &[u8],
    exponent: &[u8],
    digest: Digest,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Fault> {
    check(modulus, exponent, signature)?;
    let hash = digest.compute(message);
    match digest {
        Digest::Sha256 if suits_ring(modulus) => verify_with_ring(
            &ring_rsa::RSA_PSS_2048_8192_SHA256,
            modulus,
            exponent,
            message,
            signature,
        ),
        Digest::Sha384 if suits_ring(modulus) => verify_with_ring(
            &ring_rsa::RSA_PSS_2048_8192_SHA384,
            modulus,
            exponent,
            message,
            signature,
        ),
        Digest::Sha512 if suits_ring(modulus) => verify_with_ring(
            &ring_rsa::RSA_PSS_2048_8192_SHA512,
            modulus,
            exponent,
            message,
            signature,
        ),
        Digest::Sha256 => verify_with(Pss::<sha2::Sha256>::new(), modulus, exponent, &hash, signature),
        Digest::Sha384 => verify_with(Pss::<sha2::Sha384>::new(), modulus, exponent, &hash, signature),
        Digest::Sha512 => verify_with(Pss::<sha2::Sha512>::new(), modulus, exponent, &hash, signature),
        Digest::Md5 | Digest::Sha1 | Digest::Sha224 => {
            Err(Fault::Unsupported(format!("RSA-PSS with {digest}")))
        }
    }
}

/// Bounds the work before any arithmetic is done.
fn check(modulus: &[u8], exponent: &[u8], signature: &[u8]) -> Result<(), Fault> {
    let bits = bit_length(modulus);
    if !MODULUS_BITS.contains(&bits) {
        let (min, max) = (MODULUS_BITS.start(), MODULUS_BITS.end());
        return Err(Fault::Unsupported(format!(
            "an RSA modulus of {bits} bits, not {min} to {max}"
        )));
    }
    let exponent_bits = bit_length(exponent);
    if !(2..=MAX_EXPONENT_BITS).contains(&exponent_bits) {
        return Err(Fault::Unsupported(format!(
            "an RSA exponent of {exponent_bits} bits, not 2 to {MAX_EXPONENT_BITS}"
        )));
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    if !is_odd(modulus) || !is_odd(exponent) {
        return Err(Fault::Malformed {
            what: "RSA public key",
            why: "a number of it is even".into(),
        });
    }
    if signature.len() != modulus.len() {
        return Err(Fault::Malformed {
            what: "RSA signature",
            why: format!("{} bytes under a modulus of {}", signature.len(), modulus.len()),
        });
    }
    Ok(())
}

fn suits_ring(modulus: &[u8]) -> bool {
    RING_BITS.contains(&bit_length(modulus))
}

fn verify_with_ring(
    parameters: &RsaParameters,
    n: &[u8],
    e: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), Fault> {
    RsaPublicKeyComponents { n, e }
        .verify(parameters, message, signature)
        .map_err(|_| Fault::Mismatch)
}

fn verify_with(
    scheme: impl SignatureScheme,
    modulus: &[u8],
    exponent: &[u8],
    hash: &[u8],
    signature: &[u8],
) -> Result<(), Fault> {
    let n = BoxedUint::from_be_slice_vartime(modulus);
    let e = BoxedUint::from_be_slice_vartime(exponent);
    let key = rsa::PublicKey::new_with_size_limits(n, e, MODULUS_BITS).map_err(|error| Fault::Malformed {
        what: "RSA public key",
        why: error.to_string(),
    })?;
    key.verify(scheme, hash, signature).map_err(|_| Fault::Mismatch)
}
