//! Keys in a log that is compacted, beside the list of what was done to them: after anything, the keys
//! are what some prefix of the writes made of them, no acknowledged write is missing, and every value
//! can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use evenkeel_engine::batch::{Batch, BatchBuilder, Operation};
use evenkeel_engine::compaction;
use evenkeel_engine::disk::memory::MemoryDisk;
use evenkeel_engine::store::{Eviction, Rebase, Store, StoreOptions, Tier};
use evenkeel_engine::{
    Checkpoint, Engine, EngineError, Event, Location, Options, Record, RecordKind, Replay, Sequence,
};

use super::power::Pattern;
use super::{Dress, Random, drive, identity, settle};

pub(crate) mod scrub;

const SHARDS: [Range<u16>; 2] = [0..40, 40..100];
const KEY_COUNT: u64 = 24;
const SEGMENT_SIZE: u64 = 32 * 1024;

pub(crate) fn slot_of(key: &[u8]) -> u16 {
    u16::from(key[0]) * 7 % 100
}

fn shard_of(key: &[u8]) -> usize {
    usize::from(SHARDS[1].contains(&slot_of(key)))
}

pub(crate) fn options(dress: Dress) -> Options {
    dress.wear(Options {
        segment_size: SEGMENT_SIZE,
        chunk_size: 8 * 1024,
        log_size_max: 15 * 32 * 1024,
        ..Options::default()
    })
}

fn store() -> Store {
    let mut store = Store::new(StoreOptions {
        tier: Tier::BackedByLog,
        memory_bytes_max: 20_000, // Some values in memory, some in the log only.
        eviction: Eviction::S3Fifo,
        slot_of,
    });
    store.track_changes(&SHARDS);
    store
}

/// One write of one shard: what becomes of keys. `None`: gone.
type Write = Vec<(Vec<u8>, Option<(Vec<u8>, u64)>)>;

/// What was ever appended, by shard, and how much of it was acknowledged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal {
    writes: [Vec<Write>; 2],
    acknowledged: [usize; 2],
}

/// One shard: the entries that are not applied yet, and how many are.
#[derive(Debug, Clone, Default)]
struct Shard {
    applied: u64,
    open: BTreeMap<u64, (Vec<u8>, Location)>,
}

impl Shard {
    fn apply(&mut self, upto: u64, store: &mut Store) {
        while self.applied < upto
            && let Some((payload, home)) = self.open.remove(&(self.applied + 1))
        {
            self.applied += 1;
            let batch = Batch::decode(&payload).expect("it was encoded here");
            for (index, operation) in (0..).zip(batch.operations()) {
                match operation {
                    Operation::Put { key, value, expires_at_ms } => {
                        let home = Some((home, index));
                        store.put(slot_of(key), key, value, self.applied, expires_at_ms, home);
                    }
                    Operation::Delete { key } => {
                        store.remove(slot_of(key), key);
                    }
                }
            }
        }
    }
}

/// A running log with its keys.
pub(crate) struct Keeper {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    shards: [Shard; 2],
    pub(crate) journal: Journal,
    /// Sequences of entries: (shard, position).
    sequences: BTreeMap<u64, (usize, u64)>,
    /// The power has failed, or the log is full.
    pub(crate) over: bool,
}

struct Recovery {
    store: Store,
    shards: [Shard; 2],
    begun: [bool; 2],
    wanted: Vec<Location>,
    problem: Option<String>,
}

impl Replay for Recovery {
    fn checkpoint(&mut self) {
        self.begun = [false; 2];
    }

    fn record(&mut self, record: &Record<'_>, location: Location) {
        let number = record.stream as usize;
        let shard = &mut self.shards[number];
        match record.kind {
            // A later one belongs to a checkpoint that never came into effect.
            RecordKind::State if !self.begun[number] => {
                self.begun[number] = true;
                *shard = Shard { applied: record.position, ..Shard::default() };
                match self.store.adopt_pages(&SHARDS[number], record.payload) {
                    Some(wanted) => self.wanted = wanted,
                    None => self.problem = Some("a list of pages is none".to_owned()),
                }
            }
            RecordKind::Entry if self.begun[number] && shard.applied < record.position => {
                shard.open.insert(record.position, (record.payload.to_vec(), location));
                shard.apply(record.commit, &mut self.store);
            }
            _ => (),
        }
    }

    fn wanted(&mut self) -> Vec<Location> {
        std::mem::take(&mut self.wanted)
    }

