//! Scripts: faults in an order that chance alone hardly ever finds, each made for a known kind of bug.
//!
//! **Invariant.** A script leaves the links as it found them, whatever happens meanwhile.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime as runtime;
use evenkeel_runtime::simulated::{self, NodeId, network};

use super::hosts::{hold, plain_disk};
use super::injector::{block_for, blocked, kill, wait};
use super::{World, felt, operator};
use crate::coverage::Kind;
use crate::disk::Weather;
use crate::disk::platter::Tearing;
use crate::fault::{Cut, Death, NodeIndex, Series};

/// A process that is killed is started again at once.
const AT_ONCE: Duration = Duration::from_millis(1);
/// So many times as long takes a disk that keeps a learner behind.
const SLOW_DISK: u32 = 1_000;

/// Plays one script; tells whether it came to its point, as `coverage` says it of each; `step` and `lasts` are as `Series` says.
pub(super) async fn play(
    world: &Rc<World>,
    series: Series,
    step: Duration,
    lasts: Duration,
) -> bool {
    let cast = Cast::now(world);
    match series {
        Series::LeaseTrap => lease_trap(world, &cast, step, lasts).await,
        Series::LeaderChurn => leader_churn(world, step, lasts).await,
        Series::DeafLeader => {
            block_for(world, blocked(world, &Cut::Deaf(cast.leader)), lasts).await > 0
        }
        Series::PowerStorm => power_storm(world, cast.leader, step, lasts).await,
        Series::LateAnswers => late_answers(world, &cast, step, lasts).await,
        Series::Grace => grace(world, &cast, step, lasts).await,
        Series::DeafHandOver => deaf_hand_over(world, &cast, step, lasts).await,
        Series::StaleVouch => stale_vouch(world, &cast, step, lasts).await,
        Series::Laggard => laggard(world, &cast, step, lasts).await,
        Series::SnapshotCut => snapshot_cut(world, &cast, step, lasts).await,
        Series::VotersOnTheMove => voters_on_the_move(world, step, lasts).await,
        Series::LearnerTrap => learner_trap(world, step, lasts).await,
        Series::Ghosts => ghosts(world, &cast, step, lasts).await,
        Series::AbsentVoter => absent_voter(world, step, lasts).await,
    }
}

/// Who plays which part.
struct Cast {
    leader: NodeIndex,
    /// With the leader, these are a quorum: one of three, two of five.
    kept: Vec<NodeIndex>,
    others: Vec<NodeIndex>,
}

impl Cast {
    fn now(world: &World) -> Cast {
        let count = world.hosts.len();
        let leader = world.leader();
        let followers: Vec<NodeIndex> = (1..count).map(|step| (leader + step) % count).collect();
        let (kept, others) = followers.split_at(count / 2);
        Cast { leader, kept: kept.to_vec(), others: others.to_vec() }
    }
}

/// Directed links that are cut until this is dropped.
struct Blocked {
    links: Vec<(NodeId, NodeId)>,
    /// How often they had held something up before.
    before: u64,
}

impl Blocked {
    fn from_to(world: &World, from: &[NodeIndex], to: &[NodeIndex]) -> Blocked {
        let pairs = from.iter().flat_map(|&from| to.iter().map(move |&to| (from, to)));
        let links: Vec<_> = pairs
            .filter(|(from, to)| from != to)
            .map(|(from, to)| (world.id(from), world.id(to)))
            .collect();
        links.iter().for_each(|&(from, to)| network::block(from, to));
        let before = felt::held_up(&links);
        Blocked { links, before }
    }

    fn was_felt(&self) -> bool {
        self.before < felt::held_up(&self.links)
    }

    fn between(world: &World, left: &[NodeIndex], right: &[NodeIndex]) -> [Blocked; 2] {
        [Blocked::from_to(world, left, right), Blocked::from_to(world, right, left)]
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.links.iter().for_each(|&(from, to)| network::unblock(from, to));
    }
}

/// Clients only read, until this is dropped.
struct OnlyReads(Rc<World>);

