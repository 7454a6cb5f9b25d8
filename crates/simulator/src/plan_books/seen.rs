//! What is kept of a device until its books are closed.

/// The most of one kind that is kept of a device. More are counted by nobody: 60 days of polls are fewer.
const MAX_KEPT: usize = 20_000;

/// A poll as it went over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Poll {
    /// The server's time, in milliseconds since 1970.
    pub(crate) at: i64,
    /// The version that the device said it runs.
    pub(crate) installed: i64,
    /// It said that it has the file already.
    pub(crate) has_file: bool,
    /// It had failed with the build before.
    pub(crate) failed: bool,
    /// The rollout and the build that were offered.
    pub(crate) offered: Option<(i64, i64)>,
    /// Why nothing was.
    pub(crate) reason: String,
}

/// A file that was fetched or installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    /// When it began, in milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) version: i64,
}

/// What is kept of a device.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) polls: Vec<Poll>,
    pub(crate) downloads: Vec<Transfer>,
    pub(crate) installs: Vec<Transfer>,
}

/// Keeps one more, if there is room.
pub(crate) fn keep<T>(kept: &mut Vec<T>, one: T) {
    if kept.len() < MAX_KEPT {
        kept.push(one);
    }
}
