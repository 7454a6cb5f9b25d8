//! The fleet's time: who acts next, how many at once, and what happens while the server is away.
//!
//! Time is compressed by not waiting for it: the devices stand in a queue by when they wake up, and the next is let
//! go as soon as there is room. No device sees another, so how many act at once changes nothing of what they do.
//! Only an operator's change is seen by all; it is made while everybody rests.
//!
//! Real time passes when the server is away. Devices that noticed back off in their own time, as agents do, and the
//! fleet stands still until the server answers again: compressed back-off would be a flood of connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Error;
use crate::device::Device;
use crate::operator::Operator;
use crate::queue::Queue;
use crate::wire::Commons;

/// The first and the longest pause between two looks whether the server is back.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// How fast simulated time goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as the server answers.
    Free,
    /// So many simulated seconds in a real one.
    Times(u32),
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
    /// How many act at the same moment.
    width: usize,
    /// How long the server may be away.
    patience: Duration,
    begun: (Instant, i64),
}

impl Life {
    /// A fleet that begins at this moment; each device wakes up when it says.
    pub(crate) fn new(
        devices: Vec<Device>,
        commons: Arc<Commons>,
        pace: Pace,
        width: usize,
        patience: Duration,
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
            patience,
            begun: (Instant::now(), begin),
        }
    }

    /// Everybody, at rest.
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
            let due = self.let_go(end);
            tokio::select! {
                Some(done) = self.acting.join_next() => self.take_back(done, &mut acted)?,
                () = sleep_until(due), if due.is_some() => {}
                else => return Ok(()),
            }
        }
    }

    /// Lets go whoever's time has come, as far as there is room. Returns when the next one's time comes, if that is
    /// what is waited for.
    fn let_go(&mut self, end: i64) -> Option<Instant> {
        while self.acting.len() < self.width {
            let next = self.queue.next_at().filter(|at| *at < end)?;
            let due = self.due(next);
            if due.is_some_and(|due| due > Instant::now()) {
                return due;
            }
            let (at, number) = self.queue.pop_before(end)?;
            if let Some(mut device) = self.devices.get_mut(number).and_then(Option::take) {
                self.acting.spawn(async move {
                    let next = device.act(at).await;
                    (number, device, next)
                });
            }
        }
        None
    }

    /// When a simulated moment comes in real time; `None` when nobody waits for it.
    fn due(&self, at: i64) -> Option<Instant> {
        let Pace::Times(times) = self.pace else {
            return None;
        };
        let since = u64::try_from(at - self.begun.1).unwrap_or(0);
        Some(self.begun.0 + Duration::from_millis(since) / times.max(1))
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
        wait_for(operator, self.patience).await?;
        self.commons.gauge.over();
        Ok(())
    }
}

/// Waits until the server answers.
///
/// # Errors
/// [`Error::Server`] when it does not for so long.
pub(crate) async fn wait_for(operator: &Operator, patience: Duration) -> Result<(), Error> {
    let begun = Instant::now();
    let mut pause = FIRST_LOOK;
    while !operator.is_ready().await {
        if begun.elapsed() > patience {
            return Err(Error::Server(format!(
                "the server did not answer for {} seconds",
                patience.as_secs()
            )));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
    Ok(())
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
