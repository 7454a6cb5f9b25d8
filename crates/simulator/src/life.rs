//! The fleet's time: who acts next, how many at once, and what happens while the server is away.
//!
//! Time is compressed by not waiting for it: the devices are in a queue by when they wake up, and the next one starts as
//! soon as fewer than the most act at once. No device sees another, so how many act at once changes nothing of what they
//! do. Only an operator's change is seen by all; it is made while no device acts.
//!
//! Real time passes when the server is away. Devices that noticed back off in their own time, as agents do, and the
//! fleet stands still until the server answers again: compressed back-off would be a flood of connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::{BoxStream, Fuse};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Error;
use crate::clock::{ClockDriver, Running};
use crate::device::Device;
use crate::operator::Operator;
use crate::push::Push;
use crate::queue::Queue;
use crate::wire::Commons;

/// The first and the longest pause between two looks whether the server is back.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// How many messages are kept for a device that acts; the oldest goes first.
const MAX_PUSHES: usize = 16;

/// How much of the fleet's time a round takes, in milliseconds, where the fleet drives the servers' clock. Whole rounds
/// make an hour, so that no round lies in two of the hours that servers count by.
pub(crate) const ROUND: i64 = 5 * 60 * 1_000;

/// The same where it matters to the second when a device comes. So few act at once then that it takes longer.
pub(crate) const SHORT_ROUND: i64 = 1_000;

/// How fast simulated time goes.
#[derive(Clone, Debug)]
pub enum Pace {
    /// As fast as the server answers.
    Free,
    /// As fast as the server answers, and the fleet drives the server's clock.
    ///
    /// It lives in rounds of so many milliseconds. While one lasts, the clock stands at its beginning; it moves on when
    /// nobody acts. So the time at which the server meets a device depends on the device's own time and not on which
    /// of several that act at once was faster.
    Driving(Arc<ClockDriver>, i64),
    /// As this clock goes.
    Clock(Running),
}

/// What a fleet does next with a device that has acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    GoOn,
    Rest,
}

/// A fleet in time.
pub(crate) struct Life {
    devices: Vec<Option<Device>>,
    queue: Queue,
    acting: JoinSet<(usize, Device, Option<i64>)>,
    commons: Arc<Commons>,
    pace: Pace,
    /// When the round under way ends, where there are rounds.
    round_end: i64,
    /// How many act at the same moment.
    width: usize,
    /// How long the server may be away.
    max_outage: Duration,
    begin: i64,
    /// What a push service brings, if there is one.
    push_service: Option<Fuse<BoxStream<'static, Push>>>,
    /// Whom it reaches under which token.
    reached: HashMap<String, usize>,
    /// What it brought, until its device acts.
    pushes: HashMap<usize, Vec<Push>>,
}

impl Life {
    /// A fleet that begins at this moment; each device wakes up when it says.
    pub(crate) fn new(
        devices: Vec<Device>,
        commons: Arc<Commons>,
        pace: Pace,
        width: usize,
        max_outage: Duration,
        begin: i64,
    ) -> Self {
        let mut queue = Queue::default();
        for (number, device) in devices.iter().enumerate() {
            queue.push(device.first_start(begin), number);
        }
        Self {
            devices: devices.into_iter().map(Some).collect(),
            queue,
            acting: JoinSet::new(),
            commons,
            pace,
            width,
            max_outage,
            begin,
            round_end: i64::MIN,
            push_service: None,
            reached: HashMap::new(),
            pushes: HashMap::new(),
        }
    }

    /// Lets a push service reach the devices that have a token.
    pub(crate) fn listen(&mut self, push_service: BoxStream<'static, Push>) {
        let tokens = self.devices.iter().flatten();
        let tokens = tokens.filter_map(|device| Some((device.fcm_token()?.to_owned(), device.number())));
        self.reached = tokens.collect();
        self.push_service = Some(push_service.fuse());
    }

