//! The line of shares over time.

use chrono::{DateTime, Utc};
use serde::Deserialize;

/// How many positions a percent has.
const PERCENT: f64 = 1e6;

/// A step of the plan: where it leads, in positions, and how long that takes, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) to: u64,
    pub(crate) over: i64,
}

impl Step {
    pub(crate) fn new(percent: f64, over: i64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a percentage, and `as` saturates"
        )]
        let to = (percent * PERCENT).round() as u64;
        Self { to, over }
    }
}

/// Something that the server's timeline tells.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Happening {
    pub(crate) at: DateTime<Utc>,
    /// How the rollout stood afterwards.
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) phase: String,
    /// From 1.
    #[serde(default)]
    pub(crate) step: usize,
}

/// The share over time, one piece after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<Piece>);

/// What holds from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    begins: i64,
    /// Whether the rollout offers anything.
    serves: bool,
    paused: bool,
    step: usize,
    /// The share grows from here...
    from: u64,
    since: i64,
    /// ...to here.
    to: u64,
    until: i64,
}

impl Piece {
    /// A share that stays.
    fn flat(begins: i64, share: u64, serves: bool, step: usize) -> Self {
        Self {
            begins,
            serves,
            paused: false,
            step,
            from: share,
            since: begins,
            to: share,
            until: begins,
        }
    }

    fn share(&self, at: i64) -> u64 {
        // Its time stands still.
        let at = if self.paused { self.begins } else { at };
        if at >= self.until {
            return self.to;
        }
        let part = i128::from((at - self.since).max(0)) * (i128::from(self.to) - i128::from(self.from));
        let grown = part / i128::from(self.until - self.since).max(1);
        self.from + u64::try_from(grown).unwrap_or(0)
    }
}

impl Line {
    /// From the plan and from what happened, the earliest first. What it doesn't know, such as a share that was set by hand,
    /// is `None`.
    pub(crate) fn of(steps: &[Step], happenings: &[Happening]) -> Option<Self> {
        let mut line = Self::default();
        for happening in happenings {
            let piece = line.next(steps, happening)?;
            line.0.push(piece);
        }
        Some(line)
    }

    fn next(&self, steps: &[Step], happening: &Happening) -> Option<Piece> {
        let at = happening.at.timestamp_millis();
        let share = self.share(at);
        let step = happening.step.saturating_sub(1);
        let target = steps.get(step)?;
        let last = self.0.last().copied().unwrap_or(Piece::flat(at, 0, false, 0));
        Some(match (happening.state.as_str(), happening.phase.as_str()) {
            ("paused" | "halted", _) => Piece {
                begins: at,
                serves: false,
                paused: true,
                ..last
            },
            // It goes on: what was left is left.
            ("active", "ramping" | "baking") if last.paused => Piece {
                begins: at,
                serves: true,
                paused: false,
                since: last.since + (at - last.begins),
                until: last.until + (at - last.begins),
                ..last
            },
            ("active", "ramping") => Piece {
                begins: at,
                serves: true,
                paused: false,
                step,
                from: share,
                since: at,
                to: target.to,
                until: at + target.over,
            },
            ("active", "baking") | ("completed", _) => Piece::flat(at, target.to, true, step),
            ("scheduled", _) => Piece::flat(at, 0, false, step),
            _ => return None,
        })
    }

    fn piece(&self, at: i64) -> Option<&Piece> {
        let after = self.0.partition_point(|piece| piece.begins <= at);
        self.0.get(after.checked_sub(1)?)
    }

    /// The share at a moment, in positions.
    pub(crate) fn share(&self, at: i64) -> u64 {
        self.piece(at).map_or(0, |piece| piece.share(at))
    }

    /// Whether the rollout offers anything then.
    pub(crate) fn serves(&self, at: i64) -> bool {
        self.piece(at).is_some_and(|piece| piece.serves)
    }

    pub(crate) fn is_paused(&self, at: i64) -> bool {
        self.piece(at).is_some_and(|piece| piece.paused)
    }
}
