//! What compression and encryption promise, seen from the disk: by whoever reads it, copies it, changes
//! it, or cuts its power while the key is changed.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_engine::batch::BatchBuilder;
use evenkeel_engine::compaction::{self, Need};
use evenkeel_engine::disk::Area;
use evenkeel_engine::disk::memory::{MemoryDisk, SECTOR_SIZE};
use evenkeel_engine::keys::{Encryption, KEY_SIZE, RootKey, Seed};
use evenkeel_engine::store::{Eviction, Store, StoreOptions, Tier};
use evenkeel_engine::{Engine, EngineError, Event, Location, Options, Record, RecordKind};

use super::damage::sound_log;
use super::power::Pattern;
use super::{
    Dress, Ledger, Life, Random, Replayed, SEGMENT_SIZE, check_prefix, drive, identity, keep, open,
    options, settle,
};

pub(crate) fn encryption(root: u8, seed: u8) -> Encryption {
    Encryption { root: RootKey::new([root; KEY_SIZE]), seed: Seed::new([seed; KEY_SIZE]) }
}

fn encrypted(root: u8, seed: u8) -> Options {
    Options { encryption: Some(encryption(root, seed)), ..options(Dress::PLAIN) }
}

/// Where the payload of an encrypted record lies that is not compressed: before the tag of 16 bytes.
fn stored(disk: &MemoryDisk, location: Location, payload_size: usize) -> Vec<u8> {
    let bytes = disk.bytes(Area::Segment(location.segment));
    let end = (location.offset + location.size) as usize - 16;
    bytes.get(end - payload_size..end).map_or_else(Vec::new, <[u8]>::to_vec)
}

/// What GCM has added to the first 16 bytes of every payload, as somebody finds out who knows what was
/// written and reads the disk. The same twice: the same key and the same nonce.
#[derive(Default)]
struct KeyStreams(BTreeMap<Vec<u8>, Location>);

impl KeyStreams {
    fn add(&mut self, disk: &MemoryDisk, location: Location, payload: &[u8]) -> Result<(), String> {
        let stored = stored(disk, location, payload.len());
        if stored == payload {
            return Err(format!("{location:?} is not encrypted"));
        }
        let stream = stored.iter().zip(payload).take(16).map(|(one, other)| one ^ other);
        let before = self.0.insert(stream.collect(), location);
        match before {
            Some(before) => Err(format!("{before:?} and {location:?} have one key stream")),
            None => Ok(()),
        }
    }
}

fn some_payload(random: &mut Random) -> Vec<u8> {
    (0..16 + random.below(200)).map(|_| random.next() as u8).collect()
}

/// Appends some records, on both lanes, lets the disk work, and looks at what it has.
fn write_some(
    engine: &mut Engine,
    disk: &MemoryDisk,
    random: &mut Random,
    streams: &mut KeyStreams,
) -> Result<(), String> {
    let mut written = Vec::new();
    for position in 0..=random.below(8) {
        let payload = some_payload(random);
        let (kind, stamp) = (RecordKind::Item, [1, 2]);
        let record = Record { kind, stream: 1, position, stamp, commit: 0, payload: &payload };
        let location = match random.one_in(3) {
            true => engine.append_aside(&record).map(|(_, location)| location),
            false => engine.append(&record).map(|(_, location)| location),
        };
        written.push((location.map_err(|error| error.to_string())?, payload));
    }
    settle(engine).map_err(|error| error.to_string())?;
    if disk.is_dark() {
        return Ok(()); // What is on the disk now may be any part of it.
    }
    // What is aside is written when there is enough of it, or at the end.
    let on_disk = |(location, payload): &(Location, Vec<u8>)| {
        stored(disk, *location, payload.len()).iter().any(|&byte| byte != 0)
    };
    written.retain(on_disk);
    written.iter().try_for_each(|(location, payload)| streams.add(disk, *location, payload))
}

/// Goal: no two records are ever encrypted with the same key and nonce.
/// Method: life after life, ended by a clean stop, a kill or a power cut; after each write the key stream
/// of each record is taken from the disk, and must be new.
pub(crate) fn check_key_streams(seed: u64) -> Result<(), String> {
    let random = &mut Random::new(seed);
    let mut streams = KeyStreams::default();
    let mut disk = MemoryDisk::new();
    for life in 0..10 {
        let fail = |error: String| format!("seed {seed}, life {life}: {error}");
        let dark = random.one_in(2);
        if dark {
            disk.fail_power_after(random.below(60));
        }
        if let Some(opened) = open(&disk, encrypted(1, 2)) {
            let (mut engine, ..) = opened.map_err(|error| fail(error.to_string()))?;
            for _ in 0..random.below(12) {
                write_some(&mut engine, &disk, random, &mut streams).map_err(fail)?;
            }
            if random.one_in(2) {
                drive(engine.close());
            }
        }
        disk = disk.power_cut(|_, _| random.one_in(2));
    }
    match streams.0.len() {
        0..50 => Err(format!("seed {seed}: only {} records were seen", streams.0.len())),
        _ => Ok(()),
    }
}

