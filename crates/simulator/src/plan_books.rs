//! The books of a rollout that goes on by itself: whether each poll was offered the build exactly when the line had
//! reached the device's place and its windows were open.
//!
//! The line is computed here a second time, from the plan as it was posted and from the moments that the server's timeline
//! tells; the windows from the calendars as they were posted. Polls are kept as they went over the wire, with the server's
//! own `Date`, and judged when the run is over.

mod line;
mod seen;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub(crate) use self::line::{Happening, Line, Step};
pub(crate) use self::seen::{Poll, Seen, Transfer, keep};
use crate::openings::Calendar;

/// What a moment may be off by, in milliseconds: the server tells whole seconds, and a phone goes on for as long as its
/// request took. Only an answer that is right a little earlier or a little later is excused by it, and it is counted.
pub(crate) const EDGE: i64 = 2_000;

/// How many disagreements are told in words.
const MAX_TOLD: usize = 10;

/// The first protocol of agents that know windows for the installation.
const KNOWS_WINDOWS: u32 = 2;

/// What the books of a plan say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlanBooks {
    /// Polls that were judged.
    pub polls: u64,
    /// Those of them that were offered the build.
    pub offered: u64,
    /// Of the polls below those of devices that lack the build, while the rollout served: the line had reached them.
    pub below_line: u64,
    /// The line had not reached them.
    pub above_line: u64,
    /// The line had reached them, and a window that they had to wait for was closed.
    pub closed: u64,
    /// Of these, only a freeze closed it.
    pub frozen: u64,
    /// The line had reached them, and somebody had paused the rollout.
    pub paused: u64,
    /// Offers to devices that tell no zone, in a calendar of the device's own time.
    pub offered_without_zone: u64,
    /// Offers to agents that know no windows.
    pub older_offered: u64,
    /// Agents that know no windows, which the line had reached, were refused since one of the two was closed.
    pub older_refused: u64,
    /// Of these, only the window for installing was closed.
    pub older_refused_to_install: u64,
    /// Polls that could not be judged: the device had failed with the build, so that it may have been kept from it.
    pub unjudged: u64,
    /// Answers that are wrong. Must be 0.
    pub disagreements: u64,
    /// Answers that would be right up to two seconds earlier or later.
    pub at_edges: u64,
    /// Downloads by agents that know windows.
    pub downloads: u64,
    /// Those outside of the device's window. Must be 0.
    pub downloads_outside: u64,
    /// Installations by agents that know windows.
    pub installs: u64,
    /// Those outside of the device's window. Must be 0.
    pub installs_outside: u64,
    /// Downloads and installations less than two seconds outside.
    pub transfers_at_edges: u64,
    /// The first few of what must not be, in words.
    pub told: Vec<String>,
}

impl PlanBooks {
    /// Whether nothing happened that must not.
    pub fn hold(&self) -> bool {
        self.disagreements == 0 && self.downloads_outside == 0 && self.installs_outside == 0
    }

    fn tell(&mut self, words: impl FnOnce() -> String) {
        if self.told.len() < MAX_TOLD {
            self.told.push(words());
        }
    }
}

/// What a rollout was to do.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) rollout: i64,
    pub(crate) build: i64,
    pub(crate) version: i64,
    pub(crate) line: Line,
    pub(crate) download: Option<Calendar>,
    pub(crate) install: Option<Calendar>,
}

/// A device whose books are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a str,
    /// Its place among 10⁸.
    pub(crate) position: u64,
    /// Whether it can run the build.
    pub(crate) fits: bool,
    /// The zone that it tells.
    pub(crate) zone: Option<&'a str>,
    /// The protocol that its agent speaks.
    pub(crate) protocol: u32,
}

impl Course {
    /// Judges all that is kept of a device.
    pub(crate) fn judge(&self, subject: Subject<'_>, seen: &Seen, books: &mut PlanBooks) {
        for poll in &seen.polls {
            self.judge_poll(subject, poll, books);
        }
        if subject.protocol < KNOWS_WINDOWS {
            return;
        }
        for download in &seen.downloads {
            books.downloads += 1;
            let outside = self.is_outside(self.download.as_ref(), subject, download, books);
            books.downloads_outside += u64::from(outside);
            if outside {
                books.tell(|| {
                    format!(
                        "{} downloaded outside of its window at {}",
                        subject.name,
                        told(download.at)
                    )
                });
            }
        }
        for install in &seen.installs {
            books.installs += 1;
            let outside = self.is_outside(self.install.as_ref(), subject, install, books);
            books.installs_outside += u64::from(outside);
            if outside {
                books.tell(|| {
                    format!(
                        "{} installed outside of its window at {}",
                        subject.name,
                        told(install.at)
                    )
                });
            }
        }
    }

