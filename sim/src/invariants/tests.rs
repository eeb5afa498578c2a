use evenkeel_core::consensus::{Ballot, Configuration, ReplicaId, Role, Slot};
use evenkeel_node::observe::{Fact, Observation};

use super::Invariants;

fn ballot(round: u64, replica: u64) -> Ballot {
    Ballot { round, replica: ReplicaId(replica) }
}

fn voters() -> Fact {
    let voters = Configuration { voters: (1..=3).map(ReplicaId).collect() };
    Fact::Voters { slot: Slot(0), voters }
}

fn leads(round: u64, replica: u64) -> Fact {
    Fact::Role { role: Role::Leader, ballot: ballot(round, replica) }
}

fn promises(replica: u64) -> (u64, Fact) {
    (replica, Fact::PromiseDurable(ballot(2, 2)))
}

fn accepts(slot: u64, round: u64, digest: u64) -> Fact {
    Fact::AcceptDurable { slot: Slot(slot), ballot: ballot(round, 1), digest }
}

fn chosen(slot: u64, digest: u64) -> Fact {
    Fact::Chosen { slot: Slot(slot), digest }
}

fn applied(slot: u64, state: u64) -> Fact {
    Fact::Applied { slot: Slot(slot), state }
}

fn restarted(applied: u64, state: u64, round: u64) -> Fact {
    Fact::Restarted { applied: Slot(applied), state, promised: ballot(round, 1) }
}

/// The first invariant that these facts, each of a replica, break.
fn first_broken(facts: Vec<(u64, Fact)>) -> Option<&'static str> {
    let mut invariants = Invariants::default();
    facts.into_iter().find_map(|(replica, fact)| {
        let observation = Observation { replica: ReplicaId(replica), shard: 1, fact };
        let node = replica as usize - 1;
        invariants.note(node, &observation).err().map(|broken| broken.invariant)
    })
}

/// One slot, chosen and applied everywhere, in ballot 1 of replica 1.
fn one_write() -> Vec<(u64, Fact)> {
    let mut facts: Vec<_> = (1..=3).map(|replica| (replica, voters())).collect();
    facts.extend([1, 3].map(|replica| (replica, Fact::PromiseDurable(ballot(1, 1)))));
    facts.push((1, leads(1, 1)));
    facts.extend([(1, accepts(1, 1, 7)), (2, accepts(1, 1, 7)), (1, chosen(1, 7))]);
    facts.extend([(1, applied(1, 70)), (1, Fact::LeaseServed { ballot: ballot(1, 1) })]);
    facts.extend([(3, accepts(1, 1, 7)), (2, chosen(1, 7)), (2, applied(1, 70))]);
    facts
}

fn after_one_write(more: Vec<(u64, Fact)>) -> Option<&'static str> {
    first_broken([one_write(), more].concat())
}

/// Goal: an ordinary life breaks nothing. Method: a write, a restart, a new leader, another write.
#[test]
fn an_ordinary_life_is_fine() {
    let more = vec![
        (1, restarted(1, 70, 1)),
        (2, Fact::PromiseDurable(ballot(2, 2))),
        (3, Fact::PromiseDurable(ballot(2, 2))),
        (2, leads(2, 2)),
        (2, Fact::AcceptDurable { slot: Slot(2), ballot: ballot(2, 2), digest: 8 }),
        (3, Fact::AcceptDurable { slot: Slot(2), ballot: ballot(2, 2), digest: 8 }),
        (2, chosen(2, 8)),
        (2, applied(2, 80)),
        (2, Fact::LeaseServed { ballot: ballot(2, 2) }),
        (3, chosen(1, 7)),
        (3, applied(2, 80)),
    ];
    assert_eq!(after_one_write(more), None);
}

/// Goal: a value is chosen by those who voted for it in one ballot, though one of them has voted for it
/// again since, in the ballot of another leader. (Seed 991098: the word of the first vote was late.)
#[test]
fn a_vote_counts_for_its_ballot_after_a_later_one() {
    let more = |first: u64| {
        vec![
            (1, accepts(2, 1, 9)),
            (2, accepts(2, first, 9)),
            (2, accepts(2, 2, 9)),
            (1, chosen(2, 9)),
        ]
    };
    assert_eq!(after_one_write(more(1)), None);
    assert_eq!(after_one_write(more(2)), Some("chosen-on-a-quorum-of-disks"));
}

