//! Leases: work that one server does at a time, whichever it is.

use std::time::Duration;

use crate::store::run;
use crate::{Error, Store};

impl Store {
    /// Takes a lease, or prolongs one that the holder has. Returns whether it is the holder's: it is not while another's
    /// lasts. Leases end by the database's clock, so that the servers' clocks need not agree.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn take_lease(&self, name: &str, holder: &str, lasts: Duration) -> Result<bool, Error> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        run!(self, write, leases::take(&name, &holder, lasts))
    }

    /// Gives a lease back before its end. One that is another's stays.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn give_lease_back(&self, name: &str, holder: &str) -> Result<(), Error> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        run!(self, write, leases::give_back(&name, &holder))
    }
}
