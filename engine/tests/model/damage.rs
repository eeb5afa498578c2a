//! Damage: flipped bits, lost and misdirected sectors, missing files, failing operations.

use std::collections::BTreeSet;
use std::io;

use evenkeel_engine::disk::Area;
use evenkeel_engine::disk::memory::{Kind, MemoryDisk, SECTOR_SIZE};
use evenkeel_engine::{EngineError, Event, Opened, Options};

use super::{
    Dress, Ledger, Life, Random, Replayed, check_payloads, check_prefix, check_reads, drive, open,
    options, settle,
};

pub(crate) fn holes(dress: Dress) -> Options {
    Options { serve_with_holes: true, ..options(dress) }
}

/// A log of several lives that ended cleanly.
pub(crate) fn sound_log(
    dress: Dress,
    random: &mut Random,
    lives: u64,
    steps: u64,
) -> (MemoryDisk, Ledger) {
    let mut disk = MemoryDisk::new();
    let mut ledger = Ledger::default();
    for life in 1..=lives {
        let opened = open(&disk, options(dress)).expect("there is power");
        let (engine, _, replayed) = opened.expect("nothing is damaged");
        check_prefix(&mut ledger, &replayed).expect("nothing is damaged");
        let mut now = Life::new(engine, ledger);
        now.work(random, steps).expect("nothing fails");
        let Life { engine, ledger: after, .. } = now;
        ledger = after;
        if life == lives {
            drive(engine.close()).expect("there is power").expect("nothing fails");
        } else {
            drop(engine);
            disk = disk.power_cut(|_, _| random.one_in(2));
        }
    }
    (disk, ledger)
}

/// Everything acknowledged is there or within a reported range; nothing else is there.
pub(crate) fn check_account(
    ledger: &Ledger,
    opened: &Opened,
    replayed: &Replayed,
) -> Result<(), String> {
    check_payloads(ledger, replayed)?;
    let found: Vec<u64> = replayed.0.iter().map(|(position, ..)| *position).collect();
    if !found.is_sorted_by(|a, b| a < b) {
        return Err(format!("out of order: {found:?}"));
    }
    let appended: BTreeSet<u64> = ledger.log.iter().map(|(_, position)| *position).collect();
    if let Some(stranger) = found.iter().find(|position| !appended.contains(position)) {
        return Err(format!("record {stranger} was cut off earlier, and came back"));
    }
    let found: BTreeSet<u64> = found.into_iter().collect();
    for (sequence, position) in &ledger.log[..ledger.acknowledged] {
        let reported = opened.damaged.iter().any(|range| {
            range.acknowledged && range.first.0 <= *sequence && *sequence <= range.last.0
        });
        if !found.contains(position) && !reported {
            return Err(format!(
                "sequence {sequence} was acknowledged, is gone, and {:?} does not say so",
                opened.damaged
            ));
        }
    }
    Ok(())
}

/// Opens a damaged log with and without holes, works on, and opens it again.
fn check_damaged(
    dress: Dress,
    disk: &MemoryDisk,
    mut ledger: Ledger,
    random: &mut Random,
) -> Result<usize, String> {
    let strict = open(&disk.power_cut(|_, _| true), options(dress)).expect("there is power");
    let (mut engine, opened, replayed) = match open(disk, holes(dress)).expect("there is power") {
        Ok((engine, Some(opened), replayed)) => (engine, opened, replayed),
        // Reported, loudly: that is all that is asked.
        Err(EngineError::Superblock { .. }) => return Ok(1),
        Ok((_, None, _)) => return Err("a log was taken for an empty folder".to_owned()),
        Err(error) => return Err(format!("open: {error}")),
    };
    check_account(&ledger, &opened, &replayed)?;
    match (strict, opened.damaged.is_empty()) {
        (Ok(_), true) | (Err(EngineError::Damaged { .. }), false) => (),
        (strict, _) => return Err(format!("strictly {:?}, yet {opened:?}", strict.err())),
    }
    check_reads(&mut engine, &replayed, true)?;

    let mut life = Life::new(engine, ledger);
    life.work(random, 2)?;
    ledger = life.ledger;
    drive(life.engine.close()).expect("there is power").map_err(|error| error.to_string())?;
    let (_, again, replayed) = open(disk, holes(dress))
        .expect("there is power")
        .map_err(|error| format!("open again: {error}"))?;
    let again = again.ok_or("a log was taken for an empty folder")?;
    check_account(&ledger, &again, &replayed)
        .map_err(|error| format!("again: {error} (at first: {opened:?})"))?;
    Ok(opened.damaged.len())
}

