//! Long lists in pages.
//!
//! A page is asked for by the key of the last row that was seen, never by an offset, so that rows that are added
//! meanwhile neither repeat nor hide others, and the thousandth page costs what the first does.

use tidegate_domain as domain;

use crate::Error;

/// The longest page.
pub const MAX_PAGE_SIZE: u32 = 500;
/// A page's size unless the caller says another.
pub const DEFAULT_PAGE_SIZE: u32 = 50;
/// Twice the longest key, which is a device's alias in lower case and some numbers.
const MAX_TOKEN_BYTES: usize = 2 * (2 * domain::MAX_ATTRIBUTE_BYTES + 64);

/// Which page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    size: u32,
    token: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            size: DEFAULT_PAGE_SIZE,
            token: None,
        }
    }
}

impl Page {
    /// A page of at most `size` items ([`DEFAULT_PAGE_SIZE`] when left out), after the page that gave the token.
    ///
    /// # Errors
    /// [`domain::Error::Invalid`] with field `page_size` outside of 1 to [`MAX_PAGE_SIZE`].
    pub fn new(size: Option<u32>, token: Option<String>) -> Result<Self, Error> {
        let size = size.unwrap_or(DEFAULT_PAGE_SIZE);
        if !(1..=MAX_PAGE_SIZE).contains(&size) {
            let fault = format!("must be from 1 to {MAX_PAGE_SIZE}, not {size}");
            return Err(domain::Error::invalid("page_size", fault).into());
        }
        Ok(Self { size, token })
    }

    /// How many items at most.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// How many rows to ask for: one more than the page holds tells whether there is a next one.
    pub(crate) fn limit(&self) -> i64 {
        i64::from(self.size) + 1
    }

    /// The key after which the page begins.
    pub(crate) fn after<K: Key>(&self) -> Result<Option<K>, Error> {
        let Some(token) = &self.token else {
            return Ok(None);
        };
        let key = Some(token)
            .filter(|token| token.len() <= MAX_TOKEN_BYTES)
            .and_then(|token| from_hex(token))
            .and_then(|text| K::read(&text));
        match key {
            Some(key) => Ok(Some(key)),
            None => {
                Err(domain::Error::invalid("page_token", "must be one that a page before it gave").into())
            }
        }
    }

    /// The token of the page that begins after this key.
    pub(crate) fn token_after(key: &impl Key) -> String {
        to_hex(&key.write())
    }

    /// Cuts the rows to the page's size and says where the next one begins.
    pub(crate) fn paged<R, K: Key>(&self, mut rows: Vec<R>, key: impl Fn(&R) -> K) -> Paged<R> {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        let last = rows.last().filter(|_| more);
        Paged {
            next_page_token: last.map(|row| to_hex(&key(row).write())),
            items: rows,
        }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged<T> {
    /// What it holds.
    pub items: Vec<T>,
    /// The token of the next page, if there is one. Opaque.
    pub next_page_token: Option<String>,
}

impl<T> Paged<T> {
    /// The same page of something else.
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Paged<U> {
        Paged {
            items: self.items.into_iter().map(each).collect(),
            next_page_token: self.next_page_token,
        }
    }

    pub(crate) fn try_map<U, E>(self, each: impl FnMut(T) -> Result<U, E>) -> Result<Paged<U>, E> {
        Ok(Paged {
            items: self.items.into_iter().map(each).collect::<Result<_, E>>()?,
            next_page_token: self.next_page_token,
        })
    }
}

/// What a list is sorted by.
pub(crate) trait Key: Sized {
    fn write(&self) -> String;
    fn read(text: &str) -> Option<Self>;
}

impl Key for i64 {
    fn write(&self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Key for String {
    fn write(&self) -> String {
        self.clone()
    }
    fn read(text: &str) -> Option<Self> {
        (!text.contains('\0')).then(|| text.to_owned())
    }
}

/// Hex keeps a token safe in URLs and keeps people from building their own.
fn to_hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(token: &str) -> Option<String> {
    if !token.len().is_multiple_of(2) || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let bytes: Option<Vec<u8>> = (0..token.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(token.get(at..at + 2)?, 16).ok())
        .collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_row_after_the_last_one() {
        let page = Page::new(Some(2), None).unwrap();
        let paged = page.paged(vec![9_i64, 8, 7], |id| *id);
        assert_eq!(paged.items, [9, 8]);
        let next = Page::new(Some(2), paged.next_page_token).unwrap();
        assert_eq!(next.after::<i64>(), Ok(Some(8)));
        assert_eq!(next.paged(vec![7_i64], |id| *id).next_page_token, None);
    }

    #[test]
    fn what_no_page_gave_is_refused() {
        let long = "61".repeat(600);
        for token in ["x", "zz", "é", "6", "ff", "6162", &long] {
            let page = Page::new(None, Some(token.into())).unwrap();
            assert!(matches!(
                page.after::<i64>(),
                Err(Error::Rule(domain::Error::Invalid {
                    field: "page_token",
                    ..
                }))
            ));
        }
        assert!(Page::new(Some(0), None).is_err());
        assert!(Page::new(Some(501), None).is_err());
    }
}