    /// All devices that do not act.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().flatten()
    }

    /// Lets the fleet live until this moment. `acted` looks at each device that did something.
    pub(crate) async fn live_until(
        &mut self,
        end: i64,
        operator: &Operator,
        mut acted: impl FnMut(i64, &Device) -> Then,
    ) -> Result<(), Error> {
        loop {
            if self.commons.gauge.in_trouble() {
                self.rest(&mut acted).await?;
                self.wait_for(operator).await?;
            }
            if self.acting.is_empty() {
                self.next_round(end).await;
            }
            let due = self.let_go(end);
            tokio::select! {
                Some(done) = self.acting.join_next() => self.take_back(done, &mut acted)?,
                () = sleep_until(due), if due.is_some() => {}
                Some(push) = next_push(&mut self.push_service) => self.bring(push),
                else => return Ok(()),
            }
        }
    }

    /// Begins the round of whoever is next, if the one before is over.
    async fn next_round(&mut self, end: i64) {
        let Pace::Driving(driver, round) = &self.pace else {
            return;
        };
        let next = self.queue.next_at().filter(|at| *at < end);
        if let Some(next) = next.filter(|at| *at >= self.round_end) {
            let begin = next - next.rem_euclid(*round);
            driver.set(moment(begin), 0).await;
            self.round_end = begin + round;
        }
    }

    /// Starts the devices that are due, as many as may act at once. Returns when the next one is due, if it has to be
    /// waited for.
    fn let_go(&mut self, end: i64) -> Option<Instant> {
        let end = match self.pace {
            Pace::Driving(..) => end.min(self.round_end),
            _ => end,
        };
        while self.acting.len() < self.width {
            let next = self.queue.next_at().filter(|at| *at < end)?;
            let due = self.due(next);
            if due.is_some_and(|due| due > Instant::now()) {
                return due;
            }
            let (at, number) = self.queue.pop_before(end)?;
            if let Some(mut device) = self.devices.get_mut(number).and_then(Option::take) {
                let pushes = self.pushes.remove(&number).unwrap_or_default();
                self.acting.spawn(async move {
                    let next = device.act(at, &pushes).await;
                    (number, device, next)
                });
            }
        }
        None
    }

    /// Wakes the device that a message is for. One that acts hears of it afterwards.
    fn bring(&mut self, push: Push) {
        // Nobody has this token: the app is gone.
        let Some(&number) = self.reached.get(&push.token) else {
            return;
        };
        let waiting = self.pushes.entry(number).or_default();
        if waiting.len() == MAX_PUSHES {
            waiting.remove(0);
        }
        waiting.push(push);
        self.wake(number);
    }

    fn wake(&mut self, number: usize) {
        if let Some(Some(device)) = self.devices.get(number) {
            let at = device.now().max(self.now());
            self.queue.push(at, number);
        }
    }

    /// The fleet's time by its clock; its beginning, where it has none.
    fn now(&self) -> i64 {
        match &self.pace {
            Pace::Free | Pace::Driving(..) => self.begin,
            Pace::Clock(clock) => clock.now().timestamp_millis(),
        }
    }

    /// When a simulated moment comes in real time; `None` when nobody waits for it.
    fn due(&self, at: i64) -> Option<Instant> {
        match &self.pace {
            Pace::Free | Pace::Driving(..) => None,
            Pace::Clock(clock) => clock.when(moment(at)),
        }
    }

    fn take_back(
        &mut self,
        done: Result<(usize, Device, Option<i64>), tokio::task::JoinError>,
        acted: &mut impl FnMut(i64, &Device) -> Then,
    ) -> Result<(), Error> {
        let (number, device, next) =
            done.map_err(|fault| Error::Server(format!("a device failed: {fault}")))?;
        if acted(device.now(), &device) == Then::GoOn
            && let Some(next) = next
        {
            self.queue.push(next, number);
        }
        self.devices[number] = Some(device);
        if self.pushes.contains_key(&number) {
            self.wake(number);
        }
        Ok(())
    }

    /// Waits until nobody acts.
    async fn rest(&mut self, acted: &mut impl FnMut(i64, &Device) -> Then) -> Result<(), Error> {
        while let Some(done) = self.acting.join_next().await {
            self.take_back(done, acted)?;
        }
        Ok(())
    }

    /// Waits, in real time, until the server answers.
    async fn wait_for(&self, operator: &Operator) -> Result<(), Error> {
        wait_for(operator, self.max_outage).await?;
        self.commons.gauge.over();
        Ok(())
    }
}

/// This many milliseconds after 1970.
pub(crate) fn moment(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

/// Waits until the server answers.
///
/// # Errors
/// [`Error::Server`] when it does not for so long.
pub(crate) async fn wait_for(operator: &Operator, limit: Duration) -> Result<(), Error> {
    let begun = Instant::now();
    let mut pause = FIRST_LOOK;
    while !operator.is_ready().await {
        if begun.elapsed() > limit {
            return Err(Error::Server(format!(
                "the server did not answer for {} seconds",
                limit.as_secs()
            )));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
    Ok(())
}

/// The next message; `None` when there is nobody who could bring one.
async fn next_push(push_service: &mut Option<Fuse<BoxStream<'static, Push>>>) -> Option<Push> {
    push_service.as_mut()?.next().await
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