/// Goal: acknowledged data is intact or reported as damaged, never wrong and never silently gone.
/// Method: a log of several lives, stopped cleanly, then some random damage. Returns how many ranges
/// were reported.
pub(crate) fn check_random_damage(dress: Dress, seed: u64) -> Result<usize, String> {
    let random = &mut Random::new(seed);
    let lives = 1 + random.below(4);
    let (disk, ledger) = sound_log(dress, random, lives, 8);
    let mut story = Vec::new();
    for _ in 0..=random.below(4) {
        story.push(damage(&disk, random));
    }
    check_damaged(dress, &disk, ledger, random)
        .map_err(|error| format!("{dress:?}, seed {seed}, {story:?}: {error}"))
}

fn damage(disk: &MemoryDisk, random: &mut Random) -> String {
    let sizes = disk.sizes();
    let (area, size) = sizes[random.below(sizes.len() as u64) as usize];
    let bytes = disk.bytes(area);
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(1, |last| last + 1);
    let at = random.below(used as u64) as usize;
    let sector = at / SECTOR_SIZE * SECTOR_SIZE;
    match random.below(6) {
        0 | 1 => {
            disk.overwrite(area, at, &[bytes[at] ^ (1 << random.below(8))]);
            format!("{area:?}: bit flipped at {at}")
        }
        2 => {
            disk.overwrite(area, sector, &[0; SECTOR_SIZE]);
            format!("{area:?}: sector lost at {sector}")
        }
        3 => {
            let garbage: Vec<u8> = (0..SECTOR_SIZE).map(|_| random.next() as u8).collect();
            disk.overwrite(area, sector, &garbage);
            format!("{area:?}: garbage at {sector}")
        }
        4 => {
            let from = random.below(size / 4096) as usize * 4096;
            let to = at / 4096 * 4096;
            let length = (1 + random.below(3) as usize) * 4096;
            let end = (from + length).min(size as usize).min(size as usize - to + from);
            disk.overwrite(area, to, &bytes[from..end.max(from)]);
            format!("{area:?}: {from}..{end} misdirected to {to}")
        }
        _ if area != Area::Super && random.one_in(4) => {
            disk.remove(area);
            format!("{area:?}: gone")
        }
        _ => {
            let zeros = vec![0; size as usize - sector];
            disk.overwrite(area, sector, &zeros);
            format!("{area:?}: zeros from {sector} on")
        }
    }
}

/// Goal: a block of another place is never taken for the one that was asked for.
/// Method: chunks of equal shape, swapped under a running engine, are read back.
pub(crate) fn check_misdirected(dress: Dress, seed: u64) -> Result<(), String> {
    let disk = MemoryDisk::new();
    let (engine, ..) = open(&disk, options(dress)).expect("there is power").expect("an empty disk");
    let mut life = Life::new(engine, Ledger::default());
    let mut records = Vec::new();
    for index in 0..6_u8 {
        let payload = vec![index + 1; 100 + (seed % 7) as usize];
        let location = life.append_payload(&payload)?;
        life.settle()?;
        records.push((location, payload));
    }
    let segment = disk.bytes(Area::Segment(1));
    disk.overwrite(Area::Segment(1), 0, &segment[4096..8192]);
    disk.overwrite(Area::Segment(1), 4096, &segment[..4096]);
    for (location, payload) in &records {
        let ticket = life.engine.read(*location);
        for event in life.settle()? {
            match event {
                Event::Read { ticket: answered, result: Ok(bytes) }
                    if answered == ticket && bytes != payload =>
                {
                    return Err(format!("{location:?} was read as {:?}", &bytes[..1]));
                }
                _ => (),
            }
        }
    }
    Ok(())
}

/// Goal: an operation that fails is never taken for one that did not.
/// Method: some write or flush fails; what was acknowledged by then survives the power cut after it.
pub(crate) fn check_failing(dress: Dress, seed: u64) -> Result<(), String> {
    let random = &mut Random::new(seed);
    let disk = MemoryDisk::new();
    let (engine, ..) = open(&disk, options(dress)).expect("there is power").expect("an empty disk");
    let mut life = Life::new(engine, Ledger::default());
    let kind = if random.one_in(2) { Kind::Write } else { Kind::Flush };
    disk.fail(kind, random.below(8), io::ErrorKind::Other);
    let ended = life.work(random, 20);
    let Life { mut engine, mut ledger, .. } = life;
    if ended.is_err() && !matches!(settle(&mut engine), Err(EngineError::Failed)) {
        return Err("the engine goes on after a failure".to_owned());
    }
    let disk = disk.power_cut(|_, _| false);
    let opened = open(&disk, options(dress)).expect("the power is back");
    let (_, _, replayed) = opened.map_err(|error| format!("seed {seed}: open: {error}"))?;
    check_prefix(&mut ledger, &replayed).map_err(|error| format!("seed {seed}: {error}"))?;
    match ended {
        Err(error) if error.contains("could not") => Ok(()),
        other => Err(format!("seed {seed}: a failed {kind:?} ended as {other:?}")),
    }
}
