//! What an operator does: changes of leaders and voters, and what ends clients, asked for over RESP as
//! anybody would, of whichever node comes to hand. Whatever the answer, it only has to be one.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime as runtime;
use evenkeel_runtime::simulated;
use evenkeel_wire::reply::Reply;

use super::{World, host_name};
use crate::clients::Session;
use crate::coverage::Kind;
use crate::fault::NodeIndex;

/// The operator looks elsewhere after this.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn transfer(world: &Rc<World>, to: Option<NodeIndex>) {
    let mut words = words("EVENKEEL TRANSFER 0");
    words.extend(to.map(host_name));
    ask(world, words, Some(Kind::TransferLeader)).await;
}

pub(super) async fn lead(world: &Rc<World>, shard: u32, node: NodeIndex) {
    let words = words(&format!("EVENKEEL TRANSFER {shard} {}", host_name(node)));
    ask(world, words, None).await;
}

pub(super) async fn move_first_shard(world: &Rc<World>, voters: &[NodeIndex]) {
    let mut words = words("EVENKEEL MOVE 0");
    words.extend(voters.iter().copied().map(host_name));
    ask(world, words, Some(Kind::MoveVoters)).await;
}

pub(super) async fn drain(world: &Rc<World>, node: NodeIndex) {
    ask(world, words(&format!("EVENKEEL DRAIN {}", host_name(node))), Some(Kind::Drain)).await;
}

pub(super) async fn remove(world: &Rc<World>, node: NodeIndex) -> bool {
    ask(world, words(&format!("EVENKEEL REMOVE {}", host_name(node))), None).await
}

pub(super) async fn join(world: &Rc<World>, node: NodeIndex) -> bool {
    ask(world, words(&format!("EVENKEEL JOIN {}", host_name(node))), None).await
}

pub(super) async fn balance(world: &Rc<World>) {
    ask(world, words("EVENKEEL BALANCE"), None).await;
}

pub(super) async fn cut_clients(world: &Rc<World>) {
    ask(world, words("CLIENT KILL USER default"), Some(Kind::CutClients)).await;
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// From a machine of its own, so that it is nobody's fault if the answer does not come. Tells whether it
/// is known to be done.
async fn ask(world: &Rc<World>, words: Vec<String>, kind: Option<Kind>) -> bool {
    let number = next_number(world);
    let address = address(number);
    let node = number as usize % world.hosts.len();
    let operator = simulated::create_node(&format!("operator-{number}"), address, {
        let words = words.clone();
        move || converse(number, node, words.clone(), kind)
    });
    world.operators.borrow_mut().push(operator);
    let end_ns = simulated::now_ns() + 2 * PATIENCE.as_nanos() as u64;
    while simulated::is_running(operator) && simulated::now_ns() < end_ns {
        simulated::sleep_true(Duration::from_millis(5)).await;
    }
    world.obeyed.borrow().contains(&number)
}

/// Ends when every question has its answer, or nobody waits for it any more: what is asked for while
/// the weather ends is done in the calm, and moves leaders and voters as it should.
pub(super) async fn are_done(world: &Rc<World>) {
    while world.operators.borrow().iter().any(|&operator| simulated::is_running(operator)) {
        simulated::sleep_true(Duration::from_millis(5)).await;
    }
}

/// Counts the operator's requests.
pub(super) fn next_number(world: &World) -> u32 {
    let number = world.operations.get();
    world.operations.set(number + 1);
    number
}

/// Of the machine from which a request is made.
pub(super) fn address(number: u32) -> IpAddr {
    IpAddr::from([10, 0, 3 + (number / 250) as u8, (number % 250) as u8 + 1])
}

async fn converse(number: u32, node: NodeIndex, words: Vec<String>, kind: Option<Kind>) {
    let world = super::world();
    let command: Vec<Vec<u8>> = words.iter().map(|word| word.clone().into_bytes()).collect();
    let said = words.join(" ");
    // Whoever cannot be reached is not asked twice: the next one has the same map.
    for step in 0..world.hosts.len() {
        let node = (node + step) % world.hosts.len();
        let address = World::client_address(node);
        let Some(mut session) = Session::connect(address, PATIENCE).await else {
            runtime::sleep(Duration::from_millis(20)).await;
            continue;
        };
        match session.exchange(std::slice::from_ref(&command)).await.as_deref() {
            Ok([Reply::Error(refusal)]) if is_fair(refusal) => {
                return world.note(&format!("{} refuses {said}: {refusal}", host_name(node)));
            }
            Ok([Reply::Error(refusal)]) => {
                let claim = format!("{} says to {said}: {refusal}", host_name(node));
                return world.fail("operator", claim, Vec::new());
            }
            Ok(replies) => {
                let effects = match replies {
                    [Reply::Integer(count)] => *count as u64,
                    _ => 1,
                };
                kind.into_iter().for_each(|kind| world.feel(kind, effects));
                world.obeyed.borrow_mut().insert(number);
                return world.note(&format!("{} does {said}", host_name(node)));
            }
            Err(_) => return world.note(&format!("nobody knows what came of {said}")),
        }
    }
}

/// What weather can do: it is late, there is no leader, nobody took over, the target has no vote, or it
/// still has one, or has been removed.
fn is_fair(refusal: &str) -> bool {
    let late = ["TIMEOUT ", "CLUSTERDOWN "].iter().any(|code| refusal.starts_with(code));
    late || refusal.contains("has no vote")
        || refusal.contains("is still led by")
        || refusal.contains("still votes on")
        || refusal.contains("can be reached from here")
        || refusal.contains("drain it first")
        || refusal.contains("has no leader")
        || refusal.contains("no node is called")
        || refusal.contains("nobody else can lead it")
}
