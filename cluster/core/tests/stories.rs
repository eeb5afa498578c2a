//! Consensus, as conversations. Each file in `testdata` is one story, told in these commands:
//!
//! ```text
//! cluster 1 2 3             start over: three fresh voters
//! newcomer 4                a fresh replica that votes nowhere yet
//! retain 2, window 2        (before `cluster`) limits: entries kept, entries in flight
//! propose 1 x y             a client asks replica 1
//! read 1
//! reconfigure 1 1 2 3 4     an operator does
//! transfer 1 2
//! persist 2                 replica 2's disk finishes its oldest write
//! deliver 1->2              the oldest message on that link arrives
//! hold, release 1->2        only `deliver` moves messages there, until it is released
//! drop, repeat, delay 1->2  it is lost, or is there twice, or goes to the end of the queue
//! settle                    disks and links go on until nothing is left to happen
//! wait 300                  so many milliseconds pass for everyone
//! tick 1                    replica 1 looks at its clock
//! pass 300                  so many pass, everyone looks at its clock, and nothing is slow
//! elect 1                   replica 1 stands for election, and nothing is slow
//! timeout 1                 the longest election time-out passes, and replica 1 notices first
//! crash 2, restart 2        what was not persisted is lost
//! isolate 3, join 3         what is sent to it or by it is lost
//! cut 1-2 1-3               these pairs hear each other no more
//! applied 1                 replica 1's driver has applied what is committed
//! snapshot 1->4             replica 1's state, as of its commit, is installed at 4
//! lease 1, state
//! ```
//!
//! `#3` is a replica's third write. After a change: `REWRITE=1 cargo test -p evenkeel-core --test
//! stories`, then read the diff as a reviewer would.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod conversation;

use conversation::World;

#[test]
fn stories_read_as_written() {
    datadriven::walk("tests/testdata", |file| {
        let mut world = World::default();
        file.run(|case| world.run(&format!("{} {}", case.directive, case.input.trim())));
    });
}
