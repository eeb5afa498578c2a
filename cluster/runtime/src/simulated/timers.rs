//! Everything that happens later, in one ordered queue with cancellation.
//!
//! madsim's timers cannot be cancelled, are added anew at every poll and have a floor of 1 ms. So
//! one task, the driver, waits for the earliest entry of this queue; `Sleep::reset` gets below the
//! floor. Whoever adds an earlier entry arms madsim's timer with the driver's waker itself, which
//! spares waking the driver to do it.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use madsim::time::TimeHandle;

use super::network;
use super::world::{try_world, world};

/// True time in nanoseconds since the run began.
pub fn now_ns() -> u64 {
    world().now_ns()
}

/// Runs `action` on the supervisor `after` this moment, in true time. It happens even if the node
/// that asked is dead by then: compare `incarnation` where that matters.
pub fn schedule(after: Duration, action: impl FnOnce() + 'static) {
    let world = world();
    let at_ns = world.now_ns() + after.as_nanos() as u64;
    world.timers.borrow_mut().add(at_ns, Action::Run(Box::new(action)));
}

/// Waits in true time, whatever the node's clock says. For the supervisor.
pub async fn sleep_true(duration: Duration) {
    let deadline_ns = now_ns() + duration.as_nanos() as u64;
    let mut alarm = Alarm::default();
    poll_fn(|context| {
        if deadline_ns <= now_ns() {
            return Poll::Ready(());
        }
        alarm.set(deadline_ns, context);
        Poll::Pending
    })
    .await;
}

pub(crate) enum Action {
    Wake(Waker),
    Deliver { connection: u64, side: usize },
    Run(Box<dyn FnOnce()>),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct TimerId {
    at_ns: u64,
    sequence: u64,
}

pub(crate) struct Timers {
    time: TimeHandle,
    queue: BTreeMap<TimerId, Action>,
    sequence_next: u64,
    /// The earliest moment at which the driver is sure to be woken.
    armed_ns: u64,
    driver: Option<Waker>,
}

impl Timers {
    pub(crate) fn new(time: TimeHandle) -> Timers {
        Timers { time, queue: BTreeMap::new(), sequence_next: 0, armed_ns: u64::MAX, driver: None }
    }

    pub(crate) fn add(&mut self, at_ns: u64, action: Action) {
        self.insert(at_ns, action);
    }

    fn insert(&mut self, at_ns: u64, action: Action) -> TimerId {
        let id = TimerId { at_ns, sequence: self.sequence_next };
        self.sequence_next += 1;
        self.queue.insert(id, action);
        self.arm(at_ns);
        id
    }

    /// Sees to it that the driver is woken at `at_ns` or before.
    fn arm(&mut self, at_ns: u64) {
        let Some(driver) = &self.driver else { return };
        if self.armed_ns <= at_ns {
            return;
        }
        self.armed_ns = at_ns;
        let wait_ns = at_ns.saturating_sub(self.time.elapsed().as_nanos() as u64);
        let mut sleep = pin!(self.time.sleep(Duration::from_millis(1)));
        sleep.as_mut().reset(self.time.now_instant() + Duration::from_nanos(wait_ns));
        if sleep.poll(&mut Context::from_waker(driver)).is_ready() {
            driver.wake_by_ref();
        }
    }

    fn pop_due(&mut self, now_ns: u64) -> Option<Action> {
        let entry = self.queue.first_entry()?;
        (entry.key().at_ns <= now_ns).then(|| entry.remove())
    }
}

/// The supervisor's task that makes due entries happen. Never ends.
pub(crate) async fn drive() {
    poll_fn(|context| {
        let world = world();
        {
            let mut timers = world.timers.borrow_mut();
            timers.driver = Some(context.waker().clone());
            timers.armed_ns = u64::MAX;
        }
        let now_ns = world.now_ns();
        loop {
            let due = world.timers.borrow_mut().pop_due(now_ns);
            match due {
                Some(Action::Wake(waker)) => waker.wake(),
                Some(Action::Deliver { connection, side }) => network::deliver(connection, side),
                Some(Action::Run(action)) => action(),
                None => break,
            }
        }
        let mut timers = world.timers.borrow_mut();
        if let Some(next) = timers.queue.keys().next().copied() {
            timers.arm(next.at_ns);
        }
        Poll::Pending
    })
    .await
}

/// A wake-up that is cancelled when dropped.
#[derive(Default)]
pub(crate) struct Alarm {
    timer: Option<TimerId>,
}

impl Alarm {
    /// Wakes the task of `context` at `at_ns`, in true time; replaces what was set before.
    pub(crate) fn set(&mut self, at_ns: u64, context: &mut Context<'_>) {
        let world = world();
        let mut timers = world.timers.borrow_mut();
        if let Some(id) = self.timer
            && let Some(Action::Wake(waker)) = timers.queue.get_mut(&id)
        {
            if id.at_ns == at_ns {
                waker.clone_from(context.waker());
                return;
            }
            timers.queue.remove(&id);
        }
        self.timer = Some(timers.insert(at_ns, Action::Wake(context.waker().clone())));
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let (Some(id), Some(world)) = (self.timer, try_world()) {
            world.timers.borrow_mut().queue.remove(&id);
        }
    }
}
