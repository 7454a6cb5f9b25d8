//! Charts as SVG, drawn on the server, each with a table of the same values behind it.
//!
//! The plot is stretched to the page's width, and its labels are not: they are placed in percent of the width, in a
//! drawing of which a pixel is a pixel. So nothing is positioned by a style, and letters stay letters on every screen.
//! Nothing is drawn before the first sample, since nothing is known of it.

mod marks;
mod range;
mod scale;

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

pub(crate) use marks::{Mark, of_events};
pub(crate) use range::Range;
use scale::Scale;

use crate::show;

/// The plot's height in pixels.
pub(crate) const HEIGHT: f64 = 180.0;

/// What the plot is wide in its own units, before it is stretched.
const WIDTH: f64 = 1000.0;

/// The most samples that are drawn and told. A screen has not many more pixels to show them on, and each is a row of the
/// table.
const MAX_SAMPLES: usize = 96;

/// A chart, ready to be set.
pub(crate) struct Chart {
    /// The id of its figure on the page.
    pub id: &'static str,
    /// What it shows.
    pub label: String,
    /// What is said in its place while there is nothing to draw.
    pub empty: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// The ways to the same over another time.
    pub ranges: Vec<RangeLink>,
    pub series: Vec<Series>,
    pub y_ticks: Vec<YTick>,
    pub x_ticks: Vec<XTick>,
    pub thresholds: Vec<Threshold>,
    pub marks: Vec<Mark>,
    pub rows: Vec<Row>,
}

/// The way to a chart over another time.
pub(crate) struct RangeLink {
    pub range: Range,
    pub path: String,
    pub is_current: bool,
}

/// One line or area, with its value at the end.
pub(crate) struct Series {
    pub name: String,
    /// Its colour, by the stylesheet's name.
    pub class: String,
    /// Whether it is an area, or else a line.
    pub is_area: bool,
    pub path: String,
    /// The value at the end, as people read it.
    pub last: String,
}

/// A label at the left, and its height in pixels from the top.
pub(crate) struct YTick {
    pub y: f64,
    pub label: String,
}

/// A label below, in percent from the left, and how it hangs there.
pub(crate) struct XTick {
    pub x: f64,
    pub label: String,
    pub anchor: &'static str,
}

/// A line at a value that something happens at.
pub(crate) struct Threshold {
    pub y: f64,
    pub label: &'static str,
    /// Its colour, by the stylesheet's name.
    pub class: &'static str,
    /// Whether its label stands at the left end, and how far from the line: others would be in its way.
    pub at_left: bool,
    pub dy: i32,
}

/// A row of the table, and where it stands in the plot, in percent from the left.
pub(crate) struct Row {
    pub x: f64,
    pub time: String,
    pub cells: Vec<String>,
}

/// What a chart is drawn from: times, and what each series was at each of them.
pub(crate) struct Drawing {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub kind: Kind,
    pub times: Vec<DateTime<Utc>>,
    pub lines: Vec<Line>,
    pub marks: Vec<Mark>,
}

/// How series are drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Counts as lines.
    Lines,
    /// Counts as areas, the first at the bottom, the others on top of it.
    Areas,
    /// E-values as steps on a logarithmic scale, each until the next look; given as natural logarithms.
    Evidence,
}

/// A series: its values at the drawing's times, where there are any.
pub(crate) struct Line {
    pub name: String,
    pub class: String,
    pub values: Vec<Option<f64>>,
}

impl Chart {
    /// Whether there is nothing to draw.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What a person hears who does not see the drawing.
    pub(crate) fn spoken(&self) -> String {
        let ends: Vec<String> = self
            .series
            .iter()
            .map(|series| format!("{} {}", series.name, series.last))
            .collect();
        format!("{}. Last: {}", self.label, ends.join(", "))
    }

    /// The same, as something of the page: with a way to each range. `path` is told a range's word.
    pub(crate) fn with_ranges(mut self, current: Range, path: impl Fn(&str) -> String) -> Self {
        let link = |range: Range| RangeLink {
            range,
            path: path(range.as_str()),
            is_current: range == current,
        };
        self.ranges = Range::ALL.into_iter().map(link).collect();
        self
    }
}

impl Drawing {
    /// Draws it.
    pub(crate) fn chart(mut self, id: &'static str, label: String, unit: &'static str) -> Chart {
        self.keep_within();
        self.thin_out();
        let scale = self.scale();
        let floors = self.floors();
        let rows = self.rows();
        let series = self.lines.iter().enumerate();
        Chart {
            id,
            label,
            empty: "Nothing was counted in this time.",
            unit,
            ranges: vec![],
            series: series
                .map(|(at, line)| self.series(line, &floors[at], &scale))
                .collect(),
            y_ticks: scale.ticks(),
            x_ticks: range::ticks(self.from, self.to),
            thresholds: scale.thresholds(),
            marks: marks::placed(&self.marks, self.from, self.to),
            rows,
        }
    }

