use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_engine::disk::{Area, BLOCK_SIZE, Buffer, Completion, Disk, Operation, Ticket};

use super::platter::{Change, Platter, Rot, SECTOR_SIZE, Tearing};
use super::{Drive, INCARNATION_AT, SimDisk, Weather};
use crate::coverage::Kind;
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

/// So many flushes that whatever was there before may go bad.
fn build_upon(platter: &mut Platter) {
    for _ in 0..12 {
        do_all(platter, write(1, 15 * BLOCK_SIZE as u64, 1));
        do_all(platter, Change::Flush { area: AREA });
    }
}

/// Goal: rot changes one sector (or, misdirected and stale, one block) and nothing else. Method: each kind,
/// compared with before.
#[test]
fn rot_changes_one_place() {
    for rot in Rot::ALL {
        let mut random = Random::new(4, "rot");
        let mut platter = platter();
        let bytes: Vec<u8> = (0..8 * BLOCK_SIZE).map(|_| random.next_u64() as u8).collect();
        do_all(&mut platter, Change::Write { area: AREA, offset: 0, bytes });
        do_all(&mut platter, Change::Flush { area: AREA });
        build_upon(&mut platter);
        let before = contents(&platter);
        let (_, place) = (0..20).find_map(|_| platter.rot(*rot, &mut random)).unwrap();
        let after = contents(&platter);
        let place = place as usize;
        assert_eq!(before[..place], after[..place]);
        let is_whole = matches!(rot, Rot::Misdirect | Rot::Stale);
        let size = if is_whole { BLOCK_SIZE } else { SECTOR_SIZE };
        assert_eq!(before[place + size..], after[place + size..]);
        assert_ne!(before, after, "{rot:?}");
        let block = place / BLOCK_SIZE * BLOCK_SIZE;
        let bad =
            |platter: &Platter| platter.bad(AREA, block as u64, BLOCK_SIZE).collect::<Vec<_>>();
        assert_eq!(bad(&platter), [*rot], "whoever reads it feels it");
        do_all(&mut platter, write(2, block as u64, 1));
        do_all(&mut platter, Change::Flush { area: AREA });
        assert_eq!(bad(&platter), [], "what is written again is good again");
    }
}

/// Goal: a lost write shows what was there before it. Method: two writes to a block, then the loss.
#[test]
fn a_lost_write_shows_what_was_there_before() {
    let mut platter = platter();
    for byte in [3, 4] {
        do_all(&mut platter, write(byte, 0, 1));
        do_all(&mut platter, Change::Flush { area: AREA });
    }
    build_upon(&mut platter);
    let mut random = Random::new(9, "rot");
    while contents(&platter)[0] == 4 {
        platter.rot(Rot::Stale, &mut random);
    }
    assert!(contents(&platter)[..BLOCK_SIZE].iter().all(|&byte| byte == 3));
}

/// Goal: what no log can tell from a torn write stays whole. Method: try to rot what was flushed last.
#[test]
fn the_end_of_the_log_does_not_rot() {
    let mut platter = platter();
    do_all(&mut platter, write(3, 0, 8));
    do_all(&mut platter, Change::Flush { area: AREA });
    let mut random = Random::new(5, "rot");
    let none = (0..50).all(|_| Rot::ALL.iter().all(|rot| platter.rot(*rot, &mut random).is_none()));
    assert!(none);
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

/// Goal: reads lie to a node that has come up, not to one that still looks for the end of its log; each lie
/// is counted. Method: the same reads before and after.
#[test]
fn reads_lie_only_to_those_who_can_do_without() {
    run(async {
        let drive = Drive::new(&Random::new(1, "disk"));
        let mut disk = drive.open();
        finish(&mut disk, Operation::Create { area: AREA, size: SIZE }).await.result.unwrap();
        for block in 0..2_u8 {
            let offset = u64::from(block) * BLOCK_SIZE as u64;
            let write = Operation::Write { area: AREA, offset, buffer: filled(block + 1) };
            finish(&mut disk, write).await.result.unwrap();
        }
        finish(&mut disk, Operation::Flush { area: AREA }).await.result.unwrap();
        let (flips, astray) = (Kind::ReadFlip, Kind::ReadMisdirected);
        drive.set_weather(Weather {
            read_flips_ppm: 500_000,
            reads_astray_ppm: 500_000,
            ..Weather::default()
        });
        let mut wrong = [0, 0];
        for (serves, wrong) in [false, true].into_iter().zip(&mut wrong) {
            if serves {
                drive.serve();
            }
            for _ in 0..100 {
                let buffer = Buffer::zeroed(BLOCK_SIZE);
                let read = Operation::Read { area: AREA, offset: 0, buffer };
                let buffer = finish(&mut disk, read).await.buffer.unwrap();
                *wrong += u64::from(buffer[..] != filled(1)[..]);
            }
        }
        assert_eq!(wrong[0], 0);
        let felt = drive.felt();
        assert!(wrong[1] > 20 && felt[&flips] > 5 && felt[&astray] > 5, "{wrong:?} {felt:?}");
        assert!(wrong[1] <= felt[&flips] + felt[&astray]);
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
        assert_eq!(drive.felt(), [(Kind::DiskFull, 1), (Kind::FlushError, 1)].into());
        drive.set_weather(Weather { stall: Duration::from_secs(3600), ..Weather::default() });
        disk.submit(Ticket(3), Operation::Flush { area: AREA });
        drive.set_weather(Weather::default());
        assert!(next(&mut disk).await[0].result.is_ok(), "the stall is over");
        assert_eq!(drive.felt()[&Kind::DiskHung], 1);
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
