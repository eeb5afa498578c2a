//! A damaged data directory: a sound log is made, the input says which bytes of it to change, and the
//! engine opens what is left. It must not panic, must hand on only records that were appended, and
//! must not open as if nothing had happened when something is missing.
#![no_main]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use evenkeel_engine::disk::memory::MemoryDisk;
use evenkeel_engine::disk::{Area, BLOCK_SIZE};
use evenkeel_engine::keys::{Encryption, RootKey, Seed};
use evenkeel_engine::{Engine, Identity, Location, Options, Record, RecordKind, Replay};
use libfuzzer_sys::fuzz_target;

const RECORD_COUNT: u64 = 40;
/// A header's checksum covers what is behind it, up to here.
const CHUNK_HEADER_SIZE: usize = 128;

/// What recovery handed on: position to payload.
#[derive(Default)]
struct Found(BTreeMap<u64, Vec<u8>>);

impl Replay for Found {
    fn record(&mut self, record: &Record<'_>, _location: Location) {
        self.0.insert(record.position, record.payload.to_vec());
    }
}

/// Eight bytes of input: where, what, and whether the damage is hidden behind a right checksum.
struct Change {
    in_superblock: bool,
    offset: usize,
    flip: u8,
    hide: bool,
}

fuzz_target!(|input: &[u8]| {
    // What is left of the last eight bytes says how payloads are stored.
    let dress = input.len() % 4;
    let disk = sound_log(dress);
    let changes: Vec<Change> = input.chunks_exact(8).map(change).collect();
    for change in &changes {
        apply(&disk, change);
    }
    let mut found = Found::default();
    let strict = finish(Engine::open(Box::new(disk.clone()), options(dress, false), &mut found)).is_ok();
    for (position, payload) in &found.0 {
        assert_eq!(*payload, payload_of(*position), "a record that nobody appended");
    }
    // Changes to the superblock, or hidden ones, may make the log look older than it is.
    let honest = changes.iter().all(|change| !change.in_superblock && !change.hide);
    if strict && honest {
        assert_eq!(found.0.len() as u64, RECORD_COUNT, "an acknowledged record is silently gone");
    }
    if !strict {
        let mut found = Found::default();
        let _may_fail = finish(Engine::open(Box::new(disk), options(dress, true), &mut found));
        for (position, payload) in &found.0 {
            assert_eq!(*payload, payload_of(*position), "a record that nobody appended");
        }
    }
});

fn options(dress: usize, serve_with_holes: bool) -> Options {
    let (root, seed) = (RootKey::new([1; 32]), Seed::new([2; 32]));
    Options {
        compress: dress & 1 != 0,
        encryption: (dress & 2 != 0).then_some(Encryption { root, seed }),
        segment_size: evenkeel_engine::limits::SEGMENT_SIZE_MIN,
        serve_with_holes,
        ..Options::default()
    }
}

fn payload_of(position: u64) -> Vec<u8> {
    vec![position as u8; 1 + (position as usize * 997) % 6000]
}

/// A log in which every record was acknowledged, in several chunks, stopped cleanly.
fn sound_log(dress: usize) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let identity = Identity { cluster: 1, node: 2, name: "node".to_owned() };
    let mut engine = finish(Engine::create(Box::new(disk.clone()), options(dress, false), identity))
        .expect("an empty disk takes a log");
    for position in 1..=RECORD_COUNT {
        let payload = payload_of(position);
        let record = Record {
            kind: RecordKind::Entry,
            stream: 3,
            position,
            stamp: [1, 2],
            commit: position - 1,
            payload: &payload,
        };
        let (sequence, _) = engine.append(&record).expect("there is room");
        let mut events = Vec::new();
        while position % 7 == 0 && engine.durable() < sequence {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(result) = engine.poll(&mut context, &mut events) {
                result.expect("a sound disk");
            }
        }
    }
    finish(engine.close()).expect("a sound disk");
    disk
}

fn change(bytes: &[u8]) -> Change {
    let word = |range: std::ops::Range<usize>| {
        bytes[range].iter().fold(0usize, |word, &byte| word << 8 | usize::from(byte))
    };
    Change {
        in_superblock: bytes[0] & 1 == 1,
        hide: bytes[0] & 2 == 2,
        offset: word(1..5),
        flip: bytes[5],
    }
}

fn apply(disk: &MemoryDisk, change: &Change) {
    let area = if change.in_superblock { Area::Super } else { Area::Segment(1) };
    let mut bytes = disk.bytes(area);
    let offset = change.offset % bytes.len();
    bytes[offset] ^= change.flip;
    disk.overwrite(area, offset, &bytes[offset..=offset]);
    if change.hide {
        let block = offset / BLOCK_SIZE * BLOCK_SIZE;
        let covered = if change.in_superblock { BLOCK_SIZE } else { CHUNK_HEADER_SIZE };
        let checksum = crc32fast::hash(&bytes[block + 4..block + covered]);
        disk.overwrite(area, block, &checksum.to_le_bytes());
    }
}

/// A memory disk never makes anyone wait for long.
fn finish<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