    fn fetched(&mut self, record: &Record<'_>, location: Location) {
        if record.kind != RecordKind::Page || self.store.restore_page(record.payload).is_none() {
            self.problem = Some(format!("{location:?} is no page"));
        }
    }
}

impl Keeper {
    /// Opens or makes the log; checks what is in it. `Ok(None)`: no power.
    pub(crate) fn open(
        dress: Dress,
        disk: &MemoryDisk,
        journal: Journal,
    ) -> Result<Option<Keeper>, String> {
        let shards = <[Shard; 2]>::default();
        let (wanted, problem) = (Vec::new(), None);
        let mut recovery = Recovery { store: store(), shards, begun: [true; 2], wanted, problem };
        let opened = drive(Engine::open(Box::new(disk.clone()), options(dress), &mut recovery));
        let engine = match opened {
            None => return Ok(None),
            Some(Ok((engine, _))) => engine,
            Some(Err(EngineError::Empty)) => {
                let made = Engine::create(Box::new(disk.clone()), options(dress), identity());
                let Some(engine) = drive(made) else { return Ok(None) };
                engine.map_err(|error| format!("create: {error}"))?
            }
            Some(Err(error)) => return Err(format!("open: {error}")),
        };
        if let Some(problem) = recovery.problem {
            return Err(problem);
        }
        let Recovery { mut store, mut shards, .. } = recovery;
        for shard in &mut shards {
            shard.apply(u64::MAX, &mut store); // Alone, what was accepted is as good as chosen.
            if !shard.open.is_empty() {
                return Err(format!("after {} there is a hole", shard.applied));
            }
        }
        let (sequences, over) = (BTreeMap::new(), false);
        let mut keeper = Keeper { engine, store, shards, journal, sequences, over };
        let live = keeper.store.live_bytes();
        keeper.engine.give_up_unneeded(|segment| live.contains_key(&segment));
        keeper.check()?;
        Ok(Some(keeper))
    }

    /// What is there is what a prefix of the writes left; the rest is forgotten.
    fn check(&mut self) -> Result<(), String> {
        let mut tickets = Vec::new();
        let mut count = 0;
        for number in 0..SHARDS.len() {
            let applied = self.shards[number].applied as usize;
            let writes = &mut self.journal.writes[number];
            let acknowledged = self.journal.acknowledged[number];
            if applied < acknowledged || writes.len() < applied {
                return Err(format!(
                    "shard {number} has {applied} writes, {acknowledged} of {} were acknowledged",
                    writes.len()
                ));
            }
            writes.truncate(applied);
            self.journal.acknowledged[number] = applied; // The engine flushed them when it opened.
            for (key, (version, value, expires_at_ms)) in expected(writes) {
                let found = self.store.peek(slot_of(&key), &key);
                let found = found.ok_or_else(|| format!("{key:?} is gone"))?;
                if (found.version, found.expires_at_ms) != (version, expires_at_ms) {
                    return Err(format!("{key:?} is {found:?}, not version {version}"));
                }
                let home = self.store.home(slot_of(&key), &key).expect("the log has it");
                tickets.push((self.engine.read(home.0), home.1, key, value));
                count += 1;
            }
        }
        if count != self.store.len() {
            return Err(format!("{} keys are there, not {count}", self.store.len()));
        }
        let events = settle(&mut self.engine).map_err(|error| error.to_string())?;
        let mut answers: BTreeMap<_, _> = events
            .into_iter()
            .filter_map(|event| match event {
                Event::Read { ticket, result } => Some((ticket, result)),
                _ => None,
            })
            .collect();
        for (ticket, index, key, value) in tickets {
            let Some(answer) = answers.remove(&ticket) else { return Ok(()) }; // No power.
            let payload = answer.map_err(|error| format!("{key:?} cannot be read: {error}"))?;
            let batch = Batch::decode(&payload).map_err(|error| error.to_string())?;
            match batch.operation(index) {
                Some(Operation::Put { key: there, value: bytes, .. })
                    if there == key && bytes == value => {}
                other => return Err(format!("{key:?} is read as {other:?}")),
            }
        }
        Ok(())
    }

    /// Writes something to some shard; does nothing when there is no room.
    pub(crate) fn write(&mut self, random: &mut Random) -> Result<(), String> {
        let room = self.engine.room() / SEGMENT_SIZE;
        if self.over || room < compaction::ROOM_PUT_SEGMENTS {
            return Ok(());
        }
        self.write_anyway(random)
    }

