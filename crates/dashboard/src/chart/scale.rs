//! How high a value stands, and what is written beside it.

use super::{HEIGHT, Threshold, YTick};
use crate::show;

/// The lowest evidence that is drawn, as a power of ten: what speaks for the build all lies there.
const LOWEST_POWER: f64 = -1.0;

/// The highest power of ten that the scale of evidence ends at without need, and with any.
const POWERS: (f64, f64) = (3.0, 6.0);

/// The most labels between zero and the top.
const MAX_STEPS: f64 = 5.0;

/// A scale of the plot.
pub(super) enum Scale {
    /// From zero to so much, with a label at each step.
    Linear { top: f64, step: f64 },
    /// From [`LOWEST_POWER`] to this power of ten.
    Logarithmic { top: f64 },
}

impl Scale {
    /// For counts up to this one.
    pub(super) fn linear(most: f64) -> Self {
        let step = step(most);
        let top = (most / step).ceil().max(1.0) * step;
        Self::Linear { top, step }
    }

    /// For evidence up to this natural logarithm.
    pub(super) fn logarithmic(most: f64) -> Self {
        let top = power(most).ceil().clamp(POWERS.0, POWERS.1);
        Self::Logarithmic { top }
    }

    /// Pixels from the top.
    pub(super) fn y(&self, value: f64) -> f64 {
        let part = match self {
            Self::Linear { top, .. } => value / top,
            Self::Logarithmic { top } => (power(value) - LOWEST_POWER) / (top - LOWEST_POWER),
        };
        let y = HEIGHT * (1.0 - part.clamp(0.0, 1.0));
        // A tenth of a pixel is nothing to see, and half the text.
        (y * 10.0).round() / 10.0
    }

    pub(super) fn ticks(&self) -> Vec<YTick> {
        let mut ticks = Vec::new();
        match *self {
            Self::Linear { top, step } => {
                let mut value = 0.0;
                while value <= top + step / 2.0 {
                    ticks.push(YTick {
                        y: self.y(value),
                        label: short(value),
                    });
                    value += step;
                }
            }
            Self::Logarithmic { top } => {
                let mut power = 0.0;
                while power <= top {
                    let value = 10_f64.powf(power);
                    ticks.push(YTick {
                        y: self.y(value.ln()),
                        label: short(value),
                    });
                    power += 1.0;
                }
            }
        }
        ticks
    }

    /// What a gate acts at; counts have nothing of the kind.
    pub(super) fn thresholds(&self) -> Vec<Threshold> {
        use tidegate_domain::gate::{ADVANCE_AT, HALT_AT, WARN_AT};
        if matches!(self, Self::Linear { .. }) {
            return vec![];
        }
        let line = |value: f64, label, class, at_left, dy| Threshold {
            y: self.y(value.ln()),
            label,
            class,
            at_left,
            dy,
        };
        vec![
            line(HALT_AT, "100: halts", "bad", false, -3),
            line(
                ADVANCE_AT,
                "20: evidence that it is good is enough",
                "good",
                true,
                -3,
            ),
            line(WARN_AT, "10: warns", "warn", false, 11),
        ]
    }
}

/// The power of ten of what this is the natural logarithm of.
fn power(ln: f64) -> f64 {
    ln / std::f64::consts::LN_10
}

/// 1, 2 or 5 times a power of ten, so that a few steps reach this; devices are whole.
fn step(most: f64) -> f64 {
    let mut power = 1.0;
    loop {
        for factor in [1.0, 2.0, 5.0] {
            if power * factor * MAX_STEPS >= most {
                return power * factor;
            }
        }
        power *= 10.0;
    }
}

/// A count beside a scale: `500`, `20k`, `1.5M`.
fn short(value: f64) -> String {
    for (unit, word) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if value >= unit && value >= 10_000.0 {
            let text = format!("{:.1}", value / unit);
            return format!("{}{word}", text.strip_suffix(".0").unwrap_or(&text));
        }
    }
    count(value)
}

/// A count in full.
pub(super) fn count(value: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast saturates, and counts are below 2^53"
    )]
    let whole = value.round() as i64;
    show::count(whole)
}

/// Evidence from its natural logarithm, as people read it: `0.52`, `340`.
pub(super) fn fold(ln: f64) -> String {
    let value = ln.exp();
    match value {
        _ if value >= 1e6 => "over 1,000,000".to_owned(),
        _ if value >= 10.0 => count(value.floor()),
        _ if value < 0.01 => "under 0.01".to_owned(),
        _ => format!("{value:.2}"),
    }
}
