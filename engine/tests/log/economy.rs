//! What keeping values costs in bytes written, by counting them.

use std::collections::BTreeSet;

use evenkeel_engine::batch::BatchBuilder;
use evenkeel_engine::compaction::{self, Need};
use evenkeel_engine::disk::memory::MemoryDisk;
use evenkeel_engine::store::{Eviction, Rebase, Store, StoreOptions, Tier};
use evenkeel_engine::{Checkpoint, Engine, Event, Options, Record, RecordKind};

use crate::model::{Random, drive, identity, settle};

/// So few that a bucket of the index has about as many keys as it has on a node with a million.
const SLOT_COUNT: u16 = 1024;
const VALUE_SIZE: usize = 1024;
const SEGMENT_SIZE: u64 = 512 * 1024;
/// Writes that share a flush, as they do on a node that has something to do.
const GROUP_SIZE: u64 = 61;

fn slot_of(key: &[u8]) -> u16 {
    let number = u32::from_le_bytes(*key.first_chunk().expect("keys are numbers"));
    (number.wrapping_mul(0x9e37_79b9) >> 22) as u16
}

/// Draws ranks from a Zipf distribution by its cumulative weights.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(count: usize, exponent: f64) -> Zipf {
        let mut sum = 0.0;
        let weights = (1..=count).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Zipf(weights.collect())
    }

    fn draw(&self, random: &mut Random) -> u32 {
        let sum = self.0.last().expect("there are keys");
        let at = (random.next() >> 11) as f64 / (1_u64 << 53) as f64 * sum;
        self.0.partition_point(|weight| *weight < at) as u32
    }
}

struct Keys {
    engine: Engine,
    store: Store,
    versions: u64,
    written: u64,
    pages: u64,
    moved: u64,
}

impl Keys {
    fn put(&mut self, key: u32) {
        let key = key.to_le_bytes();
        let mut batch = BatchBuilder::new(&[]);
        let value = [key[0]; VALUE_SIZE];
        batch.put(&key, &value, 0);
        let payload = batch.finish();
        self.versions += 1;
        let (kind, position) = (RecordKind::Entry, self.versions);
        let record =
            Record { kind, stream: 0, position, stamp: [1, 1], commit: 0, payload: &payload };
        let (_, location) = self.engine.append(&record).expect("there is room");
        self.store.put(slot_of(&key), &key, &value, position, 0, Some((location, 0)));
        self.written += u64::from(location.size);
    }

    fn compact(&mut self) {
        let need = compaction::need(&compaction::situation(
            &self.engine,
            &self.store,
            &BTreeSet::new(),
            0,
        ));
        let victims = match need {
            Need::Nothing => return,
            Need::Checkpoint => Vec::new(),
            Need::Space(wanted) => {
                compaction::victims(&self.engine, &self.store, &BTreeSet::new(), 0, wanted)
            }
        };
        for &victim in &victims {
            let mut next = Some(0);
            while let Some(offset) = next {
                self.engine.scan(victim, offset);
                let events = settle(&mut self.engine).expect("a sound disk");
                let piece = events.into_iter().find_map(|event| match event {
                    Event::Scanned { piece, .. } => Some(piece),
                    _ => None,
                });
                let piece = piece.expect("scans end");
                let (engine, store) = (&mut self.engine, &mut self.store);
                let mut moved = 0;
                piece.records(|record, location| {
                    let slots = 0..SLOT_COUNT;
                    let bytes =
                        compaction::relocate(engine, store, record, location, &slots, slot_of);
                    moved += bytes.expect("there is room");
                });
                self.moved += moved;
                next = piece.next;
            }
        }
        self.checkpoint(victims);
    }

