//! What is seen while a fleet lives. It goes to standard error, and is silent where that is no terminal.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::{Plan, Progress};

const ENROLLING: &str = "enrolling {bar:40} {pos}/{len}";
const LIVING: &str = "living    {bar:40} {percent:>3} % of their time, {msg}";
const SETTLING: &str = "settling  {bar:40} {pos}/{len}";

pub(super) struct Bar {
    bar: ProgressBar,
    devices: u64,
    duration: Duration,
    /// Which of the three it shows.
    shows: AtomicU8,
}

impl Bar {
    pub(super) fn new(plan: &Plan, quiet: bool) -> Self {
        let bar = if quiet {
            ProgressBar::hidden()
        } else {
            ProgressBar::no_length()
        };
        Self {
            bar,
            devices: plan.devices.into(),
            duration: plan.duration,
            shows: AtomicU8::new(0),
        }
    }

    pub(super) fn show(&self, progress: Progress) {
        match progress {
            Progress::Enrolled(count) => self.set(1, ENROLLING, self.devices, count as u64),
            Progress::Living {
                lived,
                offered,
                installed,
            } => {
                let length = u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX);
                // Devices run a little apart, and a bar only goes forward.
                self.set(2, LIVING, length, lived.max(self.bar.position()).min(length));
                self.bar
                    .set_message(format!("offered {offered}, installed {installed}"));
            }
            Progress::Settled(count) => self.set(3, SETTLING, self.devices, count as u64),
        }
    }

    fn set(&self, shows: u8, template: &str, length: u64, position: u64) {
        if self.shows.swap(shows, Ordering::Relaxed) != shows {
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style);
            }
            self.bar.reset();
            self.bar.set_length(length);
        }
        self.bar.set_position(position);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
