use p256::ecdsa::signature::hazmat::PrehashVerifier;
use ring::signature::{self as ring_ec, UnparsedPublicKey};

use super::{Curve, Digest, Fault};

pub(super) fn verify(
    curve: &Curve,
    point: &[u8],
    digest: Digest,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Fault> {
    let ring = match (curve, digest) {
        (Curve::P256, Digest::Sha256) => Some(&ring_ec::ECDSA_P256_SHA256_ASN1),
        (Curve::P256, Digest::Sha384) => Some(&ring_ec::ECDSA_P256_SHA384_ASN1),
        (Curve::P384, Digest::Sha256) => Some(&ring_ec::ECDSA_P384_SHA256_ASN1),
        (Curve::P384, Digest::Sha384) => Some(&ring_ec::ECDSA_P384_SHA384_ASN1),
        _ => None,
    };
    // ring takes uncompressed points only.
    if let Some(algorithm) = ring.filter(|_| point.first() == Some(&4)) {
        return UnparsedPublicKey::new(algorithm, point)
            .verify(message, signature)
            .map_err(|_| Fault::Mismatch);
    }
    let hash = digest.compute(message);
    match curve {
        Curve::P256 => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| bad_point())?;
            let signature = p256::ecdsa::Signature::from_der(signature).map_err(|_| bad_signature())?;
            key.verify_prehash(&hash, &signature).map_err(|_| Fault::Mismatch)
        }
        Curve::P384 => {
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| bad_point())?;
            let signature = p384::ecdsa::Signature::from_der(signature).map_err(|_| bad_signature())?;
            key.verify_prehash(&hash, &signature).map_err(|_| Fault::Mismatch)
        }
        Curve::P521 => {
            let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| bad_point())?;
            let signature = p521::ecdsa::Signature::from_der(signature).map_err(|_| bad_signature())?;
            key.verify_prehash(&hash, &signature).map_err(|_| Fault::Mismatch)
        }
        Curve::Other(name) => Err(Fault::Unsupported(format!("the elliptic curve {name}"))),
    }
}

fn bad_point() -> Fault {
    Fault::Malformed {
        what: "EC public key",
        why: "not a point of its curve".into(),
    }
}

fn bad_signature() -> Fault {
    Fault::Malformed {
        what: "ECDSA signature",
        why: "not a sequence of two numbers of the curve's size".into(),
    }
}