/// Goal: each invariant can be broken. Method: after an ordinary write, one fact that breaks it.
#[test]
fn each_invariant_notices_its_breach() {
    let cases = [
        ("one-leader-per-ballot", vec![(2, leads(1, 1))]),
        ("ballot-used-once", vec![(1, restarted(1, 70, 1)), (1, leads(1, 1))]),
        (
            "promises-never-regress",
            vec![(2, Fact::PromiseDurable(ballot(5, 3))), (2, Fact::PromiseDurable(ballot(4, 3)))],
        ),
        (
            "promises-never-regress",
            vec![(2, Fact::PromiseDurable(ballot(5, 3))), (2, restarted(0, 0, 4))],
        ),
        ("promises-are-kept", vec![(2, Fact::PromiseDurable(ballot(5, 3))), (2, accepts(2, 4, 9))]),
        ("leads-by-a-quorum-of-disks", vec![(2, leads(2, 2))]),
        ("chosen-stays-chosen", vec![(3, chosen(1, 9))]),
        (
            "chosen-on-a-quorum-of-disks",
            vec![(1, accepts(2, 1, 9)), (2, accepts(2, 2, 9)), (1, chosen(2, 9))],
        ),
        ("chosen-on-a-quorum-of-disks", vec![(1, accepts(2, 1, 9)), (1, chosen(2, 9))]),
        (
            "chosen-on-a-quorum-of-disks",
            vec![(1, accepts(2, 1, 9)), (2, accepts(2, 1, 8)), (1, chosen(2, 9))],
        ),
        ("applied-in-order", vec![(1, applied(0, 70))]),
        ("only-chosen-is-applied", vec![(1, applied(2, 80))]),
        ("same-slot-same-state", vec![(3, applied(1, 71))]),
        ("same-slot-same-state", vec![(3, restarted(1, 71, 1))]),
        (
            "one-lease-at-a-time",
            vec![
                promises(2),
                promises(3),
                (2, leads(2, 2)),
                (1, Fact::LeaseServed { ballot: ballot(1, 1) }),
            ],
        ),
    ];
    for (invariant, facts) in cases {
        assert_eq!(after_one_write(facts), Some(invariant));
    }
}

/// Goal: convergence means that all voters have all. Method: one that lags, then does not.
#[test]
fn a_voter_that_lags_is_no_convergence() {
    let mut invariants = Invariants::default();
    let mut note = |replica, fact| {
        let observation = Observation { replica: ReplicaId(replica), shard: 1, fact };
        invariants.note(replica as usize - 1, &observation).unwrap();
    };
    one_write().into_iter().for_each(|(replica, fact)| note(replica, fact));
    assert!(invariants.converged().unwrap_err().contains("replica 3 has applied 0 of 1"));
    let observation = Observation { replica: ReplicaId(3), shard: 1, fact: applied(1, 70) };
    invariants.note(2, &observation).unwrap();
    assert_eq!(invariants.converged(), Ok(()));
    assert_eq!(invariants.leader(1), Some(0));
}

/// Goal: a lost disk excuses a forgotten promise only if nobody can have counted it.
#[test]
fn only_a_life_that_nobody_met_may_begin_again_without_its_promises() {
    let reborn = |was_met: bool| {
        let mut invariants = Invariants::default();
        let mut note = |replica: u64, fact: Fact| {
            let observation = Observation { replica: ReplicaId(replica), shard: 1, fact };
            invariants.note(replica as usize - 1, &observation)
        };
        for replica in 1..=3 {
            note(replica, restarted(0, 0, 0)).unwrap();
        }
        let (replica, promise) = promises(3);
        note(replica, promise).unwrap();
        if was_met {
            note(1, Fact::Met(ReplicaId(3))).unwrap();
        }
        invariants.wiped(2);
        let begun = Observation { replica: ReplicaId(3), shard: 1, fact: restarted(0, 0, 0) };
        invariants.note(2, &begun).err().map(|broken| broken.invariant)
    };
    assert_eq!(reborn(false), None);
    assert_eq!(reborn(true), Some("promises-never-regress"));
}

