//! Proofs of rotation: each key signs the certificate of the one that follows it.

use super::Error;
use super::block::prefixed;
use super::key::SigningKey;
use crate::Capabilities;

/// A chain of certificates. It is not checked here: a wrong signer makes a broken lineage, which tests want.
#[derive(Debug, Clone)]
pub struct Lineage {
    /// Each node without the algorithm it signs the next one with, which is only known then.
    nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
struct Node {
    signed: Vec<u8>,
    flags: u32,
    signs_with: u32,
    signature: Vec<u8>,
}

const VERSION: u32 = 1;

impl Lineage {
    /// A lineage that starts with `key`, which keeps `capabilities` once it is succeeded.
    #[must_use]
    pub fn new(key: &SigningKey, capabilities: Capabilities) -> Self {
        Self {
            nodes: vec![Node::unsigned(key, capabilities, 0)],
        }
    }

    /// Adds `next`, certified by `by`, which should be the key before it.
    ///
    /// # Errors
    /// [`Error::Key`] when signing fails.
    pub fn then(
        mut self,
        by: &SigningKey,
        next: &SigningKey,
        capabilities: Capabilities,
    ) -> Result<Self, Error> {
        if let Some(last) = self.nodes.last_mut() {
            last.signs_with = by.algorithm_id();
        }
        let mut node = Node::unsigned(next, capabilities, by.algorithm_id());
        node.signature = by.sign(&node.signed)?;
        self.nodes.push(node);
        Ok(self)
    }

    /// The attribute's value.
    pub(super) fn encode(&self) -> Vec<u8> {
        let nodes = self.nodes.iter().flat_map(|node| prefixed(&node.encode()));
        VERSION.to_le_bytes().into_iter().chain(nodes).collect()
    }
}

impl Node {
    fn unsigned(key: &SigningKey, capabilities: Capabilities, signed_with: u32) -> Self {
        let signed = [
            prefixed(key.certificate_der()).as_slice(),
            &signed_with.to_le_bytes(),
        ]
        .concat();
        Self {
            signed,
            flags: capabilities.flags(),
            signs_with: 0,
            signature: Vec::new(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let numbers = [self.flags.to_le_bytes(), self.signs_with.to_le_bytes()].concat();
        [prefixed(&self.signed), numbers, prefixed(&self.signature)].concat()
    }
}
