//! Single faults and odd states, each with what the engine says to it.

use std::io;

use evenkeel_engine::disk::memory::{Kind, MemoryDisk};
use evenkeel_engine::disk::{Area, BLOCK_SIZE};
use evenkeel_engine::limits::ASIDE_PENDING_SIZE_MAX;
use evenkeel_engine::{
    Checkpoint, Engine, EngineError, Event, Options, Record, RecordKind, Sequence,
};

use crate::model::damage::sound_log;
use crate::model::{Dress, Ledger, Life, Random, Replayed, drive, identity, open, room, settle};

fn options() -> Options {
    crate::model::options(Dress::PLAIN)
}

fn fresh() -> (MemoryDisk, Life) {
    let disk = MemoryDisk::new();
    let (engine, ..) = open(&disk, options()).expect("there is power").expect("an empty disk");
    (disk, Life::new(engine, Ledger::default()))
}

fn open_error(disk: &MemoryDisk) -> EngineError {
    let mut replayed = Replayed::default();
    let opened = drive(Engine::open(Box::new(disk.clone()), options(), &mut replayed));
    opened.expect("there is power").expect_err("it cannot be opened")
}

#[test]
fn a_clean_stop_goes_on_where_it_ended() {
    let mut random = Random::new(1);
    let (disk, ledger) = sound_log(Dress::PLAIN, &mut random, 1, 4);
    let (engine, opened, replayed) =
        open(&disk, options()).expect("there is power").expect("a sound log");
    let opened = opened.expect("it was a log");
    assert!(opened.clean && !opened.torn);
    assert_eq!((opened.incarnation, opened.records), (1, ledger.log.len() as u64));
    assert_eq!(opened.identity, identity());
    let last = replayed.0.last().expect("there are records").2;
    let mut life = Life::new(engine, ledger);
    let next = life.append(&mut random).expect("room");
    assert!(last < next && next.segment - last.segment <= 1, "the segment is not sealed");
    assert_eq!(disk.rewrites(), 0);
}

#[test]
fn a_crash_begins_a_new_incarnation_in_a_new_segment() {
    let mut random = Random::new(2);
    let (disk, mut life) = fresh();
    let before = life.append(&mut random).expect("room");
    life.settle().expect("a sound disk");
    let disk = disk.power_cut(|_, _| false);
    let (engine, opened, _) = open(&disk, options()).expect("there is power").expect("a sound log");
    let opened = opened.expect("it was a log");
    assert_eq!((opened.clean, opened.incarnation), (false, 2));
    let mut life = Life::new(engine, life.ledger);
    let after = life.append(&mut random).expect("room");
    assert!(before.segment < after.segment, "{before:?} {after:?}");
}

/// Goal: what a replay has read counts as durable, so it is. Method: a process dies between a record's
/// write and its flush; the next one reads the record; then power is cut. What was written aside
/// meanwhile has claimed all the newest segments.
#[test]
fn the_last_segment_of_the_log_is_flushed_when_it_is_read_again() {
    let mut random = Random::new(8);
    let (disk, mut life) = fresh();
    let first = life.append(&mut random).expect("room");
    life.settle().expect("a sound disk");
    let record = Record {
        kind: RecordKind::Page,
        stream: 1,
        position: 0,
        stamp: [0, 0],
        commit: 0,
        payload: &[7; 6000],
    };
    while life.engine.aside_segment() < first.segment + 6 {
        life.engine.append_aside(&record).expect("room");
        life.settle().expect("a sound disk");
    }
    let last = life.append_payload(b"written, not flushed").expect("room");
    assert_eq!(last.segment, first.segment, "that is the point");
    disk.fail_power_after(1);
    life.settle().expect("nothing fails, nothing ends");
    let mut disk = disk.process_killed();
    for _ in 0..2 {
        let (_, opened, replayed) =
            open(&disk, options()).expect("there is power").expect("a sound log");
        assert_eq!((opened.expect("it was a log").records, replayed.0.len()), (2, 2));
        disk = disk.power_cut(|_, _| false);
    }
}