/// Goal: what a lost disk had accepted is on no disk any more, even if its next life has the same name.
#[test]
fn a_lost_disk_has_no_vote() {
    let mut invariants = Invariants::default();
    let mut note = |replica: u64, fact: Fact| {
        let observation = Observation { replica: ReplicaId(replica), shard: 1, fact };
        invariants.note(replica as usize - 1, &observation)
    };
    for (replica, fact) in (1..=3).flat_map(|id| [(id, restarted(0, 0, 0)), (id, voters())]) {
        note(replica, fact).unwrap();
    }
    note(1, accepts(1, 1, 7)).unwrap();
    note(3, accepts(1, 1, 7)).unwrap();
    invariants.wiped(2);
    let mut note = |replica: u64, fact: Fact| {
        let observation = Observation { replica: ReplicaId(replica), shard: 1, fact };
        invariants.note(replica as usize - 1, &observation)
    };
    note(3, restarted(0, 0, 0)).unwrap();
    let broken = note(1, chosen(1, 7)).unwrap_err();
    assert_eq!(broken.invariant, "chosen-on-a-quorum-of-disks");
}

/// Goal: what a disk held is what counts after a restart: more than was reported, never less.
#[test]
fn a_restart_tells_what_was_accepted() {
    let entry = |round: u64, digest: u64| (Slot(2), ballot(round, 1), digest);
    let restart = |found: Vec<(Slot, Ballot, u64)>| {
        let begun = [(2, restarted(1, 70, 1)), (2, Fact::Recovered(found))];
        let then = [(1, accepts(2, 1, 8)), (1, chosen(2, 8))];
        after_one_write(begun.into_iter().chain(then).collect())
    };
    assert_eq!(restart(vec![entry(1, 8)]), None, "it died before it could report");
    assert_eq!(restart(vec![]), Some("chosen-on-a-quorum-of-disks"));
    let reported = |found: Vec<(Slot, Ballot, u64)>| {
        let facts =
            vec![(2, accepts(2, 1, 8)), (2, restarted(1, 70, 1)), (2, Fact::Recovered(found))];
        after_one_write(facts)
    };
    assert_eq!(reported(vec![entry(2, 9)]), None, "a newer ballot came last");
    assert_eq!(reported(vec![]), Some("accepted-stays-accepted"));
    assert_eq!(reported(vec![entry(1, 9)]), Some("accepted-stays-accepted"));
}

/// From this slot on these vote.
fn vote_from(slot: u64, voters: [u64; 3]) -> Fact {
    let voters = Configuration { voters: voters.map(ReplicaId).to_vec() };
    Fact::Voters { slot: Slot(slot), voters }
}

/// After the write, replica 1 is voted out at slot 2; these have accepted that.
fn voted_out(accepted_by: &[u64]) -> Vec<(u64, Fact)> {
    let mut facts: Vec<_> =
        accepted_by.iter().map(|replica| (*replica, accepts(2, 1, 8))).collect();
    facts.extend([(1, vote_from(2, [2, 3, 4])), (1, chosen(2, 8)), (1, applied(2, 80))]);
    facts
}

/// Goal: voters change, and whoever has no vote counts for nothing. Method: a change that is accepted by
/// the old voters and the new ones is fine; by the old ones alone it is not; nor is the next write on
/// the strength of the one that left, nor a read at it, nor another idea of who votes since then.
#[test]
fn voters_change_and_who_has_left_counts_no_more() {
    let with = |more: Vec<(u64, Fact)>| after_one_write([voted_out(&[1, 2, 3]), more].concat());
    let next = |by: [u64; 2]| {
        let accepted = by.map(|replica| (replica, accepts(3, 1, 9))).to_vec();
        [accepted, vec![(1, chosen(3, 9))]].concat()
    };
    assert_eq!(with(next([2, 3])), None);
    assert_eq!(after_one_write(voted_out(&[1, 2])), Some("chosen-on-a-quorum-of-disks"));
    assert_eq!(with(next([1, 2])), Some("chosen-on-a-quorum-of-disks"));
    let lease = Fact::LeaseServed { ballot: ballot(1, 1) };
    assert_eq!(with(vec![(1, lease)]), Some("only-voters-serve"));
    let other = |voters| with([next([2, 3]), vec![(3, vote_from(2, voters))]].concat());
    assert_eq!(other([2, 3, 4]), None);
    assert_eq!(other([1, 2, 3]), Some("one-electorate-per-slot"));
}
