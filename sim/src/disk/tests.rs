use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_engine::disk::{Area, BLOCK_SIZE, Buffer, Completion, Disk, Operation, Ticket};

use super::platter::{Change, Platter, Rot, SECTOR_SIZE, Tearing};
use super::{Drive, INCARNATION_AT, SimDisk, Weather};
use crate::random::Random;

const AREA: Area = Area::Segment(0);
const SIZE: u64 = 16 * BLOCK_SIZE as u64;

fn platter() -> Platter {
    let mut platter = Platter::new();
    do_all(&mut platter, Change::Create { area: AREA, size: SIZE });
    platter
}

fn do_all(platter: &mut Platter, change: Change) {
    let id = platter.begin(change).unwrap();
    platter.end(id);
}

fn write(byte: u8, offset: u64, blocks: usize) -> Change {
    Change::Write { area: AREA, offset, bytes: vec![byte; blocks * BLOCK_SIZE] }
}

fn contents(platter: &Platter) -> Vec<u8> {
    let mut buffer = vec![0xff; SIZE as usize];
    platter.read(AREA, 0, &mut buffer).unwrap();
    buffer
}

/// Goal: a completed flush is a promise. Method: many cuts of every kind; the flushed bytes stay.
#[test]
fn what_a_flush_covered_survives_every_power_cut() {
    for (seed, tearing) in (0..100).zip(Tearing::ALL.iter().cycle()) {
        let mut platter = platter();
        do_all(&mut platter, write(7, 0, 2));
        do_all(&mut platter, Change::Flush { area: AREA });
        do_all(&mut platter, write(9, 2 * BLOCK_SIZE as u64, 2));
        platter.power_cut(*tearing, &mut Random::new(seed, "cut"));
        let after = contents(&platter);
        assert!(after[..2 * BLOCK_SIZE].iter().all(|&byte| byte == 7), "seed {seed} {tearing:?}");
        assert!(after[4 * BLOCK_SIZE..].iter().all(|&byte| byte == 0));
    }
}

/// Goal: nothing else is promised. Method: a write that completes after the flush was submitted is not
/// covered by it, and over many seeds every fate is seen: lost, kept, torn, and torn with holes.
#[test]
fn what_no_flush_covered_may_survive_in_any_part() {
    let (mut lost, mut kept, mut prefix, mut holes) = (0, 0, 0, 0);
    for seed in 0..200 {
        let mut platter = platter();
        let flush = platter.begin(Change::Flush { area: AREA }).unwrap();
        do_all(&mut platter, write(5, 0, 2));
        platter.end(flush);
        assert!(contents(&platter)[..2 * BLOCK_SIZE].iter().all(|&byte| byte == 5), "cached");
        platter.power_cut(Tearing::Shuffled, &mut Random::new(seed, "cut"));
        let sectors: Vec<bool> =
            contents(&platter).chunks(SECTOR_SIZE).take(16).map(|sector| sector[0] == 5).collect();
        let count = sectors.iter().filter(|there| **there).count();
        let is_prefix = sectors.iter().take(count).all(|there| *there);
        *(match (count, is_prefix) {
            (0, _) => &mut lost,
            (16, _) => &mut kept,
            (_, true) => &mut prefix,
            (_, false) => &mut holes,
        }) += 1;
    }
    assert!(lost > 20 && kept > 20 && holes > 50, "{lost} {kept} {prefix} {holes}");
}

/// Goal: without a flush between them, the later write may survive alone. Method: two writes, cuts
/// until it happens.
#[test]
fn writes_between_barriers_survive_in_any_order() {
    let happens = (0..100).any(|seed| {
        let mut platter = platter();
        do_all(&mut platter, write(1, 0, 1));
        do_all(&mut platter, write(2, BLOCK_SIZE as u64, 1));
        platter.power_cut(Tearing::Shuffled, &mut Random::new(seed, "cut"));
        let after = contents(&platter);
        after[0] == 0 && after[BLOCK_SIZE] == 2
    });
    assert!(happens);
}

/// Goal: a failed flush is not mended by a second one. Method: fail, flush again, cut: gone, although
/// reads had shown the bytes all the time.
#[test]
fn a_second_flush_does_not_mend_a_failed_one() {
    let mut platter = platter();
    do_all(&mut platter, write(3, 0, 1));
    let flush = platter.begin(Change::Flush { area: AREA }).unwrap();
    platter.fail(flush);
    do_all(&mut platter, Change::Flush { area: AREA });
    assert_eq!(contents(&platter)[0], 3);
    platter.power_cut(Tearing::KeepAll, &mut Random::new(1, "cut"));
    assert_eq!(contents(&platter)[0], 0);
}

