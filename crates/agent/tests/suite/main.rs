//! The device's promises, told as a phone meets them: against the real server, against one that lies, and with the
//! power going at every moment.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod good_way;
mod phone;
mod real;