    fn judge_poll(&self, subject: Subject<'_>, poll: &seen::Poll, books: &mut PlanBooks) {
        let is_offered = poll.offered == Some((self.rollout, self.build));
        if poll.failed && !is_offered {
            books.unjudged += 1;
            return;
        }
        books.polls += 1;
        books.offered += u64::from(is_offered);
        self.note(subject, poll, is_offered, books);
        if self.expects(subject, poll, poll.at) == is_offered {
            return;
        }
        if [-EDGE, EDGE]
            .iter()
            .any(|by| self.expects(subject, poll, poll.at + by) == is_offered)
        {
            books.at_edges += 1;
            return;
        }
        books.disagreements += 1;
        books.tell(|| {
            format!(
                "{} at position {} was {} at {}, when the line was at {}: {}",
                subject.name,
                subject.position,
                if is_offered {
                    "offered the build"
                } else {
                    "refused it"
                },
                told(poll.at),
                self.line.share(poll.at),
                poll.reason,
            )
        });
    }

    /// Counts what a poll met, so that it can be said at the end that each case came up.
    fn note(&self, subject: Subject<'_>, poll: &seen::Poll, is_offered: bool, books: &mut PlanBooks) {
        let is_older = subject.protocol < KNOWS_WINDOWS;
        books.older_offered += u64::from(is_offered && is_older);
        books.offered_without_zone += u64::from(is_offered && subject.zone.is_none());
        if poll.installed >= self.version || !subject.fits {
            return;
        }
        let is_below = subject.position < self.line.share(poll.at);
        if !self.line.serves(poll.at) {
            books.paused += u64::from(is_below && self.line.is_paused(poll.at));
            return;
        }
        books.below_line += u64::from(is_below);
        books.above_line += u64::from(!is_below);
        if !is_below || self.are_open(subject, poll, poll.at) {
            return;
        }
        books.closed += 1;
        let asked = self.asked(subject, poll);
        let in_windows = asked.clone().all(|one| one.is_in_window(subject.zone, poll.at));
        books.frozen += u64::from(in_windows);
        if is_older {
            books.older_refused += 1;
            let download = self.download.as_ref();
            let only_install = download.is_none_or(|one| one.is_open(subject.zone, poll.at));
            books.older_refused_to_install += u64::from(only_install);
        }
    }

    /// Whether the device is to be offered the build at this moment.
    fn expects(&self, subject: Subject<'_>, poll: &seen::Poll, at: i64) -> bool {
        self.line.serves(at)
            && poll.installed < self.version
            && subject.fits
            && subject.position < self.line.share(at)
            && self.are_open(subject, poll, at)
    }

    fn are_open(&self, subject: Subject<'_>, poll: &seen::Poll, at: i64) -> bool {
        self.asked(subject, poll).all(|one| one.is_open(subject.zone, at))
    }

    /// The calendars that an offer waits for. Who has the file already needs none for its download.
    fn asked<'a>(
        &'a self,
        subject: Subject<'_>,
        poll: &seen::Poll,
    ) -> impl Iterator<Item = &'a Calendar> + Clone {
        let is_older = subject.protocol < KNOWS_WINDOWS;
        let download = self.download.as_ref().filter(|_| is_older || !poll.has_file);
        let install = self.install.as_ref().filter(|_| is_older);
        download.into_iter().chain(install)
    }

    fn is_outside(
        &self,
        calendar: Option<&Calendar>,
        subject: Subject<'_>,
        transfer: &Transfer,
        books: &mut PlanBooks,
    ) -> bool {
        let Some(calendar) = calendar.filter(|_| transfer.version == self.version) else {
            return false;
        };
        let open = |at| calendar.is_open(subject.zone, at);
        if open(transfer.at) {
            return false;
        }
        let at_edge = open(transfer.at - EDGE) || open(transfer.at + EDGE);
        books.transfers_at_edges += u64::from(at_edge);
        !at_edge
    }
}

fn told(at: i64) -> String {
    crate::life::moment(at).to_rfc3339()
}