    /// Leaves out what is not of this time.
    fn keep_within(&mut self) {
        let (from, to) = (self.from, self.to);
        let kept: Vec<bool> = self.times.iter().map(|at| *at >= from && *at <= to).collect();
        self.keep(&kept);
    }

    /// Keeps the last sample of each part of the time, and the first of all.
    fn thin_out(&mut self) {
        let (Some(first), Some(last)) = (self.times.first().copied(), self.times.last().copied()) else {
            return;
        };
        if self.times.len() <= MAX_SAMPLES {
            return;
        }
        let parts = i64::try_from(MAX_SAMPLES - 2).unwrap_or(1);
        let slot = ((last - first).num_seconds() / parts).max(1) + 1;
        let slot_of = |at: DateTime<Utc>| (at - first).num_seconds() / slot;
        let times = &self.times;
        let kept = (0..times.len()).map(|at| {
            let next = times.get(at + 1);
            at == 0 || next.is_none_or(|next| slot_of(*next) != slot_of(times[at]))
        });
        let kept: Vec<bool> = kept.collect();
        self.keep(&kept);
    }

    fn keep(&mut self, kept: &[bool]) {
        let mut of_time = kept.iter();
        self.times.retain(|_| of_time.next().is_some_and(|kept| *kept));
        for line in &mut self.lines {
            let mut of_value = kept.iter();
            line.values.retain(|_| of_value.next().is_some_and(|kept| *kept));
        }
    }

    fn scale(&self) -> Scale {
        let values = |at: usize| {
            self.lines
                .iter()
                .filter_map(move |line| line.values.get(at).copied().flatten())
        };
        let each = 0..self.times.len();
        let most = match self.kind {
            Kind::Areas => each.map(|at| values(at).sum()).fold(0.0, f64::max),
            Kind::Lines | Kind::Evidence => each.flat_map(values).fold(0.0, f64::max),
        };
        match self.kind {
            Kind::Evidence => Scale::logarithmic(most),
            Kind::Lines | Kind::Areas => Scale::linear(most),
        }
    }

    /// What each series stands on: the areas below it, or nothing.
    fn floors(&self) -> Vec<Vec<f64>> {
        let mut floor = vec![0.0; self.times.len()];
        let mut floors = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            floors.push(floor.clone());
            if self.kind == Kind::Areas {
                for (sum, value) in floor.iter_mut().zip(&line.values) {
                    *sum += value.unwrap_or(0.0);
                }
            }
        }
        floors
    }

    fn series(&self, line: &Line, floor: &[f64], scale: &Scale) -> Series {
        let is_area = self.kind == Kind::Areas;
        let mut path = self.path(line, floor, scale);
        if is_area && !path.is_empty() {
            for (at, value) in self.times.iter().zip(floor).rev() {
                let _ = write!(path, "L{:.1} {:.1}", self.x(*at) * WIDTH / 100.0, scale.y(*value));
            }
            path.push('Z');
        }
        let last = line.values.iter().rev().copied().flatten().next();
        Series {
            name: line.name.clone(),
            class: line.class.clone(),
            is_area,
            path,
            last: self.told(last),
        }
    }

    fn path(&self, line: &Line, floor: &[f64], scale: &Scale) -> String {
        let mut path = String::new();
        let mut is_drawing = false;
        for (at, (value, floor)) in self.times.iter().zip(line.values.iter().zip(floor)) {
            let Some(value) = value.or((self.kind == Kind::Areas).then_some(0.0)) else {
                is_drawing = false;
                continue;
            };
            let (x, y) = (self.x(*at) * WIDTH / 100.0, scale.y(value + floor));
            let _ = match (is_drawing, self.kind) {
                (false, _) => write!(path, "M{x:.1} {y:.1}"),
                (true, Kind::Evidence) => write!(path, "H{x:.1}V{y:.1}"),
                (true, _) => write!(path, "L{x:.1} {y:.1}"),
            };
            is_drawing = true;
        }
        path
    }

    fn rows(&self) -> Vec<Row> {
        let row = |(at, time): (usize, &DateTime<Utc>)| Row {
            x: self.x(*time),
            time: show::moment(time),
            cells: self
                .lines
                .iter()
                .map(|line| self.told(line.values.get(at).copied().flatten()))
                .collect(),
        };
        self.times.iter().enumerate().map(row).collect()
    }

    fn told(&self, value: Option<f64>) -> String {
        match (value, self.kind) {
            (None, _) => "–".to_owned(),
            (Some(ln), Kind::Evidence) => scale::fold(ln),
            (Some(count), _) => scale::count(count),
        }
    }

    /// Where a time stands, in percent from the left.
    fn x(&self, at: DateTime<Utc>) -> f64 {
        range::x(at, self.from, self.to)
    }
}

#[cfg(test)]
mod tests;