    /// As `write`, with the room that is kept for giving space back.
    fn write_anyway(&mut self, random: &mut Random) -> Result<(), String> {
        let number = random.below(2) as usize;
        let mut batch = BatchBuilder::new(&[]);
        let mut write = Write::new();
        for _ in 0..=random.below(3) {
            let key = vec![random.below(KEY_COUNT) as u8, b'k'];
            if shard_of(&key) != number {
                continue;
            }
            if random.one_in(3) {
                batch.delete(&key);
                write.push((key, None));
            } else {
                let size = [random.below(100), random.below(5_000)][random.below(2) as usize];
                // Half of them can be compressed.
                let mask = [1, 0xff][size as usize % 2];
                let value: Vec<u8> = (0..size).map(|_| random.next() as u8 & mask).collect();
                let expires_at_ms = random.below(2) * 1_000;
                batch.put(&key, &value, expires_at_ms);
                write.push((key, Some((value, expires_at_ms))));
            }
        }
        let payload = batch.finish();
        let position = self.journal.writes[number].len() as u64 + 1;
        let commit = self.shards[number].applied;
        let (kind, stream) = (RecordKind::Entry, number as u32);
        let record = Record { kind, stream, position, stamp: [0, 0], commit, payload: &payload };
        let (sequence, location) =
            self.engine.append(&record).map_err(|error| format!("append: {error}"))?;
        self.journal.writes[number].push(write);
        self.sequences.insert(sequence.0, (number, position));
        self.shards[number].open.insert(position, (payload.to_vec(), location));
        Ok(())
    }

    /// Goal: crashes in a row, each of which seals a segment that is hardly used, do not take the room
    /// with which space is given back; and what they took beyond the limit comes back.
    pub(crate) fn check_crashes_on_a_full_log(dress: Dress, crashes: u64) -> Result<(), String> {
        let (mut disk, mut random) = (MemoryDisk::new(), Random::new(17));
        let mut keeper = Keeper::open(dress, &disk, Journal::default())?.ok_or("no power")?;
        for _ in 0..4_000 {
            keeper.write(&mut random)?;
            keeper.settle()?;
        }
        let (limit, segment) = (options(dress).log_size_max, SEGMENT_SIZE);
        if compaction::ROOM_PUT_SEGMENTS * segment <= keeper.engine.room() {
            return Err("the log is not full".to_owned());
        }
        for crash in 0..crashes {
            disk = disk.power_cut(|_, _| false);
            keeper = Keeper::open(dress, &disk, keeper.journal)?.ok_or("no power")?;
            keeper.write_anyway(&mut random).map_err(|error| format!("crash {crash}: {error}"))?;
            keeper.settle()?;
        }
        let taken = keeper.engine.status().segment_bytes;
        let exceeds = limit < taken || crashes <= 3; // So many the reserve bears.
        if !exceeds || limit + (crashes + 3) * segment < taken {
            return Err(format!("{taken} bytes are taken, {limit} is the limit"));
        }
        for _ in 0..crashes + 10 {
            let all: Vec<u32> = compaction::victims(
                &keeper.engine,
                &keeper.store,
                &BTreeSet::new(),
                0,
                4 * segment,
            );
            for victim in all {
                keeper.empty(victim, &mut Random::new(1))?;
            }
            keeper.checkpoint(Vec::new(), &mut random)?;
            keeper.settle()?;
            let live = keeper.store.live_bytes();
            keeper.engine.give_up_unneeded(|segment| live.contains_key(&segment));
            keeper.settle()?;
        }
        let taken = keeper.engine.status().segment_bytes;
        if limit < taken { Err(format!("{taken} bytes stay taken of {limit}")) } else { Ok(()) }
    }

    /// Lets the disk work; what is durable is acknowledged and applied.
    pub(crate) fn settle(&mut self) -> Result<Vec<Event>, String> {
        let events = settle(&mut self.engine).map_err(|error| format!("poll: {error}"))?;
        for event in &events {
            let Event::Durable(Sequence(upto)) = event else { continue };
            let later = self.sequences.split_off(&(upto + 1));
            for (number, position) in std::mem::replace(&mut self.sequences, later).into_values() {
                self.journal.acknowledged[number] = position as usize;
                self.shards[number].apply(position, &mut self.store);
            }
        }
        Ok(events)
    }

