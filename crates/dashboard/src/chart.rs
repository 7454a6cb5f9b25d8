//! Charts as SVG paths, drawn on the server. The drawing has no text: a browser that stretches it to the page's
//! width would stretch letters too, so the template sets them beside it.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};

use crate::show;

/// The drawing's own units.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 240.0;

/// How many colours the stylesheet knows for series of their own; further ones begin again.
const COLOURS: usize = 8;

/// The grey of whatever is too rare to be kept apart.
const GREY: usize = 8;

/// A chart, ready to be set.
pub(crate) struct Chart {
    pub series: Vec<Series>,
    /// What the top of the drawing stands for.
    pub top: String,
    pub from: String,
    pub to: String,
    begin: DateTime<Utc>,
    end: DateTime<Utc>,
    max: i64,
    /// What the next layer stands on.
    floor: Vec<(DateTime<Utc>, i64)>,
}

/// One line or area, with its value at the end.
pub(crate) struct Series {
    pub name: String,
    pub colour: usize,
    /// Whether it is an area, or else a line.
    pub is_area: bool,
    pub path: String,
    /// The value at the end, as people read it.
    pub last: String,
    points: Vec<(DateTime<Utc>, i64)>,
    floor: Vec<(DateTime<Utc>, i64)>,
}

impl Chart {
    /// A chart over this time.
    pub(crate) fn over(begin: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        Self {
            series: vec![],
            top: String::new(),
            from: show::moment(begin),
            to: show::moment(end),
            begin,
            end,
            max: 0,
            floor: vec![],
        }
    }

    /// Whether there is nothing to draw.
    pub(crate) fn is_empty(&self) -> bool {
        self.max == 0
    }

    /// Adds a count that only rises and stands at `total` now, from what it rose by and when.
    pub(crate) fn add_rising(&mut self, name: &str, total: i64, rises: &[(DateTime<Utc>, i64)]) {
        let mut value = total - rises.iter().map(|(_, rise)| rise).sum::<i64>();
        let mut points = vec![(self.begin, value)];
        for (at, rise) in rises {
            // Nothing is known of the hour but its sum: it rises from the hour's beginning to its end.
            let clamped = |at: DateTime<Utc>| at.clamp(self.begin, self.end);
            points.push((clamped(*at - TimeDelta::hours(1)), value));
            value += rise;
            points.push((clamped(*at), value));
        }
        points.push((self.end, total));
        self.add(name, points, total);
    }

    fn add(&mut self, name: &str, points: Vec<(DateTime<Utc>, i64)>, last: i64) {
        self.max = self
            .max
            .max(points.iter().map(|(_, value)| *value).max().unwrap_or(0));
        self.series.push(Series {
            name: name.to_owned(),
            colour: self.series.len() % COLOURS,
            is_area: false,
            path: String::new(),
            last: show::count(last),
            points,
            floor: vec![],
        });
    }

    /// Begins later, where nothing is known of the time before.
    pub(crate) fn begin_at(&mut self, begin: DateTime<Utc>) {
        if begin > self.begin && begin < self.end {
            self.begin = begin;
            self.from = show::moment(begin);
        }
    }

    /// Adds an area on top of those before. All of a chart's areas have the same times.
    pub(crate) fn add_layer(&mut self, name: &str, values: impl Iterator<Item = (DateTime<Utc>, u64)>) {
        let mut points: Vec<(DateTime<Utc>, i64)> = values
            .map(|(at, value)| {
                (
                    at.clamp(self.begin, self.end),
                    i64::try_from(value).unwrap_or(i64::MAX),
                )
            })
            .collect();
        let last = points.last().map_or(0, |(_, value)| *value);
        points.push((self.end, last));
        if self.floor.is_empty() {
            self.floor = points.iter().map(|(at, _)| (*at, 0)).collect();
        }
        for ((_, value), (_, floor)) in points.iter_mut().zip(&self.floor) {
            *value = value.saturating_add(*floor);
        }
        let floor = std::mem::replace(&mut self.floor, points.clone());
        self.add(name, points, last);
        if let Some(series) = self.series.last_mut() {
            series.is_area = true;
            series.floor = floor;
        }
    }

    /// Adds what the layers leave out, on top of them.
    pub(crate) fn add_rest(&mut self, name: &str, values: impl Iterator<Item = (DateTime<Utc>, u64)>) {
        self.add_layer(name, values);
        if let Some(series) = self.series.last_mut() {
            series.colour = GREY;
        }
    }

    /// Draws all series on one scale.
    pub(crate) fn finish(mut self) -> Self {
        let top = ceiling(self.max);
        self.top = show::count(top);
        for at in 0..self.series.len() {
            let series = &self.series[at];
            let mut path = self.line(&series.points, top);
            if series.is_area {
                let back: Vec<_> = series.floor.iter().rev().copied().collect();
                path.push_str(&self.line(&back, top).replacen('M', "L", 1));
                path.push('Z');
            }
            self.series[at].path = path;
        }
        self
    }

    fn line(&self, points: &[(DateTime<Utc>, i64)], top: i64) -> String {
        let mut path = String::new();
        for (at, value) in points {
            let command = if path.is_empty() { 'M' } else { 'L' };
            let (x, y) = (self.x(*at), y(*value, top));
            let _ = write!(path, "{command}{x:.1} {y:.1}");
        }
        path
    }

    fn x(&self, at: DateTime<Utc>) -> f64 {
        let whole = (self.end - self.begin).num_seconds().max(1);
        WIDTH * show::percent_of((at - self.begin).num_seconds(), whole) / 100.0
    }
}

fn y(value: i64, top: i64) -> f64 {
    HEIGHT * (1.0 - show::percent_of(value, top) / 100.0)
}

/// A round number that is at least this one: 1, 2 or 5 times a power of ten.
fn ceiling(value: i64) -> i64 {
    let mut power = 1_i64;
    loop {
        for step in [1, 2, 5] {
            if power.saturating_mul(step) >= value {
                return power.saturating_mul(step);
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_count_is_drawn_from_its_past_to_its_present() {
        let end = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut chart = Chart::over(end - TimeDelta::hours(10), end);
        chart.add_rising("Installed", 10, &[(end - TimeDelta::hours(5), 6)]);
        let chart = chart.finish();
        assert_eq!(chart.top, "10");
        assert_eq!(
            chart.series[0].path,
            "M0.0 144.0L400.0 144.0L500.0 0.0L1000.0 0.0"
        );
        assert!(Chart::over(end, end).is_empty());
    }

    #[test]
    fn layers_stand_on_each_other() {
        let end = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let begin = end - TimeDelta::hours(10);
        let mut chart = Chart::over(begin, end);
        chart.add_layer("1.0", [(begin, 6)].into_iter());
        chart.add_layer("1.1", [(begin, 4)].into_iter());
        let chart = chart.finish();
        assert_eq!(
            chart.series[0].path,
            "M0.0 96.0L1000.0 96.0L1000.0 240.0L0.0 240.0Z"
        );
        assert_eq!(chart.series[1].path, "M0.0 0.0L1000.0 0.0L1000.0 96.0L0.0 96.0Z");
        assert_eq!(chart.series[1].last, "4");
    }

    #[test]
    fn a_scale_ends_at_a_round_number() {
        assert_eq!(
            [0, 1, 3, 7, 12, 501, i64::MAX].map(ceiling)[..6],
            [1, 1, 5, 10, 20, 1000]
        );
    }
}