#[test]
fn what_is_written_aside_first_leaves_the_log_its_first_segment() {
    let mut random = Random::new(16);
    let (disk, mut life) = fresh();
    let (kind, stamp, payload) = (RecordKind::Page, [0, 0], &[7; 6000]);
    let record = Record { kind, stream: 1, position: 0, stamp, commit: 0, payload };
    for _ in 0..20 {
        life.engine.append_aside(&record).expect("room");
        life.append(&mut random).expect("room");
        life.settle().expect("a sound disk");
    }
    assert_ne!(life.engine.aside_segment(), life.engine.log_segment());
    assert_eq!(disk.rewrites(), 0);
    let disk = disk.power_cut(|_, _| false);
    let (.., replayed) = open(&disk, options()).expect("there is power").expect("a sound log");
    assert_eq!(replayed.0.len(), 20);
}

#[test]
fn records_wait_for_one_flush_together() {
    let mut random = Random::new(3);
    let (_disk, mut life) = fresh();
    for _ in 0..10 {
        life.append(&mut random).expect("room");
    }
    assert_eq!(life.engine.durable().0, 0);
    life.settle().expect("a sound disk");
    let status = life.engine.status();
    assert_eq!(status.durable.0, 10);
    assert!(status.flushes <= status.segments, "{status:?}");
}

#[test]
fn appends_may_run_ahead_of_segments_that_are_being_made() {
    let mut random = Random::new(14);
    let (_disk, mut life) = fresh();
    while life.engine.status().pending_bytes < 6 * options().segment_size {
        life.append(&mut random).expect("room");
    }
    life.settle().expect("a sound disk");
    assert_eq!(life.ledger.acknowledged, life.ledger.log.len());
}

#[test]
fn a_read_that_fails_once_is_asked_again() {
    let mut random = Random::new(4);
    let (disk, mut life) = fresh();
    let location = life.append(&mut random).expect("room");
    life.settle().expect("a sound disk");
    disk.fail(Kind::Read, 0, io::ErrorKind::Other);
    let ticket = life.engine.read(location);
    let events = life.settle().expect("reads end nothing");
    let expected = life.ledger.payloads[&1].clone();
    assert_eq!(events, [Event::Read { ticket, result: Ok(expected.into()) }]);
    assert_eq!(life.engine.status().read_retries, 1);
}

#[test]
fn a_damaged_record_is_an_error_and_not_another_record() {
    let (disk, mut life) = fresh();
    let location = life.append_payload(b"precious").expect("room");
    life.settle().expect("a sound disk");
    let last = (location.offset + location.size - 1) as usize;
    disk.overwrite(Area::Segment(location.segment), last, b"X");
    life.engine.read(location);
    let events = life.settle().expect("reads end nothing");
    let [Event::Read { result: Err(error), .. }] = &events[..] else { panic!("{events:?}") };
    let text = error.to_string();
    assert!(text.contains("segment 1") && text.contains("checksum"), "{text}");
}

#[test]
fn a_full_device_refuses_appends_and_serves_reads() {
    let mut random = Random::new(5);
    let (disk, mut life) = fresh();
    disk.limit_room(Some(3 * options().segment_size));
    let mut locations = Vec::new();
    let error = loop {
        match life.append(&mut random) {
            Ok(location) => locations.push(location),
            Err(error) => break error,
        }
        life.settle().expect("a full device ends nothing");
        assert!(locations.len() < 10_000, "it is full at last");
    };
    assert!(error.contains("the log is full"), "{error}");
    assert!(life.engine.status().full);
    let ticket = life.engine.read(locations[0]);
    let events = life.settle().expect("reads go on");
    let expected = life.ledger.payloads[&1].clone();
    assert_eq!(events, [Event::Read { ticket, result: Ok(expected.into()) }]);

    disk.limit_room(None);
    for _ in 0..10 {
        life.engine.tick(); // Somebody waits for room, so it looks soon.
        life.settle().expect("there is room");
    }
    life.append(&mut random).expect("there is room");
}

#[test]
fn a_full_device_can_still_be_opened_and_read() {
    let mut random = Random::new(6);
    let (disk, mut life) = fresh();
    let location = life.append(&mut random).expect("room");
    life.settle().expect("a sound disk");
    let disk = disk.power_cut(|_, _| false);
    disk.limit_room(Some(0));
    let (mut engine, ..) = open(&disk, options()).expect("there is power").expect("a sound log");
    assert!(engine.status().full);
    engine.read(location);
    let events = settle(&mut engine).expect("a sound disk");
    assert!(matches!(&events[..], [Event::Read { result: Ok(_), .. }]), "{events:?}");
    let mut life = Life::new(engine, life.ledger);
    let error = life.append(&mut random).expect_err("no room");
    assert!(error.contains("full"), "{error}");
    drive(life.engine.close()).expect("there is power").expect("nothing to write");
}

