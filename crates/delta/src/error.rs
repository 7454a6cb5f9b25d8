use std::io;

/// Why there is no patch, or no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is none, or of another format.
    #[error("not a patch: it does not begin with \"tgp1\"")]
    NotAPatch,
    /// The patch says what can't be. Whoever downloaded it takes the full file.
    #[error("the patch is damaged: {0}")]
    Damaged(&'static str),
    /// More than the caller is ready to take.
    #[error("{what} would be {size} bytes, and {limit} is the most")]
    TooLarge {
        /// What would be too large.
        what: &'static str,
        /// In bytes.
        size: u64,
        /// In bytes.
        limit: u64,
    },
    /// The base is not the file that the patch was made from.
    #[error("the base is another file than the patch was made from")]
    WrongBase,
    /// What was written is not the file that the patch promises. Nobody may take it for that.
    #[error("the result is not what the patch promises")]
    WrongResult,
    /// What compresses entries again can't work here. That says nothing about patch and base.
    #[error("entries can't be compressed: {0}")]
    Compressor(&'static str),
    /// The caller's wish.
    #[error("cancelled")]
    Cancelled,
    /// A file couldn't be read or written.
    #[error("{file}: {source}")]
    Io {
        /// Which of the caller's files.
        file: File,
        /// What the system said.
        source: io::Error,
    },
}

/// The files that making and applying have to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// What the device has.
    Base,
    /// What the device shall have.
    Result,
    /// What leads from one to the other.
    Patch,
    /// The inflated parts of the base.
    Scratch,
}

impl std::fmt::Display for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            File::Base => "base",
            File::Result => "result",
            File::Patch => "patch",
            File::Scratch => "scratch file",
        })
    }
}

impl File {
    /// Makes an error of the system's one of this file's.
    pub(crate) fn failed(self) -> impl Fn(io::Error) -> Error {
        move |source| Error::Io { file: self, source }
    }
}