impl OnlyReads {
    fn now(world: &Rc<World>) -> OnlyReads {
        world.only_reads.set(true);
        OnlyReads(Rc::clone(world))
    }
}

impl Drop for OnlyReads {
    fn drop(&mut self) {
        self.0.only_reads.set(false);
    }
}

/// Directed links that take this long, until this is dropped: what was sent before stays late.
struct Late(Vec<(NodeId, NodeId)>);

impl Late {
    fn from_to(world: &World, from: &[NodeIndex], to: NodeIndex, latency: Duration) -> Late {
        let links: Vec<_> = from.iter().map(|&from| (world.id(from), world.id(to))).collect();
        for &(from, to) in &links {
            let link = network::link(from, to);
            let latency_us = latency.as_micros() as u64;
            network::set_link(from, to, Some(network::Link { latency_us, ..link }));
        }
        Late(links)
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.0.iter().for_each(|&(from, to)| network::set_link(from, to, None));
    }
}

async fn lease_trap(
    world: &Rc<World>,
    cast: &Cast,
    restart_every: Duration,
    lasts: Duration,
) -> bool {
    let _cut = Blocked::between(world, &[cast.leader], &cast.others);
    let count = Cell::new(0);
    let restarts = async {
        loop {
            wait(world, restart_every).await;
            for &kept in &cast.kept {
                count.set(count.get() + u32::from(kill(world, kept, Death::Process, AT_ONCE)));
                while !simulated::is_running(world.id(kept)) {
                    simulated::sleep_true(AT_ONCE).await;
                }
            }
        }
    };
    runtime::either(wait(world, lasts), restarts).await;
    count.get() > 0
}

async fn leader_churn(world: &Rc<World>, each: Duration, lasts: Duration) -> bool {
    let end_ns = simulated::now_ns() + lasts.as_nanos() as u64;
    let mut leaders = BTreeSet::new();
    while simulated::now_ns() < end_ns && !world.is_healed.get() {
        let leader = world.leader();
        let cut = blocked(world, &Cut::Halves(vec![leader]));
        if block_for(world, cut, each).await > 0 {
            leaders.insert(leader);
        }
        wait(world, each / 4).await;
    }
    leaders.len() > 1
}

async fn power_storm(world: &Rc<World>, node: NodeIndex, every: Duration, lasts: Duration) -> bool {
    let end_ns = simulated::now_ns() + lasts.as_nanos() as u64;
    let mut count = 0;
    while simulated::now_ns() < end_ns && !world.is_healed.get() {
        if simulated::is_running(world.id(node)) {
            kill(world, node, Death::Power(Tearing::Shuffled), AT_ONCE);
            count += 1;
        }
        wait(world, every).await;
    }
    count > 1
}

/// The answers to the heartbeats of `step` arrive when the others may have elected somebody else.
async fn late_answers(world: &Rc<World>, cast: &Cast, step: Duration, lasts: Duration) -> bool {
    let mute = Blocked::from_to(world, &cast.others, &[cast.leader]);
    let answers = Late::from_to(world, &cast.kept, cast.leader, lasts);
    wait(world, step).await;
    drop(answers);
    let followers = [&cast.kept[..], &cast.others[..]].concat();
    let _cut = Blocked::from_to(world, &[cast.leader], &followers);
    // As long as a lease that counts from the receipt of such an answer.
    wait(world, lasts + 3 * step).await;
    mute.was_felt()
}

/// Nobody writes meanwhile: whoever lacks a part would not be elected by those who have it.
async fn grace(world: &Rc<World>, cast: &Cast, step: Duration, lasts: Duration) -> bool {
    let _reads = OnlyReads::now(world);
    wait(world, step / 8).await;
    let _cut = Blocked::between(world, &[cast.leader], &cast.others);
    wait(world, step).await;
    let _silence = Blocked::from_to(world, &[cast.leader], &cast.kept);
    let lived = kill_all(world, &cast.kept, AT_ONCE);
    wait(world, lasts).await;
    lived
}