/// Goal: bounds and names are checked. Method: one wrong request of each kind.
#[test]
fn wrong_requests_are_errors() {
    let mut platter = platter();
    let again = platter.begin(Change::Create { area: AREA, size: SIZE });
    assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    let beyond = platter.begin(write(1, SIZE, 1));
    assert_eq!(beyond.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    let nowhere = platter.begin(Change::Flush { area: Area::Super });
    assert_eq!(nowhere.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

/// Goal: rot changes one sector (or, misdirected, one block) and nothing else. Method: each kind, compared with before.
#[test]
fn rot_changes_one_place() {
    for rot in Rot::ALL {
        let mut random = Random::new(4, "rot");
        let mut platter = platter();
        let bytes: Vec<u8> = (0..8 * BLOCK_SIZE).map(|_| random.next_u64() as u8).collect();
        do_all(&mut platter, Change::Write { area: AREA, offset: 0, bytes });
        do_all(&mut platter, Change::Flush { area: AREA });
        let before = contents(&platter);
        let (_, place) = (0..20).find_map(|_| platter.rot(*rot, &mut random)).unwrap();
        let after = contents(&platter);
        let place = place as usize;
        assert_eq!(before[..place], after[..place]);
        let size = if *rot == Rot::Misdirect { BLOCK_SIZE } else { SECTOR_SIZE };
        assert_eq!(before[place + size..], after[place + size..]);
        assert!(*rot == Rot::Misdirect || before != after, "{rot:?}");
    }
}

async fn next(disk: &mut SimDisk) -> Vec<Completion> {
    let mut completions = Vec::new();
    poll_fn(|context| disk.poll(context, &mut completions)).await;
    completions
}

async fn finish(disk: &mut SimDisk, operation: Operation) -> Completion {
    disk.submit(Ticket(1), operation);
    next(disk).await.pop().unwrap()
}

fn filled(byte: u8) -> Buffer {
    let mut buffer = Buffer::zeroed(BLOCK_SIZE);
    buffer.fill(byte);
    buffer
}

fn run(test: impl Future<Output = ()>) {
    #[cfg(not(madsim))]
    evenkeel_runtime::block_on(test);
    #[cfg(madsim)]
    drop(test);
}

/// Goal: the drive works as the engine expects. Method: create, write, flush, read back.
#[test]
fn a_healthy_drive_gives_back_what_it_got() {
    run(async {
        let drive = Drive::new(&Random::new(1, "disk"));
        let mut disk = drive.open();
        assert!(
            finish(&mut disk, Operation::Create { area: AREA, size: SIZE }).await.result.is_ok()
        );
        let write = Operation::Write { area: AREA, offset: 0, buffer: filled(6) };
        assert!(finish(&mut disk, write).await.result.is_ok());
        assert!(finish(&mut disk, Operation::Flush { area: AREA }).await.result.is_ok());
        drive.power_cut(Tearing::LoseAll);
        let mut disk = drive.open();
        assert_eq!(disk.areas().unwrap(), [(AREA, SIZE)]);
        let read = Operation::Read { area: AREA, offset: 0, buffer: Buffer::zeroed(BLOCK_SIZE) };
        assert_eq!(finish(&mut disk, read).await.buffer.unwrap()[..], filled(6)[..]);
        assert_eq!(drive.counts()["write"], 1);
    });
}

/// Goal: a dead node cannot write. Method: its disk takes a write after the power cut, and is dropped.
#[test]
fn a_disk_of_an_older_incarnation_is_cut_off() {
    run(async {
        let drive = Drive::new(&Random::new(1, "disk"));
        let mut old = drive.open();
        finish(&mut old, Operation::Create { area: AREA, size: SIZE }).await.result.unwrap();
        drive.power_cut(Tearing::LoseAll);
        old.submit(Ticket(2), Operation::Write { area: AREA, offset: 0, buffer: filled(1) });
        assert!(old.areas().is_err());
        drop(old);
        assert_eq!(contents(&drive.platter())[0], 0);
    });
}

/// Goal: errors, a full drive, and the end of a stall reach the caller. Method: each once.
#[test]
fn bad_weather_reaches_the_caller() {
    run(async {
        let drive = Drive::new(&Random::new(1, "disk"));
        let mut disk = drive.open();
        drive.set_weather(Weather { size_max: SIZE, ..Weather::default() });
        finish(&mut disk, Operation::Create { area: AREA, size: SIZE }).await.result.unwrap();
        let full = Operation::Create { area: Area::Segment(1), size: SIZE };
        let error = finish(&mut disk, full).await.result.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        drive.set_weather(Weather { flush_errors_ppm: 1_000_000, ..Weather::default() });
        assert!(finish(&mut disk, Operation::Flush { area: AREA }).await.result.is_err());
        drive.set_weather(Weather { stall: Duration::from_secs(3600), ..Weather::default() });
        disk.submit(Ticket(3), Operation::Flush { area: AREA });
        drive.set_weather(Weather::default());
        assert!(next(&mut disk).await[0].result.is_ok(), "the stall is over");
    });
}

/// Goal: an engine that goes on after a crash where it was before is caught, whatever survived.
#[test]
#[should_panic(expected = "incarnation 7 writes other bytes over block 1 of Segment(1)")]
fn other_bytes_at_a_place_of_the_same_incarnation_are_seen() {
    let mut state = Drive::new(&Random::new(1, "disk")).0;
    let state = Rc::get_mut(&mut state).unwrap().get_mut();
    let chunk = |incarnation: u8, fill: u8| {
        let mut bytes = vec![fill; 2 * BLOCK_SIZE];
        bytes[..BLOCK_SIZE].fill(0);
        bytes[INCARNATION_AT] = incarnation;
        bytes
    };
    state.note_write(Area::Super, 0, &chunk(6, 1));
    state.note_write(Area::Super, 0, &chunk(6, 2));
    state.note_write(Area::Segment(1), 0, &chunk(6, 1));
    state.note_write(Area::Segment(1), 0, &chunk(6, 1));
    state.note_write(Area::Segment(1), 0, &chunk(7, 2)); // A later one, where nothing survived.
    state.note_write(Area::Segment(1), 0, &chunk(7, 3));
}
