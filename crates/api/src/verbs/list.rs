//! Lists in pages, as messages ask for them and are told them.
//!
//! Source: <https://google.aip.dev/158>

use std::fmt::Write as _;

use prost::Message;
use sha2::{Digest as _, Sha256};
use tidegate_service::{Error, MAX_PAGE_SIZE, Page, Paged};

/// The bytes of a page's items at most: clients of gRPC take an answer of four megabytes.
const MAX_PAGE_BYTES: usize = 3 * 1024 * 1024;

/// The bytes that frame an item in its list at most.
const FRAME_BYTES: usize = 6;

/// The bytes of a list's hash that its tokens begin with.
const SEAL_BYTES: usize = 6;

/// One page of a list, as it is asked for.
pub(super) struct List {
    size: Option<u32>,
    token: Option<String>,
    /// What the tokens of this list begin with, and those of no other.
    seal: String,
}

impl List {
    /// The list of this name with these filters, which are the request without its page. A size of 0 and an empty token
    /// stand for "as usual" and "from the beginning"; a size above the maximum is that of the longest page.
    pub(super) fn of(name: &str, size: i64, token: &str, filters: &impl Message) -> Result<Self, Error> {
        let size = u64::try_from(size).map_err(|_| Error::invalid("page_size", "must not be negative"))?;
        let size = u32::try_from(size).unwrap_or(MAX_PAGE_SIZE).min(MAX_PAGE_SIZE);
        let seal = seal(name, filters);
        let token = match token {
            "" => None,
            token => Some(token.strip_prefix(&seal).ok_or_else(foreign_token)?.to_owned()),
        };
        Ok(Self {
            size: Some(size).filter(|size| *size > 0),
            token,
            seal,
        })
    }

    /// Asks for the page and tells its items, with the token of the next one. What would make the page too large is left
    /// to the next.
    pub(super) async fn tell<T, M, F>(
        &self,
        ask: impl Fn(Page) -> F,
        told: impl Fn(T) -> M,
    ) -> Result<(Vec<M>, String), Error>
    where
        M: Message,
        F: Future<Output = Result<Paged<T>, Error>>,
    {
        let mut page = ask(Page::new(self.size, self.token.clone())?).await?;
        let mut items: Vec<M> = page.items.into_iter().map(&told).collect();
        let fitting = fitting(&items);
        if fitting < items.len() {
            // Asked again, since only the database knows where a page ends.
            let size = u32::try_from(fitting).unwrap_or(MAX_PAGE_SIZE);
            page = ask(Page::new(Some(size), self.token.clone())?).await?;
            items = page.items.into_iter().map(&told).collect();
        }
        let next = page.next_page_token.map(|next| format!("{}{next}", self.seal));
        Ok((items, next.unwrap_or_default()))
    }
}

/// How many of the items fit into a page; one does, however large.
fn fitting(items: &[impl Message]) -> usize {
    let mut bytes = 0;
    let fits = |item: &&_| {
        bytes += Message::encoded_len(*item) + FRAME_BYTES;
        bytes <= MAX_PAGE_BYTES
    };
    items.iter().take_while(fits).count().max(1)
}

fn seal(name: &str, filters: &impl Message) -> String {
    let hash = Sha256::new_with_prefix(name)
        .chain_update([0])
        .chain_update(filters.encode_to_vec());
    let mut seal = String::new();
    for byte in &hash.finalize()[..SEAL_BYTES] {
        // Writing to a string can't fail.
        let _ = write!(seal, "{byte:02x}");
    }
    seal
}

fn foreign_token() -> Error {
    Error::invalid(
        "page_token",
        "must be one that a page of this list gave, with the same filters",
    )
}

#[cfg(test)]
mod tests {
    use tidegate_proto::v1::{Audience, ListBuildsRequest};

    use super::*;

    fn builds_of(package: &str) -> ListBuildsRequest {
        ListBuildsRequest {
            package_name: package.to_owned(),
            ..ListBuildsRequest::default()
        }
    }

    #[test]
    fn a_token_is_good_for_its_list_and_filters_alone() {
        let ours = seal("builds", &builds_of("com.example.app"));
        let token = format!("{ours}37");
        let taken = |name: &str, package: &str| List::of(name, 0, &token, &builds_of(package)).is_ok();
        assert!(taken("builds", "com.example.app"));
        assert!(!taken("builds", ""));
        assert!(!taken("builds", "com.example.other"));
        assert!(!taken("rollouts", "com.example.app"));
    }

    #[test]
    fn a_size_above_the_maximum_is_the_maximum() {
        let size = |size| List::of("builds", size, "", &builds_of("")).map(|list| list.size);
        assert_eq!(size(0), Ok(None));
        assert_eq!(size(7), Ok(Some(7)));
        for large in [501, i64::from(u32::MAX) + 1, i64::MAX] {
            assert_eq!(size(large), Ok(Some(MAX_PAGE_SIZE)));
        }
        assert!(size(-1).is_err());
    }

    #[test]
    fn a_page_ends_before_it_is_too_large() {
        let item = |bytes: usize| Audience {
            regions: vec!["x".repeat(bytes)],
            ..Audience::default()
        };
        let (small, large) = (item(10), item(MAX_PAGE_BYTES / 2));
        assert_eq!(fitting(&[small.clone(), small.clone()]), 2);
        assert_eq!(fitting(&[small.clone(), large.clone(), large]), 2);
        assert_eq!(fitting(&[item(MAX_PAGE_BYTES), small]), 1);
    }
}
