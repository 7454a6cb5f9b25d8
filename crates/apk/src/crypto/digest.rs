use sha2::Digest as _;

/// A message digest that Android knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// RFC 1321, 16 bytes.
    Md5,
    /// FIPS 180-4, 20 bytes.
    Sha1,
    /// FIPS 180-4, 28 bytes.
    Sha224,
    /// FIPS 180-4, 32 bytes.
    Sha256,
    /// FIPS 180-4, 48 bytes.
    Sha384,
    /// FIPS 180-4, 64 bytes.
    Sha512,
}

impl Digest {
    /// The digest's length in bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of `bytes`.
    #[must_use]
    pub fn compute(self, bytes: &[u8]) -> Vec<u8> {
        let mut hasher = Hasher::new(self);
        hasher.update(bytes);
        hasher.finish()
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}

/// A digest in the making.
#[derive(Clone)]
pub struct Hasher(State);

/// *ring* has neither MD5 nor SHA-224.
#[derive(Clone)]
enum State {
    Ring(ring::digest::Context),
    Md5(md5::Md5),
    Sha224(sha2::Sha224),
}

impl Hasher {
    /// An empty digest.
    #[must_use]
    pub fn new(digest: Digest) -> Self {
        let ring = |algorithm| State::Ring(ring::digest::Context::new(algorithm));
        Self(match digest {
            Digest::Md5 => State::Md5(md5::Md5::new()),
            Digest::Sha1 => ring(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY),
            Digest::Sha224 => State::Sha224(sha2::Sha224::new()),
            Digest::Sha256 => ring(&ring::digest::SHA256),
            Digest::Sha384 => ring(&ring::digest::SHA384),
            Digest::Sha512 => ring(&ring::digest::SHA512),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Ring(context) => context.update(bytes),
            State::Md5(hasher) => hasher.update(bytes),
            State::Sha224(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of everything added.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        match self.0 {
            State::Ring(context) => context.finish().as_ref().to_vec(),
            State::Md5(hasher) => hasher.finalize().to_vec(),
            State::Sha224(hasher) => hasher.finalize().to_vec(),
        }
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}
