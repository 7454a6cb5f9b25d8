//! Every admin verb once: from its request message to its answer. gRPC and REST are two thin skins over these.

pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod builds;
pub(crate) mod devices;
pub(crate) mod nudges;
pub(crate) mod packages;
pub(crate) mod rollouts;

use tidegate_domain::PackageName;
use tidegate_service::{Error, Page};

/// A page as messages ask for it: 0 and empty stand for "as usual" and "from the beginning".
fn page(size: i64, token: String) -> Result<Page, Error> {
    let size = match size {
        0 => None,
        size => Some(u32::try_from(size).map_err(|_| Error::invalid("page_size", "must be from 1 to 500"))?),
    };
    Ok(Page::new(size, non_empty(token))?)
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn optional_package(name: &str) -> Result<Option<PackageName>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    Ok(Some(PackageName::parse(name)?))
}
