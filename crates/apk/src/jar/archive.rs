use super::Entries;
use crate::crypto::{Digest, Hasher};
use crate::zip::Archive;
use crate::{Error, Rule};

impl Entries for Archive<'_> {
    fn names(&self) -> Vec<&str> {
        self.entries().iter().map(|entry| entry.name.as_str()).collect()
    }

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
        Archive::read(self, name, limit)
    }

    fn digest(&self, name: &str, digests: &[Digest]) -> Result<Vec<Vec<u8>>, Error> {
        let entry = self
            .find(name)
            .ok_or_else(|| Error::archive(Rule::MissingEntry, name, "there is no entry of this name"))?;
        let mut hashers: Vec<Hasher> = digests.iter().map(|digest| Hasher::new(*digest)).collect();
        self.unpack(entry, |bytes| {
            for hasher in &mut hashers {
                hasher.update(bytes);
            }
        })?;
        Ok(hashers.into_iter().map(Hasher::finish).collect())
    }
}
