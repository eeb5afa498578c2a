//! Clients, each on a host of its own, and what of them goes into the record.

use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime as runtime;
use evenkeel_runtime::simulated;
use evenkeel_runtime::simulated::record::record;

use super::{World, world};
use crate::capsule::Asked;
use crate::clients::{self, Session, Surroundings, ask};
use crate::fault::NodeIndex;
use crate::history::{print_answer, print_step};
use crate::ledger::{Ledger, Outcome};
use crate::model::Step;
use crate::plan::Plan;
use crate::workload::Request;

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
                    if ask(&*world, session, number, asked.object, request).await.is_none() {
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
    clients::live(&*world(), number).await;
}

impl Surroundings for World {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn ledger(&self) -> &RefCell<Ledger> {
        &self.ledger
    }

    fn now_ns(&self) -> u64 {
        simulated::now_ns()
    }

    fn client_address(&self, node: NodeIndex) -> SocketAddr {
        World::client_address(node)
    }

    fn asks(&self) -> bool {
        self.asks.get()
    }

    fn only_reads(&self) -> bool {
        self.only_reads.get()
    }

    fn decided(&self, client: u32, node: NodeIndex, object: usize, request: &Request) {
        let decision = (simulated::now_ns(), client, node, object, request.clone());
        self.asked.borrow_mut().push(decision);
    }

    fn asked(&self, object: usize, steps: &[Step]) {
        record("ask", simulated::this_node(), || Asking { object, steps });
    }

    fn answered(&self, object: usize, outcome: &Outcome) {
        record("answer", simulated::this_node(), || Answering { object, outcome });
    }

    fn protest(&self, claim: String) {
        self.fail("protocol", claim, Vec::new());
    }
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
