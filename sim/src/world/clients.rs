//! Impatient clients, each on a host of its own, and what they enter into the ledger.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime as runtime;
use evenkeel_runtime::simulated;

use super::session::Session;
use super::{World, world};
use crate::ledger::Outcome;
use crate::model::{Action, Answer, Step};
use crate::random::Random;
use crate::workload::{self, Request, Shape, Workload};

/// An object with so many operations of unknown end is only read from then on, so that the checker
/// can come to a verdict: a test of the checker shows that it does with as many.
const UNSETTLED_COUNT_MAX: u64 = 48;

/// Makes all clients; they ask until the world says that they shall not.
pub(super) fn start_all(world: &Rc<World>) {
    for client in 0..world.plan.client_count as u32 {
        let address = IpAddr::from([10, 0, 1, client as u8 + 1]);
        simulated::create_node(&format!("client-{client}"), address, move || live(client));
    }
}

async fn live(number: u32) {
    let world = world();
    let random = Random::new(world.plan.seed, &format!("client {number}"));
    let mut client = Client {
        number,
        workload: Workload::new(random.child("requests"), number, world.plan.knobs.padding),
        random: random.child("habits"),
        session: None,
    };
    while world.asks.get() {
        client.turn(&world).await;
        let think_us = world.plan.think.as_micros() as u64;
        runtime::sleep(Duration::from_micros(client.random.below(think_us + 1))).await;
    }
}

struct Client {
    number: u32,
    workload: Workload,
    random: Random,
    session: Option<Session>,
}

impl Client {
    /// One request, or one try to connect.
    async fn turn(&mut self, world: &World) {
        let limit = world.plan.knobs.client_timeout;
        // Now and then a client wants to see another node.
        if self.random.chance_ppm(20_000) {
            self.session = None;
        }
        let Some(session) = &mut self.session else {
            let node = self.random.below(world.hosts.len() as u64) as usize;
            self.session = Session::connect(World::client_address(node), limit).await;
            return;
        };
        let object = self.random.below(world.plan.objects.len() as u64) as usize;
        let request = if world.ledger.borrow().unsettled(object) < UNSETTLED_COUNT_MAX {
            self.workload.request(world.plan.objects[object])
        } else {
            Request { steps: vec![(0, Action::Get)], shape: Shape::Single }
        };
        let asked = ask(world, session, self.number, object, request).await;
        if !asked {
            self.session = None;
        }
    }
}

/// Asks and enters; whether the session is still good.
pub(super) async fn ask(
    world: &World,
    session: &mut Session,
    client: u32,
    object: usize,
    mut request: Request,
) -> bool {
    if request.shape == Shape::Guarded {
        match look(world, session, client, object, &request).await {
            Some(expected) => guard(&mut request, expected),
            None => return false,
        }
    }
    let commands = workload::commands(object, &request);
    let steps = request.steps.clone();
    let replies = exchange(world, session, client, object, steps, &commands, |replies| {
        workload::outcome(&request, replies)
    });
    replies.await.is_some()
}

fn guard(request: &mut Request, expected: Option<crate::model::Value>) {
    if let (_, Action::CompareAndSet(seen, _)) = &mut request.steps[0] {
        *seen = expected;
    }
}

/// WATCH and GET: what a guarded request will compare with.
async fn look(
    world: &World,
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
    world: &World,
    session: &mut Session,
    client: u32,
    object: usize,
    steps: Vec<Step>,
    commands: &[workload::Command],
    read: impl Fn(&[evenkeel_wire::reply::Reply]) -> Result<Outcome, String>,
) -> Option<Outcome> {
    let entry = world.ledger.borrow_mut().invoke(simulated::now_ns(), client, object, steps);
    let replies = session.exchange(commands).await;
    let (outcome, is_over) = match replies {
        Ok(replies) => match read(&replies) {
            Ok(outcome) => (outcome, false),
            Err(strange) => {
                world.fail("protocol", format!("client {client}: {strange}"), Vec::new());
                (Outcome::Unknown(strange), true)
            }
        },
        Err(outcome) => (outcome, true),
    };
    world.ledger.borrow_mut().end(simulated::now_ns(), entry, outcome.clone());
    (!is_over).then_some(outcome)
}