    /// Some writes, and a cycle of compaction, if the one before has ended.
    fn live(&mut self, random: &mut Random, writes: u64) -> Result<(), String> {
        for _ in 0..random.below(writes) {
            self.write(random)?;
            if random.one_in(3) {
                self.settle()?;
            }
        }
        if !self.engine.is_committing() {
            self.cycle(random)?;
        }
        self.settle().map(drop)
    }

    /// Empties some segments, whether or not that is worth it, takes a checkpoint, and commits it;
    /// writes go on in between.
    pub(crate) fn cycle(&mut self, random: &mut Random) -> Result<(), String> {
        let victims = self.some_victims(random);
        for &victim in &victims {
            if !self.empty(victim, random)? {
                self.over = true;
                return Ok(());
            }
        }
        self.checkpoint(victims, random)
    }

    fn some_victims(&mut self, random: &mut Random) -> Vec<u32> {
        let spare = self.engine.room() / SEGMENT_SIZE;
        if random.one_in(2) || spare < 8 {
            let wanted = SEGMENT_SIZE * (1 + random.below(3));
            return compaction::victims(&self.engine, &self.store, &BTreeSet::new(), 0, wanted);
        }
        let log = self.engine.log_segment();
        let aside = self.engine.aside_segment();
        let all = self.engine.segments().map(|(segment, _)| segment);
        let all = all.filter(|segment| *segment < log && *segment != aside);
        all.filter(|_| random.one_in(2)).take(spare as usize - 6).collect()
    }

    /// `false`: the power has failed.
    fn empty(&mut self, victim: u32, random: &mut Random) -> Result<bool, String> {
        let mut next = Some(0);
        while let Some(offset) = next.filter(|at| *at < self.engine.durable_end(victim)) {
            self.engine.scan(victim, offset);
            if random.one_in(3) {
                self.write(random)?;
            }
            let mut events = self.settle()?.into_iter();
            let piece = events.find_map(|event| match event {
                Event::Scanned { piece, .. } => Some(piece),
                _ => None,
            });
            let Some(piece) = piece else { return Ok(false) };
            if self.engine.room() < compaction::ROOM_MOVE_SEGMENTS * SEGMENT_SIZE {
                return Ok(true); // Not empty, and so not given up.
            }
            let mut result = Ok(0);
            let (engine, store) = (&mut self.engine, &mut self.store);
            piece.records(|record, location| {
                let slots = &SHARDS[record.stream as usize];
                if result.is_ok() {
                    result = compaction::relocate(engine, store, record, location, slots, slot_of);
                }
            });
            result.map_err(|error| format!("relocate: {error}"))?;
            next = piece.next;
        }
        Ok(true)
    }

    fn checkpoint(&mut self, mut victims: Vec<u32>, random: &mut Random) -> Result<(), String> {
        let open = |shard: &Shard| -> usize {
            shard.open.values().map(|(payload, _)| payload.len()).sum()
        };
        let open: usize = self.shards.iter().map(open).sum::<usize>();
        if SEGMENT_SIZE / 4 < open as u64 {
            self.settle()?; // What is appended again must fit.
        }
        let start = self.engine.mark();
        let waits = |victim: &u32, shards: &[Shard]| {
            shards.iter().any(|shard| shard.open.values().any(|(_, at)| at.segment == *victim))
        };
        victims.retain(|victim| {
            !self.store.live_bytes().contains_key(victim) && !waits(victim, &self.shards)
        });
        let (mut upto, mut aside_upto) = (Sequence(0), 0);
        let mut rebase = Rebase::up_to(2_000);
        for (number, slots) in SHARDS.iter().enumerate() {
            let engine = &mut self.engine;
            let mut append = |page: &[u8]| {
                let record = state(RecordKind::Page, number, 0, page);
                let (aside, location) = engine.append_aside(&record)?;
                aside_upto = aside;
                Ok(location)
            };
            let written = self.store.write_pages(slots, &mut rebase, &mut append);
            written.map_err(|error| format!("pages: {error}"))?;
            let list = self.store.page_list(slots);
            let shard = &mut self.shards[number];
            let record = state(RecordKind::State, number, shard.applied, &list);
            upto = engine.append(&record).map_err(|error| format!("state: {error}"))?.0;
            for (position, (payload, location)) in &mut shard.open {
                let record = state(RecordKind::Entry, number, *position, payload);
                let appended = engine.append(&record).map_err(|error| format!("entry: {error}"))?;
                (upto, *location) = appended;
            }
            if random.one_in(2) {
                self.write(random)?;
                self.settle()?;
            }
        }
        // Whatever was moved before is there too when the last page is.
        let aside_upto = aside_upto.max(self.engine.aside_appended());
        self.engine.commit_checkpoint(Checkpoint { start, upto, aside_upto, victims });
        for _ in 0..random.below(12) {
            self.write(random)?;
            if random.one_in(4) {
                self.settle()?;
            }
        }
        Ok(())
    }
}