/// Unless the weather is over; whether anybody was alive.
fn kill_all(world: &World, nodes: &[NodeIndex], down: Duration) -> bool {
    let lived = |&&node: &&NodeIndex| kill(world, node, Death::Process, down);
    !world.is_healed.get() && nodes.iter().filter(lived).count() > 0
}

async fn deaf_hand_over(world: &Rc<World>, cast: &Cast, step: Duration, lasts: Duration) -> bool {
    let followers = [&cast.kept[..], &cast.others[..]].concat();
    let _deaf = Blocked::from_to(world, &followers, &[cast.leader]);
    wait(world, step).await;
    let leader = world.id(cast.leader);
    let asks = simulated::is_running(leader) && !world.is_healed.get();
    if asks {
        hold(world, cast.leader, lasts);
        simulated::terminate(leader);
    }
    wait(world, lasts).await;
    asks
}

/// The other follower is down until the leader has given up and asks for votes; then, as whoever
/// restarts, it grants none for a lease's time, and the leader is elected just as the vouches that it
/// was given in its last ballot arrive.
async fn stale_vouch(world: &Rc<World>, cast: &Cast, step: Duration, lasts: Duration) -> bool {
    let leader = [cast.leader];
    let _apart = Blocked::between(world, &cast.kept, &cast.others);
    let others_cut = Blocked::between(world, &leader, &cast.others);
    let vouches = Late::from_to(world, &cast.kept, cast.leader, lasts);
    wait(world, step).await;
    let _quiet = Blocked::from_to(world, &leader, &cast.kept);
    drop(vouches);
    // A lease is four heartbeats; within one more it is asked again; what it is asked takes one each time.
    let beat = Duration::from_micros(world.plan.knobs.heartbeat_us);
    let down = lasts.saturating_sub(step + 19 * beat / 4);
    let lived = kill_all(world, &cast.others, down);
    drop(others_cut);
    let late = |&other: &NodeIndex| Late::from_to(world, &leader, other, beat);
    let _slow: Vec<Late> = cast.others.iter().map(late).collect();
    wait(world, lasts + 7 * beat).await;
    lived
}

async fn laggard(world: &Rc<World>, cast: &Cast, step: Duration, lasts: Duration) -> bool {
    let everybody: Vec<NodeIndex> = (0..world.hosts.len()).collect();
    let away = Blocked::between(world, &cast.others, &everybody);
    wait(world, step).await;
    let lacks = away.iter().any(Blocked::was_felt);
    let lived = kill_all(world, &[cast.leader], lasts);
    // Whoever has everything asks for votes, and asks in vain.
    wait(world, lasts / 3).await;
    drop(away);
    wait(world, lasts / 2).await;
    lacks && lived
}

async fn snapshot_cut(world: &Rc<World>, cast: &Cast, step: Duration, lasts: Duration) -> bool {
    let everybody: Vec<NodeIndex> = (0..world.hosts.len()).collect();
    let Some(&laggard) = cast.others.first() else { return false };
    let away = Blocked::between(world, &[laggard], &everybody);
    wait(world, step).await;
    drop(away);
    let before = world.invariants.borrow().installs(laggard);
    let installed = async {
        while world.invariants.borrow().installs(laggard) == before {
            simulated::sleep_true(AT_ONCE).await;
        }
    };
    let in_time = runtime::either(installed, wait(world, lasts)).await;
    let cuts = matches!(in_time, runtime::Either::Left(())) && !world.is_healed.get();
    cuts && kill(world, laggard, Death::Power(Tearing::LoseAll), AT_ONCE)
}

/// Who votes on the first shard, its leader, and who does not vote.
struct Electorate {
    leader: NodeIndex,
    followers: Vec<NodeIndex>,
    spare: Vec<NodeIndex>,
}

impl Electorate {
    fn now(world: &World) -> Electorate {
        let (leader, voters) = (world.leader(), world.voters());
        let of = |wanted: bool| {
            let nodes = (0..world.hosts.len()).filter(move |node| *node != leader);
            nodes.filter(|node| voters.contains(node) == wanted).collect::<Vec<_>>()
        };
        let (followers, spare) = (of(true), of(false));
        Electorate { leader, followers, spare }
    }
}