    fn checkpoint(&mut self, mut victims: Vec<u32>) {
        let start = self.engine.mark();
        victims.retain(|victim| !self.store.live_bytes().contains_key(victim));
        let engine = &mut self.engine;
        let mut append = |page: &[u8]| {
            if engine.status().pending_bytes > 3 << 20 {
                settle(engine).expect("a sound disk");
            }
            engine.append_aside(&record(RecordKind::Page, page)).map(|(_, location)| location)
        };
        let mut rebase = Rebase::up_to(SEGMENT_SIZE / 2);
        let pages = self.store.write_pages(&(0..SLOT_COUNT), &mut rebase, &mut append);
        self.pages += pages.expect("there is room");
        let list = self.store.page_list(&(0..SLOT_COUNT));
        let mut upto = evenkeel_engine::Sequence(0);
        for part in list.chunks(32 * 1024) {
            upto = engine.append(&record(RecordKind::State, part)).expect("there is room").0;
        }
        let aside_upto = engine.aside_appended();
        engine.commit_checkpoint(Checkpoint { start, upto, aside_upto, victims });
        settle(engine).expect("a sound disk");
        assert!(!engine.is_committing(), "a checkpoint takes effect");
    }
}

fn record(kind: RecordKind, payload: &[u8]) -> Record<'_> {
    Record { kind, stream: 0, position: 0, stamp: [0, 0], commit: 0, payload }
}

/// Goal: know the write amplification in a log that is 80 % full, under Zipf 0.99; the aim is 1.5, and
/// it is not met: this was 3.0 when it was measured last, since moved values of all ages share one lane and
/// so small a log has a good part of its slack in segments that are open or held back.
/// Method: values of 1 KiB are put until the log is as full as that, then overwritten once and a half as
/// often; every byte that the engine writes into segments is counted: headers, padding, what is moved,
/// and checkpoints.
#[test]
#[ignore = "takes half a minute; run it to measure"]
fn write_amplification_in_a_log_that_is_80_percent_full_is_known() {
    let key_count = 80_000_usize;
    let live = key_count as u64 * (VALUE_SIZE as u64 + 32);
    let log_size_max = (live * 10 / 8).next_multiple_of(SEGMENT_SIZE);
    let options = Options {
        segment_size: SEGMENT_SIZE,
        chunk_size: 128 * 1024,
        log_size_max,
        ..Options::default()
    };
    let disk = MemoryDisk::new();
    let created = drive(Engine::create(Box::new(disk), options, identity()));
    let engine = created.expect("there is power").expect("an empty disk");
    let mut store = Store::new(StoreOptions {
        tier: Tier::BackedByLog,
        memory_bytes_max: 0,
        eviction: Eviction::Fifo,
        slot_of,
    });
    store.track_changes(&[0..SLOT_COUNT / 2, SLOT_COUNT / 2..SLOT_COUNT]);
    let mut keys = Keys { engine, store, versions: 0, written: 0, pages: 0, moved: 0 };
    for key in 0..key_count as u32 {
        keys.put(key);
        if (u64::from(key) + 1).is_multiple_of(GROUP_SIZE) {
            settle(&mut keys.engine).expect("a sound disk");
            keys.compact();
        }
    }
    let zipf = Zipf::new(key_count, 0.99);
    let mut random = Random::new(1);
    let mut scattered: Vec<u32> = (0..key_count as u32).collect();
    for index in (1..key_count).rev() {
        scattered.swap(index, random.below(index as u64 + 1) as usize);
    }
    let before = keys.engine.status();
    (keys.written, keys.pages, keys.moved) = (0, 0, 0);
    for count in 0..key_count as u64 * 3 / 2 {
        keys.put(scattered[zipf.draw(&mut random) as usize]);
        if (count + 1).is_multiple_of(GROUP_SIZE) {
            settle(&mut keys.engine).expect("a sound disk");
            keys.compact();
        }
    }
    let after = keys.engine.status();
    let log = after.chunk_bytes - before.chunk_bytes;
    let aside = after.aside_bytes - before.aside_bytes;
    let amplification = (log + aside) as f64 / keys.written as f64;
    println!(
        "written {} log {log} aside {aside} (moved {}, pages {}), {} checkpoints: {amplification:.3}",
        keys.written,
        keys.moved,
        keys.pages,
        after.checkpoints - before.checkpoints,
    );
    assert!(amplification <= 3.1, "{amplification}");
}