fn state(kind: RecordKind, number: usize, position: u64, payload: &[u8]) -> Record<'_> {
    Record { kind, stream: number as u32, position, stamp: [0, 0], commit: 0, payload }
}

/// Version, value and deadline of each key that is there after these writes.
fn expected(writes: &[Write]) -> BTreeMap<Vec<u8>, (u64, Vec<u8>, u64)> {
    let mut keys = BTreeMap::new();
    for (version, write) in (1..).zip(writes) {
        for (key, what) in write {
            match what {
                Some((value, expires_at_ms)) => {
                    keys.insert(key.clone(), (version, value.clone(), *expires_at_ms));
                }
                None => {
                    keys.remove(key);
                }
            }
        }
    }
    keys
}

/// What a check went through.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    pub(crate) cuts: u64,
    pub(crate) checkpoints: u64,
    pub(crate) recycled: u64,
    pub(crate) compressed: u64,
}

impl Work {
    fn add(&mut self, engine: &Engine) {
        let status = engine.status();
        self.checkpoints += status.checkpoints;
        self.recycled += status.segments_recycled;
        self.compressed += status.compressed;
    }
}

/// Goal: compaction and checkpoints lose nothing, bring nothing back, and free nothing early.
/// Method: a log that is compacted all the time loses power at random, life after life, in every kind
/// of tearing; what is there then is checked, and life goes on.
pub(crate) fn check_compaction(dress: Dress, seed: u64) -> Result<Work, String> {
    let mut random = Random::new(seed);
    let mut journal = Journal::default();
    let mut disk = MemoryDisk::new();
    let mut work = Work::default();
    for life in 0..40 {
        let fail = |error: String| format!("{dress:?}, seed {seed}, life {life}: {error}");
        disk.fail_power_after(random.below(400));
        if random.one_in(2) {
            disk.shuffle(random.next());
        }
        if let Some(mut keeper) = Keeper::open(dress, &disk, journal.clone()).map_err(fail)? {
            for turn in 0.. {
                if disk.is_dark() || keeper.over {
                    break;
                }
                keeper.live(&mut random, 30).map_err(fail)?;
                if turn == 1_000 {
                    return Err(fail("nothing moves any more".to_owned()));
                }
            }
            work.add(&keeper.engine);
            journal = keeper.journal;
        }
        let survive = random.below(4);
        disk = disk.power_cut(|_, _| random.below(4) < survive);
        work.cuts += 1;
        if disk.rewrites() != 0 {
            return Err(fail("an offset was written twice".to_owned()));
        }
    }
    Ok(work)
}

/// Goal: the same at every moment and every sector of a few cycles of compaction.
/// Method: after some cycles that made recycled segments, the power fails after each completion in
/// turn; there every sector in turn is the last to survive, the first, the only one, and the only one
/// lost.
pub(crate) fn check_every_compaction_cut(dress: Dress, seed: u64) -> Result<Work, String> {
    let mut work = Work::default();
    for completions in 0.. {
        let mut random = Random::new(seed);
        let disk = MemoryDisk::new();
        let keeper = Keeper::open(dress, &disk, Journal::default())?;
        let mut keeper = keeper.ok_or("there is power")?;
        while keeper.engine.status().segments_recycled < 3 {
            keeper.live(&mut random, 8)?;
        }
        disk.fail_power_after(completions);
        for _ in 0..2 {
            keeper.live(&mut random, 4)?;
        }
        if !disk.is_dark() {
            work.add(&keeper.engine);
            break;
        }
        for pattern in Pattern::all(disk.unsynced()) {
            let fail = |error: String| {
                format!(
                    "{dress:?}, seed {seed}, cut after {completions} completions, {pattern:?}: {error}"
                )
            };
            let cut = pattern.cut(&disk);
            Keeper::open(dress, &cut, keeper.journal.clone()).map_err(fail)?;
            work.cuts += 1;
        }
    }
    Ok(work)
}
