//! The fleet's time: who acts next, how many at once, and what happens while the server is away.
//!
//! Time is compressed by not waiting for it: the devices stand in a queue by when they wake up, and the next is let
//! go as soon as there is room. No device sees another, so how many act at once changes nothing of what they do.
//! Only an operator's change is seen by all; it is made while everybody rests.
//!
//! Real time passes when the server is away. Devices that noticed back off in their own time, as agents do, and the
//! fleet stands still until the server answers again: compressed back-off would be a flood of connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, Fuse};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Error;
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
                Some(push) = next_push(&mut self.push_service) => self.bring(push),
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
        // To nobody, where the app is gone.
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

    /// The moment that the fleet lives in; the beginning where everybody lives as fast as can be.
    fn now(&self) -> i64 {
        let (begun, begin) = self.begun;
        match self.pace {
            Pace::Free => begin,
            Pace::Times(times) => {
                let since = begun.elapsed() * times;
                begin + i64::try_from(since.as_millis()).unwrap_or(i64::MAX - begin)
            }
        }
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