async fn ask_to_move(world: &Rc<World>, voters: &[NodeIndex]) {
    world.reach(&[Kind::MoveVoters]);
    operator::move_first_shard(world, voters).await;
}

/// The leader, or one of the others, makes room for whoever has no vote; as soon as the change may be
/// on its way, those who are about to go and those who come are alone with the leader, or the leader
/// with them.
async fn voters_on_the_move(world: &Rc<World>, step: Duration, lasts: Duration) -> bool {
    let Electorate { leader, followers, spare } = Electorate::now(world);
    let (Some(&new), [first, second, ..]) = (spare.first(), &followers[..]) else { return false };
    // Every other time it is the leader itself that has to go.
    let leader_goes = world.turn().is_multiple_of(2);
    let (gone, stays) = if leader_goes { (leader, *first) } else { (*first, leader) };
    let voters = [stays, *second, new];
    drop(runtime::spawn({
        let world = Rc::clone(world);
        async move { ask_to_move(&world, &voters).await }
    }));
    wait(world, step).await;
    let others = [*first, *second].into_iter().filter(|other| *other != gone);
    let cut = Blocked::between(world, &[leader, gone, new], &others.collect::<Vec<_>>());
    wait(world, lasts).await;
    cut.iter().any(Blocked::was_felt)
}

async fn learner_trap(world: &Rc<World>, step: Duration, lasts: Duration) -> bool {
    let Electorate { leader, followers, spare } = Electorate::now(world);
    let (Some(&new), [first, second, ..]) = (spare.first(), &followers[..]) else { return false };
    let drive = &world.hosts[new].drive;
    drive.set_weather(Weather { slowness: SLOW_DISK, ..drive.weather() });
    let voters = [leader, *first, new];
    drop(runtime::spawn({
        let world = Rc::clone(world);
        async move { ask_to_move(&world, &voters).await }
    }));
    wait(world, step).await;
    let cut = Blocked::between(world, &[leader, new], &[*first, *second]);
    wait(world, lasts).await;
    let is_felt = cut.iter().any(Blocked::was_felt);
    drop(cut);
    drive.set_weather(plain_disk(world));
    wait(world, lasts).await;
    is_felt
}

/// The first values of the second leader stand where the first one has its own, which nobody chose.
async fn ghosts(world: &Rc<World>, cast: &Cast, step: Duration, lasts: Duration) -> bool {
    let followers = [&cast.kept[..], &cast.others[..]].concat();
    let alone = Blocked::between(world, &[cast.leader], &followers);
    let elected = async {
        while world.leader() == cast.leader {
            simulated::sleep_true(AT_ONCE).await;
        }
    };
    runtime::either(elected, wait(world, lasts)).await;
    // A few round trips: by then some of its values are chosen, and only it knows of the last ones.
    wait(world, step / 16).await;
    let second = world.leader();
    let cut = blocked(world, &Cut::Halves(vec![second]));
    drop(alone);
    block_for(world, cut, lasts).await > 0 && second != cast.leader
}

/// With the leader, the one whose vote is taken is a quorum of the old voters, and the newcomer one of
/// the new: nobody needs whoever is away.
async fn absent_voter(world: &Rc<World>, step: Duration, lasts: Duration) -> bool {
    let Electorate { leader, followers, spare } = Electorate::now(world);
    let (Some(&new), [absent, _, ..]) = (spare.first(), &followers[..]) else { return false };
    let everybody: Vec<NodeIndex> = (0..world.hosts.len()).collect();
    let away = Blocked::between(world, &[*absent], &everybody);
    let move_and_grow = async {
        ask_to_move(world, &[leader, *absent, new]).await;
        wait(world, step).await;
    };
    let installs = || world.invariants.borrow().installs(*absent);
    let before = installs();
    runtime::either(world.is_healed.wait(), move_and_grow).await;
    drop(away);
    wait(world, lasts).await;
    installs() > before
}
