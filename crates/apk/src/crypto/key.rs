use super::{Fault, dsa};
use crate::ber::{self, BIT_STRING, Class, Element, INTEGER, SEQUENCE};

const RSA: &str = "1.2.840.113549.1.1.1";
const DSA: &str = "1.2.840.10040.4.1";
const EC: &str = "1.2.840.10045.2.1";

/// The elliptic curve of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-256, secp256r1.
    P256,
    /// NIST P-384, secp384r1.
    P384,
    /// NIST P-521, secp521r1.
    P521,
    /// A named curve by its object identifier, or explicit parameters: known to exist, never verified with.
    Other(String),
}

/// A public key, read from a `SubjectPublicKeyInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RFC 8017, both numbers big endian without leading zeros.
    Rsa {
        /// The modulus.
        modulus: Vec<u8>,
        /// The public exponent.
        exponent: Vec<u8>,
    },
    /// RFC 5480.
    Ec {
        /// The curve.
        curve: Curve,
        /// The point in SEC1 form.
        point: Vec<u8>,
    },
    /// RFC 3279 section 2.3.2.
    Dsa(dsa::Key),
    /// An algorithm that no APK signature uses, by its object identifier.
    Other(String),
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo`; BER is accepted.
    ///
    /// # Errors
    /// [`Fault::Malformed`] when it is not one.
    pub fn parse(spki: &[u8]) -> Result<Self, Fault> {
        let whole = Element::first(spki, "public key")?;
        whole.expect(SEQUENCE, "public key")?;
        let mut fields = whole.children();
        let mut algorithm = fields.universal(SEQUENCE, "public key algorithm")?.children();
        let oid = algorithm
            .required("public key algorithm identifier")?
            .oid("public key algorithm")?;
        let parameters = algorithm.next()?;
        let bits = fields
            .universal(BIT_STRING, "public key bits")?
            .bytes("public key bits")?;
        match oid.as_str() {
            RSA => Self::rsa(bits),
            DSA => dsa::Key::parse(parameters, bits).map(Self::Dsa),
            EC => Ok(Self::Ec {
                curve: curve(parameters)?,
                point: bits.to_vec(),
            }),
            _ => Ok(Self::Other(oid)),
        }
    }

    fn rsa(bits: &[u8]) -> Result<Self, Fault> {
        let whole = Element::first(bits, "RSA public key")?;
        whole.expect(SEQUENCE, "RSA public key")?;
        let mut fields = whole.children();
        let modulus = fields
            .universal(INTEGER, "RSA modulus")?
            .unsigned("RSA modulus")?;
        let exponent = fields
            .universal(INTEGER, "RSA exponent")?
            .unsigned("RSA exponent")?;
        if modulus.is_empty() || exponent.is_empty() {
            return Err(Fault::Malformed {
                what: "RSA public key",
                why: "a number of it is zero".into(),
            });
        }
        Ok(Self::Rsa {
            modulus: modulus.to_vec(),
            exponent: exponent.to_vec(),
        })
    }

    /// The algorithm as tools print it: `RSA`, `EC`, `DSA` or an object identifier.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        match self {
            Self::Rsa { .. } => "RSA",
            Self::Ec { .. } => "EC",
            Self::Dsa(_) => "DSA",
            Self::Other(oid) => oid,
        }
    }

    /// The key's size in bits, 0 when unknown.
    #[must_use]
    pub fn bits(&self) -> u32 {
        let shown = |bits| u32::try_from(bits).unwrap_or(u32::MAX);
        match self {
            Self::Rsa { modulus, .. } => shown(bit_length(modulus)),
            Self::Dsa(key) => shown(bit_length(&key.p)),
            Self::Ec {
                curve: Curve::P256, ..
            } => 256,
            Self::Ec {
                curve: Curve::P384, ..
            } => 384,
            Self::Ec {
                curve: Curve::P521, ..
            } => 521,
            Self::Ec {
                curve: Curve::Other(_),
                ..
            }
            | Self::Other(_) => 0,
        }
    }
}

/// The canonical DER of a `SubjectPublicKeyInfo`, for comparison with the one in a signing block: minimal
/// lengths, and an RSA modulus that was written as a negative number made positive, as platforms do.
pub(crate) fn canonical(spki: Element<'_>) -> Result<Vec<u8>, Fault> {
    let der = spki.to_der()?;
    let mut fields = spki.children();
    let algorithm = fields.universal(SEQUENCE, "public key algorithm")?;
    let bits = fields
        .universal(BIT_STRING, "public key bits")?
        .bytes("public key bits")?;
    if algorithm
        .children()
        .required("public key algorithm")?
        .oid("public key algorithm")?
        != RSA
    {
        return Ok(der);
    }
    let key = Element::first(bits, "RSA public key")?;
    let mut numbers = key.children();
    let modulus = numbers.universal(INTEGER, "RSA modulus")?;
    if modulus.contents.first().is_none_or(|first| first & 0x80 == 0) {
        return Ok(der);
    }
    let exponent = numbers.universal(INTEGER, "RSA exponent")?;
    let mut positive = vec![0];
    positive.extend_from_slice(modulus.contents);
    let mut pair = ber::write(Class::Universal, false, INTEGER, &positive);
    pair.extend(exponent.to_der()?);
    let mut bits = vec![0];
    bits.extend(ber::write(Class::Universal, true, SEQUENCE, &pair));
    let mut both = algorithm.to_der()?;
    both.extend(ber::write(Class::Universal, false, BIT_STRING, &bits));
    Ok(ber::write(Class::Universal, true, SEQUENCE, &both))
}

fn curve(parameters: Option<Element<'_>>) -> Result<Curve, Fault> {
    let Some(parameters) = parameters else {
        return Err(Fault::Malformed {
            what: "EC public key",
            why: "no curve is named".into(),
        });
    };
    if !parameters.is_universal(ber::OID) {
        return Ok(Curve::Other("explicit parameters".into()));
    }
    let oid = parameters.oid("curve")?;
    Ok(match oid.as_str() {
        "1.2.840.10045.3.1.7" => Curve::P256,
        "1.3.132.0.34" => Curve::P384,
        "1.3.132.0.35" => Curve::P521,
        _ => Curve::Other(oid),
    })
}

/// The number of significant bits of a big-endian number without leading zeros.
pub(super) fn bit_length(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |first| first.leading_zeros() as usize);
    number.len() * 8 - unused
}
