//! Power cuts: at every boundary, torn at every sector, life after life.

use super::{
    Dress, Ledger, Life, Random, check_prefix, check_reads, drive, identity, open, options,
};
use evenkeel_engine::Engine;
use evenkeel_engine::disk::memory::MemoryDisk;

/// Which of the sectors that no flush has covered survive a cut.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pattern {
    Prefix(usize),
    Suffix(usize),
    AllBut(usize),
    Only(usize),
    Random(u64),
}

impl Pattern {
    pub(crate) fn all(unsynced: usize) -> impl Iterator<Item = Pattern> {
        let each = (0..unsynced).flat_map(|at| {
            [Pattern::Prefix(at), Pattern::Suffix(at), Pattern::AllBut(at), Pattern::Only(at)]
        });
        each.chain([Pattern::Prefix(unsynced)]).chain((0..8).map(Pattern::Random))
    }

    pub(crate) fn cut(self, disk: &MemoryDisk) -> MemoryDisk {
        let mut index = 0;
        let mut random = Random::new(if let Pattern::Random(seed) = self { seed } else { 0 });
        disk.power_cut(|_, _| {
            let at = index;
            index += 1;
            match self {
                Pattern::Prefix(end) => at < end,
                Pattern::Suffix(start) => start < at,
                Pattern::AllBut(lost) => at != lost,
                Pattern::Only(kept) => at == kept,
                Pattern::Random(_) => random.one_in(2),
            }
        })
    }
}

/// Runs until the power fails after `completions`, or to the end: `None`.
fn live(dress: Dress, seed: u64, completions: u64) -> Result<Option<(MemoryDisk, Ledger)>, String> {
    let disk = MemoryDisk::new();
    disk.fail_power_after(completions);
    if seed.is_multiple_of(2) {
        disk.shuffle(seed);
    }
    let created = drive(Engine::create(Box::new(disk.clone()), options(dress), identity()));
    let Some(engine) = created else {
        return Ok(Some((disk, Ledger::default())));
    };
    let mut life = Life::new(engine.expect("an empty disk"), Ledger::default());
    life.work(&mut Random::new(seed), 14)?;
    Ok(disk.is_dark().then(|| (disk, life.ledger.clone())))
}

fn check_cut(
    dress: Dress,
    disk: &MemoryDisk,
    mut ledger: Ledger,
    random: &mut Random,
) -> Result<(), String> {
    let opened = open(disk, options(dress)).expect("the power is back");
    let (mut engine, opened, replayed) = opened.map_err(|error| format!("open: {error}"))?;
    check_prefix(&mut ledger, &replayed)?;
    check_reads(&mut engine, &replayed, false)?;
    if opened.is_some_and(|opened| !opened.damaged.is_empty()) {
        return Err("a power cut was taken for damage".to_owned());
    }
    // Life goes on, and what comes now is not confused with what was cut off.
    let mut life = Life::new(engine, ledger);
    life.work(random, 2)?;
    let mut ledger = life.ledger.clone();
    drop(life);
    let disk = disk.power_cut(|_, _| random.one_in(2));
    let opened = open(&disk, options(dress)).expect("the power is back");
    let (_, _, replayed) = opened.map_err(|error| format!("open again: {error}"))?;
    check_prefix(&mut ledger, &replayed)?;
    match disk.rewrites() {
        0 => Ok(()),
        count => Err(format!("{count} sectors were written twice")),
    }
}

/// Goal: no power cut loses what was acknowledged, tears a record, or is taken for damage.
/// Method: a small workload is stopped at every completion; there every sector in turn is the last to
/// survive, the first, the only one, and the only one lost. Returns how many cuts were made.
pub(crate) fn check_every_cut(dress: Dress, seed: u64) -> Result<u64, String> {
    let mut cuts = 0;
    for completions in 0.. {
        let Some((disk, ledger)) = live(dress, seed, completions)? else { break };
        for pattern in Pattern::all(disk.unsynced()) {
            let cut = pattern.cut(&disk);
            check_cut(dress, &cut, ledger.clone(), &mut Random::new(completions)).map_err(|error| {
                format!("{dress:?}, seed {seed}, cut after {completions} completions, {pattern:?}: {error}")
            })?;
            cuts += 1;
        }
    }
    Ok(cuts)
}

/// Goal: the same over many lives in a row, recovery itself cut short included.
pub(crate) fn check_lives(dress: Dress, seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let mut ledger = Ledger::default();
    let mut disk = MemoryDisk::new();
    for life in 0..12 {
        let fail = |error: String| format!("{dress:?}, seed {seed}, life {life}: {error}");
        disk.fail_power_after(random.below(60));
        disk.shuffle(random.next());
        if let Some(opened) = open(&disk, options(dress)) {
            let (engine, _, replayed) = opened.map_err(|error| fail(error.to_string()))?;
            check_prefix(&mut ledger, &replayed).map_err(fail)?;
            let mut life = Life::new(engine, ledger);
            life.work(&mut random, 12).map_err(fail)?;
            ledger = life.ledger;
        }
        let survive = random.below(4);
        disk = disk.power_cut(|_, _| random.below(4) < survive);
        if disk.rewrites() != 0 {
            return Err(fail("an offset was written twice".to_owned()));
        }
    }
    Ok(())
}