/// Goal: two processes that begin with the same bytes (a folder that was copied, or restored and written
/// to again) encrypt nothing alike.
/// Method: a log that ended cleanly or not is opened twice from copies, with what another process would
/// draw; both write other things in the same places.
pub(crate) fn check_copies(seed: u64) -> Result<(), String> {
    let random = &mut Random::new(seed);
    let original = MemoryDisk::new();
    let (mut engine, ..) =
        open(&original, encrypted(1, 2)).expect("there is power").expect("an empty disk");
    let mut streams = KeyStreams::default();
    write_some(&mut engine, &original, random, &mut streams)?;
    match random.one_in(2) {
        true => drive(engine.close()).expect("there is power").expect("a sound disk"),
        false => drop(engine),
    }
    for process in [3, 4] {
        let copy = original.power_cut(|_, _| true);
        let opened = open(&copy, encrypted(1, process)).expect("there is power");
        let (mut engine, ..) = opened.map_err(|error| format!("seed {seed}: {error}"))?;
        for _ in 0..4 {
            let written = write_some(&mut engine, &copy, random, &mut streams);
            written.map_err(|error| format!("seed {seed}, process {process}: {error}"))?;
        }
    }
    Ok(())
}

/// Gives the record at `location` a checksum that matches, as whoever can write to the disk can.
fn forge(disk: &MemoryDisk, location: Location, incarnation: u64, mut bytes: Vec<u8>) {
    let mut covered = incarnation.to_le_bytes().to_vec();
    covered.extend_from_slice(&location.segment.to_le_bytes());
    covered.extend_from_slice(&location.offset.to_le_bytes());
    covered.extend_from_slice(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc32fast::hash(&covered).to_le_bytes());
    disk.overwrite(Area::Segment(location.segment), location.offset as usize, &bytes);
}

/// Goal: what somebody else has put on the disk is not taken for what was written there.
/// Method: a record is put in another's place, or one of its fields is changed, with a checksum that
/// matches; then it is read.
pub(crate) fn check_forgery(seed: u64) -> Result<(), String> {
    let random = &mut Random::new(seed);
    let disk = MemoryDisk::new();
    let (engine, ..) =
        open(&disk, encrypted(1, 2)).expect("there is power").expect("an empty disk");
    let incarnation = engine.status().incarnation;
    let mut life = Life::new(engine, Ledger::default());
    let mut records = Vec::new();
    for _ in 0..6 {
        let payload: Vec<u8> = (0..100).map(|_| random.next() as u8).collect();
        records.push(life.append_payload(&payload)?);
        life.settle()?;
    }
    let bytes_at = |location: Location| {
        let start = location.offset as usize;
        let bytes = disk.bytes(Area::Segment(location.segment));
        bytes[start..start + location.size as usize].to_vec()
    };
    let originals: Vec<Vec<u8>> = records.iter().map(|location| bytes_at(*location)).collect();
    let mut check = |forged: Location, what: &str| {
        life.engine.read(forged);
        let events = life.settle()?;
        match &events[..] {
            [Event::Read { result: Err(error), .. }] if error.to_string().contains("key") => Ok(()),
            other => Err(format!("seed {seed}: {what}, and it was read: {other:?}")),
        }
    };
    for (one, other) in [(0, 1), (2, 5), (4, 3)] {
        forge(&disk, records[other], incarnation, originals[one].clone());
        check(records[other], "a record was put in another's place")?;
        // Position, stamp and commit, each of which is one byte and can have other values.
        let mut changed = originals[one].clone();
        changed[7 + random.below(4) as usize] ^= 8;
        forge(&disk, records[one], incarnation, changed);
        check(records[one], "a field was changed")?;
    }
    Ok(())
}

