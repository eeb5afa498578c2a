//! Impatient clients, and what they enter into the ledger: the same in the simulated world and in the
//! real one.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_runtime as runtime;

use crate::fault::NodeIndex;
use crate::ledger::{Ledger, Outcome};
use crate::model::{Action, Answer, Step};
use crate::plan::Plan;
use crate::random::Random;
use crate::workload::{self, KEY_COUNT, Request, Shape, Workload};

mod session;

pub use session::Session;

/// An object with so many operations of unknown end is only read from then on, so that the checker
/// can come to a verdict: a test of the checker shows that it does with as many.
const UNSETTLED_COUNT_MAX: u64 = 48;

/// The world around a client.
pub trait Surroundings {
    /// What it was made from.
    fn plan(&self) -> &Plan;
    /// Where everything is entered.
    fn ledger(&self) -> &RefCell<Ledger>;
    /// Since it began, in nanoseconds.
    fn now_ns(&self) -> u64;
    /// Where clients reach a node.
    fn client_address(&self, node: NodeIndex) -> SocketAddr;
    /// Whether clients still ask.
    fn asks(&self) -> bool;
    /// Whether they must not write any more.
    fn only_reads(&self) -> bool;
    /// A request was decided upon.
    fn decided(&self, client: u32, node: NodeIndex, object: usize, request: &Request);
    /// Its first byte is about to leave.
    fn asked(&self, object: usize, steps: &[Step]);
    /// It has ended.
    fn answered(&self, object: usize, outcome: &Outcome);
    /// No server may answer like this.
    fn protest(&self, claim: String);
}

/// Lives as a client for as long as the world asks.
pub async fn live(world: &impl Surroundings, number: u32) {
    let plan = world.plan();
    let random = Random::new(plan.seed, &format!("client {number}"));
    let mut client = Client {
        number,
        workload: Workload::new(random.child("requests"), number, plan.knobs.padding),
        random: random.child("habits"),
        session: None,
        node: 0,
    };
    while world.asks() {
        client.turn(world).await;
        let think_us = plan.think.as_micros() as u64;
        runtime::sleep(Duration::from_micros(client.random.below(think_us + 1))).await;
    }
}

struct Client {
    number: u32,
    workload: Workload,
    random: Random,
    session: Option<Session>,
    /// Where the session leads.
    node: usize,
}

impl Client {
    /// One request, or one try to connect.
    async fn turn(&mut self, world: &impl Surroundings) {
        let limit = world.plan().knobs.client_timeout;
        // Now and then a client wants to see another node.
        if self.random.chance_ppm(20_000) {
            self.session = None;
        }
        let Some(session) = &mut self.session else {
            self.node = self.random.below(world.plan().node_count as u64) as usize;
            self.session = Session::connect(world.client_address(self.node), limit).await;
            return;
        };
        let object = self.random.below(world.plan().objects.len() as u64) as usize;
        let may_write = world.ledger().borrow().unsettled(object) < UNSETTLED_COUNT_MAX;
        let request = if may_write && !world.only_reads() {
            self.workload.request(world.plan().objects[object])
        } else {
            Request { steps: vec![(0, Action::Get)], shape: Shape::Single }
        };
        world.decided(self.number, self.node, object, &request);
        let outcome = ask(world, session, self.number, object, request).await;
        let is_content = match outcome {
            None => false,
            Some(Outcome::Answered(_)) => true,
            // Those of a scenario that promises answers look for a node that gives some.
            Some(_) => world.plan().written.is_none(),
        };
        if !is_content {
            self.session = None;
        }
    }
}

/// Asks and enters. `None`: the session is over.
pub async fn ask(
    world: &impl Surroundings,
    session: &mut Session,
    client: u32,
    object: usize,
    mut request: Request,
) -> Option<Outcome> {
    if request.shape == Shape::Guarded {
        let expected = look(world, session, client, object, &request).await?;
        guard(&mut request, expected);
    }
    let commands = workload::commands(object, &request);
    let steps = request.steps.clone();
    let replies = exchange(world, session, client, object, steps, &commands, |replies| {
        workload::outcome(&request, replies)
    });
    replies.await
}

fn guard(request: &mut Request, expected: Option<crate::model::Value>) {
    if let (_, Action::CompareAndSet(seen, _)) = &mut request.steps[0] {
        *seen = expected;
    }
}

/// WATCH and GET: what a guarded request will compare with.
async fn look(
    world: &impl Surroundings,
    session: &mut Session,
    client: u32,
    object: usize,
    request: &Request,
) -> Option<Option<crate::model::Value>> {
    let get: Vec<Step> = vec![(request.steps[0].0, Action::Get)];
    let plain = Request { steps: get.clone(), shape: Shape::Single };
    let commands = workload::guard(object, request);
    let outcome = exchange(world, session, client, object, get, &commands, |replies| {
        workload::outcome(&plain, replies)
    });
    match outcome.await? {
        Outcome::Answered(answers) => match answers.into_iter().next()? {
            Answer::Holds(value) => Some(value),
            _ => None,
        },
        Outcome::Refused(_) | Outcome::Unknown(_) => None,
    }
}

/// One entry of the ledger, from before the first byte to after the last. `None`: the session is over.
async fn exchange(
    world: &impl Surroundings,
    session: &mut Session,
    client: u32,
    object: usize,
    steps: Vec<Step>,
    commands: &[workload::Command],
    read: impl Fn(&[evenkeel_wire::reply::Reply]) -> Result<Outcome, String>,
) -> Option<Outcome> {
    world.asked(object, &steps);
    let entry = world.ledger().borrow_mut().invoke(world.now_ns(), client, object, steps);
    let replies = session.exchange(commands).await;
    let (outcome, is_over) = match replies {
        Ok(replies) => match read(&replies) {
            Ok(outcome) => (outcome, false),
            Err(strange) => {
                world.protest(format!("client {client}: {strange}"));
                (Outcome::Unknown(strange), true)
            }
        },
        Err(outcome) => (outcome, true),
    };
    world.answered(object, &outcome);
    world.ledger().borrow_mut().end(world.now_ns(), entry, outcome.clone());
    (!is_over).then_some(outcome)
}

/// Ends when every object was read and written and read again through this node.
pub async fn visit(world: &impl Surroundings, node: NodeIndex, number: u32, objects: &[usize]) {
    let random = Random::new(world.plan().seed, &format!("visitor {node}"));
    let mut workload = Workload::new(random, number, 0);
    let limit = Duration::from_secs(2);
    let mut session = None;
    for &object in objects {
        let write = Action::Set(workload.value());
        let reads: Vec<_> = (0..KEY_COUNT).map(|key| (key, Action::Get)).collect();
        for (steps, shape) in [
            (reads.clone(), Shape::GetMany),
            (vec![(1, write)], Shape::Single),
            (reads, Shape::Transaction),
        ] {
            loop {
                let request = Request { steps: steps.clone(), shape };
                if session.is_none() {
                    session = Session::connect(world.client_address(node), limit).await;
                }
                let before = world.ledger().borrow().answered_by(number);
                if let Some(open) = &mut session
                    && ask(world, open, number, object, request).await.is_none()
                {
                    session = None;
                }
                if world.ledger().borrow().answered_by(number) > before {
                    break;
                }
                runtime::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