/// Goal: a disk that fills up without notice leaves something to give space back with, and when there is
/// room again it is found without being asked for.
#[test]
fn a_log_without_a_limit_keeps_segments_in_reserve() {
    let mut random = Random::new(15);
    let (disk, mut life) = fresh();
    while life.engine.log_segment() < 14 {
        life.append(&mut random).expect("room");
        life.settle().expect("a sound disk");
    }
    let segment_size = options().segment_size;
    disk.limit_room(Some(disk.sizes().iter().map(|(_, size)| size).sum()));
    while !life.engine.status().full {
        life.append(&mut random).expect("there is a reserve");
        life.settle().expect("a full device ends nothing");
    }
    assert!(4 * segment_size <= life.engine.room(), "{} bytes are left", life.engine.room());
    disk.limit_room(None);
    room::until_there_is_room(&mut life).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_young_log_learns_that_the_disk_is_full_no_more() {
    room::check_full_disk(Dress::PLAIN, 17).unwrap_or_else(|error| panic!("{error}"));
}

/// Goal: a segment whose chunks all lost their headers leaves with all others before the log's start.
#[test]
fn a_segment_of_which_nothing_is_known_is_given_up_when_nothing_needs_it() {
    let mut random = Random::new(16);
    let (disk, mut life) = fresh();
    while life.engine.log_segment() < 6 {
        life.append(&mut random).expect("room");
        life.settle().expect("a sound disk");
    }
    let start = life.engine.mark();
    let upto = Sequence(start.sequence.0 - 1);
    let checkpoint = Checkpoint { start, upto, aside_upto: 0, victims: Vec::new() };
    life.engine.commit_checkpoint(checkpoint);
    life.settle().expect("a sound disk");
    for block in (0..options().segment_size as usize).step_by(BLOCK_SIZE) {
        disk.overwrite(Area::Segment(3), block, &[0x55; 512]);
    }
    let disk = disk.power_cut(|_, _| false);
    let (mut engine, ..) = open(&disk, options()).expect("there is power").expect("a sound log");
    engine.give_up_unneeded(|segment| segment == 2);
    settle(&mut engine).expect("a sound disk");
    let kept: Vec<u32> = engine.segments().map(|(segment, _)| segment).collect();
    assert_eq!(kept.first_chunk(), Some(&[2, 6]), "the log begins at 6");
    assert_eq!(engine.status().segments_free, 4, "1, 3, 4 and 5 wait for other numbers");
}

/// Goal: what was being made when the power failed is not written into. Method: files of all sizes
/// behind the log's last one.
#[test]
fn a_segment_that_is_too_short_is_made_anew() {
    for blocks in 0..options().segment_size / BLOCK_SIZE as u64 {
        let mut random = Random::new(blocks + 1);
        let (disk, mut life) = fresh();
        life.append(&mut random).expect("room");
        life.settle().expect("a sound disk");
        let last = life.engine.status().segments as u32;
        let ledger = life.ledger;
        let disk = disk.power_cut(|_, _| true);
        disk.put(Area::Segment(last + 1), blocks * BLOCK_SIZE as u64);
        let opened = open(&disk, options()).expect("there is power");
        let (engine, ..) = opened.unwrap_or_else(|error| panic!("{blocks} blocks: {error}"));
        let mut life = Life::new(engine, ledger);
        for _ in 0..40 {
            life.append_payload(&[7; 5_000]).expect("room");
            life.settle().unwrap_or_else(|error| panic!("{blocks} blocks: {error}"));
        }
        let is_short = |(area, size): &(Area, u64)| {
            matches!(area, Area::Segment(_)) && *size < options().segment_size
        };
        assert!(!disk.sizes().iter().any(is_short), "{blocks} blocks: {:?}", disk.sizes());
    }
}

/// Goal: the pages of one bucket may be larger than what else may wait to be written aside: they are
/// written in one go, or never.
#[test]
fn pages_are_appended_however_many_there_are() {
    let (_, mut life) = fresh();
    let payload = [1; 16 * 1024];
    let mut append = |kind| {
        let (stream, position, stamp, commit) = (1, 0, [0, 0], 0);
        let record = Record { kind, stream, position, stamp, commit, payload: &payload };
        life.engine.append_aside(&record).map(drop)
    };
    let count = 2 * ASIDE_PENDING_SIZE_MAX / payload.len();
    (0..count).for_each(|_| append(RecordKind::Page).expect("all of them"));
    let refused = append(RecordKind::Moved).expect_err("that can wait");
    assert!(matches!(refused, EngineError::Busy { .. }), "{refused}");
    assert!(life.engine.is_busy_aside());
}

#[test]
fn the_log_keeps_to_its_limit() {
    let limit = 2 * options().segment_size;
    let limited = Options { log_size_max: limit, ..options() };
    let disk = MemoryDisk::new();
    let (engine, ..) = open(&disk, limited).expect("there is power").expect("an empty disk");
    let (mut life, mut random) = (Life::new(engine, Ledger::default()), Random::new(7));
    let error = loop {
        if let Err(error) = life.append(&mut random) {
            break error;
        }
        life.settle().expect("a sound disk");
    };
    assert!(error.contains("log_size_max"), "{error}");
    assert_eq!(life.engine.status().segment_bytes, limit);
}

/// Goal: room for what is written again at a start stays granted until there is so much within the limit.
/// Method: a log of twelve segments that is almost full, and six of them owed.
#[test]
fn room_that_was_granted_is_not_taken_back_too_early() {
    let segment = options().segment_size;
    let limited = Options { log_size_max: 12 * segment, ..options() };
    let disk = MemoryDisk::new();
    let (engine, ..) =
        open(&disk, limited.clone()).expect("there is power").expect("an empty disk");
    let (mut life, mut random) = (Life::new(engine, Ledger::default()), Random::new(7));
    while 8 * segment <= life.engine.room() {
        life.append(&mut random).expect("room");
        life.settle().expect("a sound disk");
    }
    let ledger = life.ledger;
    let disk = disk.power_cut(|_, _| false);
    let (mut engine, ..) = open(&disk, limited).expect("there is power").expect("a sound log");
    let (before, low) = (engine.room(), 5 * segment);
    assert!(low <= before && before < 9 * segment, "{before} bytes would be enough by themselves");
    engine.grant_room(6 * segment);
    let room = engine.room();
    assert!(9 * segment <= room && 0 < engine.room_granted(), "{room} bytes");
    let mut life = Life::new(engine, ledger);
    life.append(&mut random).expect("room");
    life.settle().expect("a sound disk");
    assert!(room <= life.engine.room() + segment / 2, "{} of {room} bytes", life.engine.room());
}

#[test]
fn a_newer_format_is_named() {
    let (disk, _) = sound_log(Dress::PLAIN, &mut Random::new(8), 1, 2);
    for copy in [0, 4096] {
        let mut block = disk.bytes(Area::Super)[copy..copy + 4096].to_vec();
        block[12] = 9;
        let checksum = crc32fast::hash(&block[4..]);
        block[..4].copy_from_slice(&checksum.to_le_bytes());
        disk.overwrite(Area::Super, copy, &block);
    }
    let error = open_error(&disk).to_string();
    assert_eq!(error, "SUPER has format 9, this release reads format 3: use the newer release");
}

#[test]
fn a_segment_of_a_newer_format_is_named() {
    let (disk, _) = sound_log(Dress::PLAIN, &mut Random::new(9), 1, 2);
    let mut header = disk.bytes(Area::Segment(1))[..128].to_vec();
    header[8] = 4;
    let checksum = crc32fast::hash(&header[4..]);
    header[..4].copy_from_slice(&checksum.to_le_bytes());
    disk.overwrite(Area::Segment(1), 0, &header);
    let error = open_error(&disk).to_string();
    assert!(error.starts_with("segment-00000001.log has format 4"), "{error}");
}

#[test]
fn a_damaged_log_says_where_and_what_to_do() {
    let (disk, _) = sound_log(Dress::PLAIN, &mut Random::new(10), 1, 4);
    disk.overwrite(Area::Segment(1), 130, &[0xff; 4]);
    let error = open_error(&disk).to_string();
    for part in ["segment-00000001.log at byte 0", "serve_with_holes", "Restore"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_lost_superblock_is_not_an_empty_folder() {
    let (disk, _) = sound_log(Dress::PLAIN, &mut Random::new(11), 1, 2);
    disk.overwrite(Area::Super, 0, &[0; 8192]);
    assert!(matches!(open_error(&disk), EngineError::Superblock { .. }));
    disk.remove(Area::Super);
    assert!(matches!(open_error(&disk), EngineError::Superblock { .. }));
    let created = drive(Engine::create(Box::new(disk), options(), identity()));
    assert!(matches!(created.expect("there is power"), Err(EngineError::NotEmpty)));
}

#[test]
fn a_log_is_made_once() {
    let (disk, _) = sound_log(Dress::PLAIN, &mut Random::new(12), 1, 2);
    let created = drive(Engine::create(Box::new(disk), options(), identity()));
    assert!(matches!(created.expect("there is power"), Err(EngineError::NotEmpty)));
}

#[test]
fn what_can_never_fit_is_refused_with_its_limit() {
    let (_disk, mut life) = fresh();
    let payload = vec![0; 2 * 1024 * 1024];
    let (kind, stamp) = (RecordKind::Item, [0, 0]);
    let record = Record { kind, stream: 0, position: 0, stamp, commit: 0, payload: &payload };
    let error = life.engine.append(&record).expect_err("it is too large").to_string();
    assert!(error.contains("2097152 bytes, the limit is"), "{error}");
    for (segment_size, log_size_max, chunk_size) in
        [(4096, 0, 8192), (48 * 1024 + 1, 0, 8192), (48 * 1024, 1, 8192), (48 * 1024, 0, 1)]
    {
        let options = Options { segment_size, log_size_max, chunk_size, ..Options::default() };
        let created = drive(Engine::create(Box::new(MemoryDisk::new()), options, identity()));
        let created = created.expect("there is power");
        assert!(matches!(created, Err(EngineError::Option { .. })), "{created:?}");
    }
}

#[test]
fn a_tick_notes_how_far_the_log_is_durable_once() {
    let mut random = Random::new(13);
    let (disk, mut life) = fresh();
    life.append(&mut random).expect("room");
    life.settle().expect("a sound disk");
    for _ in 0..3 {
        life.engine.tick();
        life.settle().expect("a sound disk");
    }
    assert_eq!(life.engine.status().watermarks, 1);
    // Now even a lost last chunk is no torn tail.
    let disk = disk.power_cut(|_, _| false);
    disk.overwrite(Area::Segment(1), 0, &[0; 8192]);
    assert!(matches!(open_error(&disk), EngineError::Damaged { .. }));
}

/// Turns a log of this release, of a single segment, into what the first one would have written: the
/// format's number, and with it every checksum down the chain.
fn as_format_1(disk: &MemoryDisk) {
    let seal = |bytes: &mut [u8]| {
        let checksum = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        checksum
    };
    let segment = disk.bytes(Area::Segment(1));
    let (mut offset, mut previous) = (0, 0_u32);
    while offset < segment.len() && segment[offset + 4..offset + 8] == *b"EKCH" {
        let mut header = segment[offset..offset + 128].to_vec();
        let size = u32::from_le_bytes(*header[12..].first_chunk().expect("four bytes"));
        header[8] = 1;
        header[20..24].copy_from_slice(&previous.to_le_bytes());
        previous = seal(&mut header);
        disk.overwrite(Area::Segment(1), offset, &header);
        offset += (128 + size as usize).next_multiple_of(4096);
    }
    for copy in [0, 4096] {
        let mut block = disk.bytes(Area::Super)[copy..copy + 4096].to_vec();
        block[12] = 1;
        block[80..84].copy_from_slice(&previous.to_le_bytes());
        seal(&mut block);
        disk.overwrite(Area::Super, copy, &block);
    }
}

#[test]
fn a_log_of_the_first_format_opens_and_goes_on() {
    let mut random = Random::new(15);
    let (disk, mut life) = fresh();
    for _ in 0..6 {
        life.append_payload(b"as it was").expect("room");
        life.settle().expect("a sound disk");
    }
    let ledger = life.ledger;
    drive(life.engine.close()).expect("there is power").expect("a sound disk");
    as_format_1(&disk);
    let (engine, opened, replayed) =
        open(&disk, options()).expect("there is power").expect("it is read");
    assert!(opened.expect("it was a log").clean);
    assert_eq!(replayed.0.len(), ledger.log.len());
    // What comes now has the new format, in the same segment.
    let mut life = Life::new(engine, ledger);
    life.append(&mut random).expect("room");
    life.settle().expect("a sound disk");
    let count = life.ledger.log.len();
    drop(life);
    let disk = disk.power_cut(|_, _| false);
    let (.., replayed) = open(&disk, options()).expect("there is power").expect("both are read");
    assert_eq!(replayed.0.len(), count);
}
