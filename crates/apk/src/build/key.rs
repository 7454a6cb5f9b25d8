//! Keys that sign APKs.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaEncoding, RsaKeyPair,
};
use zeroize::Zeroizing;

use super::Error;
use crate::cert::Certificate;
use crate::scheme::to_hex;

/// A private key with its self-signed certificate. Prints only the certificate's fingerprint.
pub struct SigningKey {
    pkcs8: Zeroizing<Vec<u8>>,
    certificate: Certificate,
    pair: Pair,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    /// A fresh P-256 key with a certificate for `CN=<common_name>`, valid from 2020 to 2120.
    ///
    /// # Errors
    /// [`Error::Key`] when the system gives no randomness or the name cannot be encoded.
    pub fn generate(common_name: &str) -> Result<Self, Error> {
        let bad = |error: rcgen::Error| Error::Key(error.to_string());
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(bad)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2120, 1, 1);
        let certificate = params.self_signed(&pair).map_err(bad)?;
        Self::from_der(&pair.serialize_der(), certificate.der())
    }

    /// A key from its PKCS #8 encoding (P-256, or RSA from 2,048 bits) and its certificate in DER.
    ///
    /// # Errors
    /// [`Error::Key`] when either cannot be read or they don't belong together.
    pub fn from_der(pkcs8: &[u8], certificate: &[u8]) -> Result<Self, Error> {
        let certificate = Certificate::parse(certificate).map_err(|fault| Error::Key(fault.to_string()))?;
        let pair =
            match EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &SystemRandom::new()) {
                Ok(pair) => Pair::Ec(pair),
                Err(_) => Pair::Rsa(RsaKeyPair::from_pkcs8(pkcs8).map_err(|error| {
                    Error::Key(format!("neither a P-256 nor an RSA key in PKCS #8: {error}"))
                })?),
            };
        let public = match &pair {
            Pair::Ec(pair) => pair.public_key().as_ref(),
            Pair::Rsa(pair) => pair.public_key().as_ref(),
        };
        // The key's bits are the end of its SubjectPublicKeyInfo.
        if !certificate.spki_der.ends_with(public) {
            return Err(Error::Key("the certificate is for another key".to_owned()));
        }
        Ok(Self {
            pkcs8: Zeroizing::new(pkcs8.to_vec()),
            certificate,
            pair,
        })
    }

    /// The private key in PKCS #8, to be kept secret.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The certificate in DER.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate.der
    }

    /// SHA-256 of the certificate: what devices and operators pin.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.certificate.sha256
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The id of the signature algorithm in the signing block: ECDSA or RSA PKCS #1, with SHA-256.
    pub(super) fn algorithm_id(&self) -> u32 {
        match self.pair {
            Pair::Ec(_) => 0x0201,
            Pair::Rsa(_) => 0x0103,
        }
    }

    /// Whether it is an RSA key.
    pub(super) fn is_rsa(&self) -> bool {
        matches!(self.pair, Pair::Rsa(_))
    }

    /// Signs with SHA-256.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let random = SystemRandom::new();
        let failed = |_| Error::Key("signing failed".to_owned());
        match &self.pair {
            Pair::Ec(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let padding: &'static dyn RsaEncoding = &RSA_PKCS1_SHA256;
                pair.sign(padding, &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("fingerprint", &to_hex(&self.certificate.sha256))
            .finish_non_exhaustive()
    }
}
