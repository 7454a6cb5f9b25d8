//! What the whole fleet measures at the wire, in real time: how long answers took, and when the server was away.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Error;

/// What a device asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    Enroll,
    Poll,
    Download,
    Report,
}

impl Errand {
    pub(crate) const ALL: [Self; 4] = [Self::Enroll, Self::Poll, Self::Download, Self::Report];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Enroll => "enroll",
            Self::Poll => "poll",
            Self::Download => "download",
            Self::Report => "report",
        }
    }
}

/// The longest time that the histograms tell apart: a minute, in microseconds.
const LONGEST: u64 = 60_000_000;

/// Significant digits of the histograms.
const DIGITS: u8 = 3;

/// How finely poll answers are remembered in time.
const TICK: Duration = Duration::from_millis(100);

/// How long before the first sign of an outage an answered poll may have been without a trace. The server writes
/// its counters every second; the rest is the time that the writing itself takes on a busy machine, and the time
/// until a device notices.
pub(crate) const AT_RISK: Duration = Duration::from_secs(4);

/// The fleet's instruments.
#[derive(Debug)]
pub(crate) struct Gauge {
    begun: Instant,
    histograms: Mutex<[Histogram<u64>; 4]>,
    /// Answered polls by tick since the beginning.
    polls: Mutex<Vec<u32>>,
    /// Polls that were sent and never answered: the server may have counted them or not.
    unanswered_polls: AtomicU64,
    /// A request failed for real since somebody last asked.
    trouble: AtomicBool,
    first_trouble: Mutex<Option<Instant>>,
    outages: Mutex<Vec<Instant>>,
}

impl Gauge {
    pub(crate) fn new() -> Result<Self, Error> {
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS)
            .map_err(|fault| Error::Server(format!("latencies cannot be measured: {fault}")))?;
        Ok(Self {
            begun: Instant::now(),
            histograms: Mutex::new([histogram.clone(), histogram.clone(), histogram.clone(), histogram]),
            polls: Mutex::default(),
            unanswered_polls: AtomicU64::new(0),
            trouble: AtomicBool::new(false),
            first_trouble: Mutex::default(),
            outages: Mutex::default(),
        })
    }

    /// An answer came.
    pub(crate) fn answered(&self, errand: Errand, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        hold(&self.histograms)[errand as usize].saturating_record(micros.max(1));
    }

    /// A poll was answered. The server has counted it, unless it crashes before it writes its counters.
    pub(crate) fn polled(&self) {
        let tick = self.tick(Instant::now());
        let mut polls = hold(&self.polls);
        if polls.len() <= tick {
            polls.resize(tick + 1, 0);
        }
        polls[tick] += 1;
    }

    /// A request got no answer, and that was none of the played faults.
    pub(crate) fn unanswered(&self, errand: Errand) {
        if errand == Errand::Poll {
            self.unanswered_polls.fetch_add(1, Ordering::Relaxed);
        }
        hold(&self.first_trouble).get_or_insert_with(Instant::now);
        self.trouble.store(true, Ordering::Release);
    }

    /// Whether a request got no answer since [`Gauge::over`] was called last.
    pub(crate) fn in_trouble(&self) -> bool {
        self.trouble.load(Ordering::Acquire)
    }

    /// The server answers again, after it was away or perhaps only slow.
    pub(crate) fn over(&self) {
        self.trouble.store(false, Ordering::Release);
        let Some(first) = hold(&self.first_trouble).take() else {
            return;
        };
        hold(&self.outages).push(first);
    }

    pub(crate) fn outages(&self) -> usize {
        hold(&self.outages).len()
    }

    pub(crate) fn unanswered_polls(&self) -> u64 {
        self.unanswered_polls.load(Ordering::Relaxed)
    }

    /// How many answered polls a crash may have wiped out: those shortly before each outage.
    pub(crate) fn polls_at_risk(&self) -> u64 {
        let polls = hold(&self.polls);
        let mut at_risk = vec![false; polls.len()];
        for outage in hold(&self.outages).iter() {
            let last = self.tick(*outage);
            let first = outage.checked_sub(AT_RISK).map_or(0, |from| self.tick(from));
            for tick in at_risk.iter_mut().take(last + 1).skip(first) {
                *tick = true;
            }
        }
        let counted = polls.iter().zip(&at_risk).filter(|(_, at_risk)| **at_risk);
        counted.map(|(count, _)| u64::from(*count)).sum()
    }

    /// A copy of what was measured.
    pub(crate) fn histogram(&self, errand: Errand) -> Histogram<u64> {
        hold(&self.histograms)[errand as usize].clone()
    }

    fn tick(&self, at: Instant) -> usize {
        let since = at.saturating_duration_since(self.begun);
        usize::try_from(since.as_millis() / TICK.as_millis()).unwrap_or(usize::MAX)
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_polls_shortly_before_an_outage_are_at_risk() {
        let gauge = Gauge::new().unwrap();
        gauge.polled();
        gauge.polled();
        assert_eq!(gauge.polls_at_risk(), 0, "nothing happened");
        gauge.unanswered(Errand::Report);
        assert!(gauge.in_trouble());
        gauge.over();
        assert!(!gauge.in_trouble());
        assert_eq!(
            (gauge.outages(), gauge.polls_at_risk(), gauge.unanswered_polls()),
            (1, 2, 0)
        );
        hold(&gauge.outages)[0] += AT_RISK * 2;
        assert_eq!(gauge.polls_at_risk(), 0, "long before");
    }

    #[test]
    fn a_lost_answer_of_a_poll_is_counted_as_unknown() {
        let gauge = Gauge::new().unwrap();
        gauge.unanswered(Errand::Poll);
        assert_eq!(gauge.unanswered_polls(), 1);
    }
}
