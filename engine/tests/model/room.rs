//! A disk that fills up without notice, and has room again.

use evenkeel_engine::disk::memory::MemoryDisk;
use evenkeel_engine::{Checkpoint, Sequence};

use super::{Dress, Ledger, Life, Random, open, options};

/// Goal: a log that wants no new segment for a while learns that the disk is full no more. Method: a
/// checkpoint gives it a little room; to a node that is too little to take anything with, so nobody
/// appends, and nobody asks.
pub(crate) fn check_full_disk(dress: Dress, seed: u64) -> Result<(), String> {
    let (mut random, disk) = (Random::new(seed), MemoryDisk::new());
    let (engine, ..) =
        open(&disk, options(dress)).ok_or("no power")?.map_err(|error| error.to_string())?;
    let mut life = Life::new(engine, Ledger::default());
    while life.engine.log_segment() < 5 {
        life.append(&mut random)?;
        life.settle()?;
    }
    disk.limit_room(Some(disk.sizes().iter().map(|(_, size)| size).sum()));
    while !life.engine.status().full {
        life.append_payload(&[1; 500])?;
        life.settle()?;
    }
    let start = life.engine.mark();
    let upto = Sequence(start.sequence.0 - 1);
    let checkpoint = Checkpoint { start, upto, aside_upto: 0, victims: vec![1, 2, 3] };
    life.engine.commit_checkpoint(checkpoint);
    life.settle()?;
    let status = life.engine.status();
    assert!(status.full && status.segments_free != 0, "that is the point: {status:?}");
    disk.limit_room(None);
    until_there_is_room(&mut life)
}

/// What a node does that has nothing to write.
pub(crate) fn until_there_is_room(life: &mut Life) -> Result<(), String> {
    for _ in 0..200 {
        life.engine.tick();
        life.settle()?;
    }
    let status = life.engine.status();
    let has_room = !status.full && life.engine.room() == u64::MAX;
    if has_room {
        Ok(())
    } else {
        Err(format!("it has not noticed that there is room: {status:?}"))
    }
}