/// Goal: whenever the power fails while the root key is changed, the old key or the new one opens the
/// folder, with all that was in it; the change can be made again; and when it has ended well, the old key
/// opens nothing any more, whichever copy is lost later.
/// Method: the change is stopped at every completion; there every sector in turn is the last to survive,
/// the first, the only one, and the only one lost; and then all that was being written is garbage. Returns
/// how many cuts were made.
pub(crate) fn check_rotation(seed: u64) -> Result<u64, String> {
    let random = &mut Random::new(seed);
    let (disk, ledger) = sound_log(Dress::ENCRYPTED, random, 1 + seed % 2, 4);
    let (old, new) = (encryption(1, 2).root, encryption(9, 7));
    let mut cuts = 0;
    for completions in 0.. {
        let disk = disk.power_cut(|_, _| true);
        disk.fail_power_after(completions);
        let rotated = drive(Engine::rotate_key(Box::new(disk.clone()), &old, &new));
        if let Some(rotated) = rotated {
            rotated.map_err(|error| format!("seed {seed}: {error}"))?;
            for copy in [0, 4096] {
                let damaged = disk.power_cut(|_, _| false);
                damaged.overwrite(Area::Super, copy + 100, &[0xbd; 100]);
                let keys = opens_with(&damaged, &ledger)?;
                if keys != [false, true] {
                    return Err(format!("seed {seed}: at last {keys:?} of old and new open it"));
                }
            }
            return Ok(cuts);
        }
        let patterns = Pattern::all(disk.unsynced()).map(|pattern| pattern.cut(&disk));
        for (index, cut) in patterns.chain([garbled(&disk)]).enumerate() {
            let fail = |error: String| {
                format!("seed {seed}, cut {index} after {completions} completions: {error}")
            };
            let keys = opens_with(&cut.power_cut(|_, _| true), &ledger).map_err(fail)?;
            if keys[0] == keys[1] {
                return Err(fail(format!("{keys:?} of old and new open it")));
            }
            let again = drive(Engine::rotate_key(Box::new(cut.clone()), &old, &new));
            let again = again.expect("the power is back");
            again.map_err(|error| fail(format!("once more: {error}")))?;
            if opens_with(&cut, &ledger).map_err(fail)? != [false, true] {
                return Err(fail("once more, and the old key opens it still".to_owned()));
            }
            cuts += 1;
        }
    }
    Ok(cuts)
}

/// What a drive leaves that loses a sector which it was writing.
fn garbled(disk: &MemoryDisk) -> MemoryDisk {
    let mut lost = Vec::new();
    let cut = disk.power_cut(|area, sector| {
        lost.push((area, sector));
        false
    });
    for (area, sector) in lost {
        cut.overwrite(area, sector * SECTOR_SIZE, &[0xbd; SECTOR_SIZE]);
    }
    cut
}

/// Whether the old and the new root key open it; with either, all is there.
fn opens_with(disk: &MemoryDisk, ledger: &Ledger) -> Result<[bool; 2], String> {
    let mut answers = [false; 2];
    for (answer, root) in answers.iter_mut().zip([1, 9]) {
        let mut replayed = Replayed::default();
        let disk = Box::new(disk.power_cut(|_, _| true));
        let opened = drive(Engine::open(disk, encrypted(root, 5), &mut replayed));
        match opened.expect("there is power") {
            Ok(_) => {
                check_prefix(&mut ledger.clone(), &replayed)?;
                *answer = true;
            }
            Err(EngineError::KeyWrong { .. }) => (),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(answers)
}

/// Goal: a log of compressed values knows how much of it is garbage.
/// Method: values that take more than the whole log before they are compressed, and little of it after,
/// are put again and again, until room has to be made: it must be known where.
pub(crate) fn check_room(seed: u64) -> Result<(), String> {
    const KEY_COUNT: u64 = 300;
    const VALUE_SIZE: usize = 4_000;
    let random = &mut Random::new(seed);
    let options = Options { log_size_max: 15 * SEGMENT_SIZE, ..options(Dress::ALL[1]) };
    let disk = Box::new(MemoryDisk::new());
    let engine = drive(Engine::create(disk, options, identity())).expect("there is power");
    let mut engine = engine.expect("an empty disk");
    let mut store = Store::new(StoreOptions {
        tier: Tier::BackedByLog,
        memory_bytes_max: 20_000,
        eviction: Eviction::Lru,
        slot_of: keep::slot_of,
    });
    let mut position = 0;
    while compaction::ROOM_LOW_SEGMENTS * SEGMENT_SIZE <= engine.room() {
        position += 1;
        let key = random.below(KEY_COUNT).to_le_bytes();
        let (mut batch, value) = (BatchBuilder::new(&[]), [position as u8; VALUE_SIZE]);
        batch.put(&key, &value, 0);
        let payload = batch.finish();
        let (kind, stamp) = (RecordKind::Entry, [0, 0]);
        let record = Record { kind, stream: 0, position, stamp, commit: 0, payload: &payload };
        let (_, location) = engine.append(&record).map_err(|error| error.to_string())?;
        if position % 64 == 0 {
            settle(&mut engine).map_err(|error| error.to_string())?;
        }
        store.put(keep::slot_of(&key), &key, &value, position, 0, Some((location, 0)));
    }
    let plain = store.len() as u64 * VALUE_SIZE as u64;
    assert!(15 * SEGMENT_SIZE < plain, "that is the point, not {plain} bytes");
    let situation = compaction::situation(&engine, &store, &BTreeSet::new(), 0);
    let need = compaction::need(&situation);
    let victims = compaction::victims(&engine, &store, &BTreeSet::new(), 0, SEGMENT_SIZE);
    match need {
        Need::Space(_) if !victims.is_empty() => Ok(()),
        _ => Err(format!("seed {seed}: {need:?}, {victims:?} in {situation:?}")),
    }
}
