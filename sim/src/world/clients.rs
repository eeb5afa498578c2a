//! Impatient clients, each on a host of its own, and what they enter into the ledger.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime as runtime;
use evenkeel_runtime::simulated;
use evenkeel_runtime::simulated::record::record;

use super::session::Session;
use super::{World, world};
use crate::capsule::Asked;
use crate::history::{print_answer, print_step};
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
        let name = format!("client-{client}");
        match &world.script {
            None => simulated::create_node(&name, address, move || live(client)),
            Some(_) => simulated::create_node(&name, address, move || recite(client)),
        };
    }
}

/// Asks what the decision log says, when it says so. What comes before delays what comes after, as
/// it does for any client; what cannot be asked within the client's patience is not asked.
async fn recite(number: u32) {
    let world = world();
    let limit = world.plan.knobs.client_timeout;
    let own = |asked: &&Asked| asked.client == number;
    let script: Vec<Asked> = world.script.iter().flatten().filter(own).cloned().collect();
    let mut connected: Option<(usize, Session)> = None;
    for asked in script {
        let Ok(request) = asked.request() else {
            world.fail("capsule", format!("`{}` is no request", asked.steps), Vec::new());
            return;
        };
        let late_ns = asked.at_ns + limit.as_nanos() as u64;
        loop {
            if connected.as_ref().is_none_or(|(node, _)| *node != asked.node) {
                let session = Session::connect(World::client_address(asked.node), limit).await;
                connected = session.map(|session| (asked.node, session));
            }
            let now_ns = simulated::now_ns();
            match &mut connected {
                Some(_) if now_ns < asked.at_ns => {
                    simulated::sleep_true(Duration::from_nanos(asked.at_ns - now_ns)).await;
                }
                Some((_, session)) => {
                    if !ask(&world, session, number, asked.object, request).await {
                        connected = None;
                    }
                    break;
                }
                None if now_ns > late_ns => break,
                None => runtime::sleep(Duration::from_millis(20)).await,
            }
        }
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
        node: 0,
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
    /// Where the session leads.
    node: usize,
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
            self.node = self.random.below(world.hosts.len() as u64) as usize;
            self.session = Session::connect(World::client_address(self.node), limit).await;
            return;
        };
        let object = self.random.below(world.plan.objects.len() as u64) as usize;
        let may_write = world.ledger.borrow().unsettled(object) < UNSETTLED_COUNT_MAX;
        let request = if may_write && !world.only_reads.get() {
            self.workload.request(world.plan.objects[object])
        } else {
            Request { steps: vec![(0, Action::Get)], shape: Shape::Single }
        };
        let now_ns = simulated::now_ns();
        world.asked.borrow_mut().push((now_ns, self.number, self.node, object, request.clone()));
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
    let this = simulated::this_node();
    record("ask", this, || Asking { object, steps: &steps });
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
    record("answer", this, || Answering { object, outcome: &outcome });
    world.ledger.borrow_mut().end(simulated::now_ns(), entry, outcome.clone());
    (!is_over).then_some(outcome)
}

/// Of a value, so much goes into the record: the rest is padding.
const VALUE_CHARACTER_COUNT_MAX: usize = 24;

struct Asking<'a> {
    object: usize,
    steps: &'a [Step],
}

impl fmt::Display for Asking<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "object {}:", self.object)?;
        self.steps.iter().try_for_each(|step| write!(formatter, " {};", Begin(&print_step(step))))
    }
}

struct Answering<'a> {
    object: usize,
    outcome: &'a Outcome,
}

impl fmt::Display for Answering<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "object {}:", self.object)?;
        match self.outcome {
            Outcome::Answered(answers) => answers
                .iter()
                .try_for_each(|answer| write!(formatter, " {};", Begin(&print_answer(answer)))),
            Outcome::Refused(reason) => write!(formatter, " refused, {reason}"),
            Outcome::Unknown(reason) => write!(formatter, " nobody knows, {reason}"),
        }
    }
}

/// How a text begins.
struct Begin<'a>(&'a str);

impl fmt::Display for Begin<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0;
        let end = text.char_indices().nth(VALUE_CHARACTER_COUNT_MAX).map_or(text.len(), |at| at.0);
        formatter.write_str(&text[..end])?;
        if end < text.len() { formatter.write_str("...") } else { Ok(()) }
    }
}
