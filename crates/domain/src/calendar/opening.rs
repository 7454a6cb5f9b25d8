//! When something may happen, as moments.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A time during which something may happen: from its first moment up to the one at which it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Opening {
    /// When it begins.
    pub from: DateTime<Utc>,
    /// When it is over.
    pub until: DateTime<Utc>,
}

impl Opening {
    /// Whether it is open at this moment.
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        self.from <= now && now < self.until
    }
}

/// Openings that neither overlap nor touch, the earliest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Openings(Box<[Opening]>);

impl Openings {
    /// Takes openings in any order: those that overlap or touch become one, and those that are over when they begin are
    /// left out.
    pub fn new(openings: impl IntoIterator<Item = Opening>) -> Self {
        let mut sorted: Vec<Opening> = openings
            .into_iter()
            .filter(|opening| opening.from < opening.until)
            .collect();
        sorted.sort_unstable();
        let mut merged: Vec<Opening> = Vec::with_capacity(sorted.len());
        for opening in sorted {
            match merged.last_mut() {
                Some(last) if opening.from <= last.until => last.until = last.until.max(opening.until),
                _ => merged.push(opening),
            }
        }
        Self(merged.into())
    }

    /// All of them.
    pub fn as_slice(&self) -> &[Opening] {
        &self.0
    }

    /// The opening that holds now, or else the next one.
    pub fn current_or_next(&self, now: DateTime<Utc>) -> Option<Opening> {
        first(&self.0, now).first().copied()
    }

    /// The same without the time that these take.
    #[must_use]
    pub fn without(&self, cuts: &Self) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        for opening in &self.0 {
            let mut rest = *opening;
            for cut in first(&cuts.0, rest.from) {
                if cut.from >= rest.until {
                    break;
                }
                left.push(Opening {
                    until: cut.from,
                    ..rest
                });
                rest.from = cut.until;
            }
            left.push(rest);
        }
        Self::new(left)
    }
}

/// Those that are not over by then.
fn first(openings: &[Opening], now: DateTime<Utc>) -> &[Opening] {
    &openings[openings.partition_point(|opening| opening.until <= now)..]
}

/// The time during which both are open, which holds now or comes next.
pub(super) fn next_common(a: &[Opening], b: &[Opening], now: DateTime<Utc>) -> Option<Opening> {
    let (mut a, mut b) = (first(a, now), first(b, now));
    while let ([x, later_a @ ..], [y, later_b @ ..]) = (a, b) {
        let common = Opening {
            from: x.from.max(y.from),
            until: x.until.min(y.until),
        };
        if common.from < common.until {
            return Some(common);
        }
        match x.until <= y.until {
            true => a = later_a,
            false => b = later_b,
        }
    }
    None
}

/// The opening that holds now or comes next.
pub(super) fn next(openings: &[Opening], now: DateTime<Utc>) -> Option<Opening> {
    first(openings, now).first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn of(pairs: &[(i64, i64)]) -> Openings {
        let opening = |(from, until): &(i64, i64)| Opening {
            from: at(*from),
            until: at(*until),
        };
        Openings::new(pairs.iter().map(opening))
    }

    #[test]
    fn what_overlaps_or_touches_is_one() {
        assert_eq!(
            of(&[(5, 9), (1, 3), (3, 4), (8, 12), (20, 20)]),
            of(&[(1, 4), (5, 12)])
        );
    }

    #[test]
    fn a_cut_shortens_splits_and_ends_openings() {
        let open = of(&[(0, 10), (20, 30), (40, 50)]);
        assert_eq!(
            open.without(&of(&[(3, 5)])),
            of(&[(0, 3), (5, 10), (20, 30), (40, 50)])
        );
        assert_eq!(open.without(&of(&[(8, 22)])), of(&[(0, 8), (22, 30), (40, 50)]));
        assert_eq!(open.without(&of(&[(0, 100)])), of(&[]));
        assert_eq!(open.without(&of(&[(10, 20)])), open);
    }

    #[test]
    fn an_opening_ends_with_the_moment_before_its_end() {
        let open = of(&[(10, 20), (30, 40)]);
        let found = |now| open.current_or_next(at(now)).map(|found| found.from.timestamp());
        assert_eq!([9, 10, 19].map(found), [Some(10); 3]);
        assert_eq!([20, 29, 39].map(found), [Some(30); 3]);
        assert_eq!(found(40), None);
        assert!(!open.as_slice()[0].holds(at(20)) && open.as_slice()[0].holds(at(10)));
    }

    #[test]
    fn both_are_open_where_they_meet() {
        let (a, b) = (of(&[(0, 10), (20, 30)]), of(&[(9, 12), (25, 26), (28, 40)]));
        let meet = |now| next_common(a.as_slice(), b.as_slice(), at(now));
        let told = |found: Option<Opening>| found.map(|at| (at.from.timestamp(), at.until.timestamp()));
        assert_eq!(told(meet(0)), Some((9, 10)));
        assert_eq!(told(meet(10)), Some((25, 26)));
        assert_eq!(told(meet(26)), Some((28, 30)));
        assert_eq!(told(meet(30)), None);
    }
}
