use std::ops::ControlFlow;

use crate::Error;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The base is read, and compared with what the patch was made from.
    Checking,
    /// Entries are inflated; when making, how to compress them to the same bytes is found out as well.
    Inflating,
    /// The base's index is built. Tells nothing on the way.
    Sorting,
    /// The base is searched for what the result has.
    Matching,
    /// The differences are compressed. Tells nothing on the way.
    Packing,
    /// The result is written.
    Writing,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stage::Checking => "checking",
            Stage::Inflating => "inflating",
            Stage::Sorting => "sorting",
            Stage::Matching => "matching",
            Stage::Packing => "packing",
            Stage::Writing => "writing",
        })
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// In bytes, of this stage.
    pub done: u64,
    /// In bytes, of this stage.
    pub total: u64,
}

/// Hears how far it is, some thousand times at most, and says whether to go on.
pub type Listener<'l> = dyn FnMut(Progress) -> ControlFlow<()> + 'l;

/// Goes on without a word, for those who don't care.
pub fn unwatched(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Tells the listener of what has changed by a noticeable share.
pub(crate) struct Watch<'l> {
    listener: &'l mut Listener<'l>,
    told: Option<(Stage, u64)>,
}

/// How many parts of a stage are told of.
const PARTS: u64 = 200;

impl<'l> Watch<'l> {
    pub(crate) fn new(listener: &'l mut Listener<'l>) -> Watch<'l> {
        Watch { listener, told: None }
    }

    pub(crate) fn tell(&mut self, stage: Stage, done: u64, total: u64) -> Result<(), Error> {
        let part = done.saturating_mul(PARTS) / total.max(1);
        if self.told == Some((stage, part)) {
            return Ok(());
        }
        self.told = Some((stage, part));
        match (self.listener)(Progress { stage, done, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }
}
