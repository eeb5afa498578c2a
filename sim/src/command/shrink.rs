//! From a failing run to a small one that fails the same way: edits of its capsule, each tried in a
//! process of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use evenkeel_sim::capsule::{Asked, Capsule, is_beyond};
use evenkeel_sim::fault::LinkWeather;
use evenkeel_sim::plan::{Knobs, Planned};
use evenkeel_sim::random::Random;
use evenkeel_sim::shrink::{Try, ending, minimise};

use super::Options;

/// How often the result must fail in the same way, with the same events.
const REPLAY_COUNT: usize = 10;
/// A run that breaks early need not run on for long after that moment.
const GRACE: Duration = Duration::from_millis(1_500);
/// What is small enough.
const FAULT_COUNT_AIM: usize = 10;
const REQUEST_COUNT_AIM: usize = 20;
/// So many other seeds are tried when a run does not fail by its script.
const SEED_COUNT: u64 = 7;
/// A world that takes longer than this in real time has lost its way.
const REAL_TIME_MAX_S: u64 = 180;

/// Shrinks the failure of a seed, or of a capsule, and writes what is left.
pub(super) fn shrink(options: &Options) -> Result<ExitCode, String> {
    let out = options.out.clone().ok_or("--out FILE: where to write what is left?")?;
    let Some(found) = find(options)? else {
        println!("shrink: nothing fails, so there is nothing to shrink");
        return Ok(ExitCode::FAILURE);
    };
    let mut shrinker = Shrinker::new(options, found.oracle.clone());
    let before = size(&found);
    let asked = found.requests.clone().unwrap_or_default();
    let mut small = shrinker.shorten(found);
    small = shrinker.spare(small);
    small = shrinker.simplify(small);
    small = shrinker.spare(small);
    small = shrinker.scatter(small);
    let (same, hash) = shrinker.verify(&small);
    small.hash = hash;
    small.commit = evenkeel_sim::story::commit();
    fs::write(&out, small.print()).map_err(|error| format!("{out} cannot be written: {error}"))?;
    let mut after = size(&small);
    if small.requests.is_none() {
        // Its clients draw what they ask: so much of it as there was time for.
        let end_ns = small.until.map_or(u128::MAX, |until| (until - GRACE).as_nanos());
        after.1 = asked.iter().filter(|asked| u128::from(asked.at_ns) <= end_ns).count();
    }
    println!(
        "shrink: oracle={} faults={} of {} requests={} of {} runs={} took_s={:.1} replayed={same}/{REPLAY_COUNT}",
        small.oracle.as_deref().unwrap_or("none"),
        after.0,
        before.0,
        after.1,
        before.1,
        shrinker.runs,
        shrinker.begun.elapsed().as_secs_f64(),
    );
    small.plan.faults.iter().for_each(|planned| {
        println!("  {:>9.3}s  {}", planned.at.as_secs_f64(), planned.fault);
    });
    small.requests.iter().flatten().for_each(|asked| {
        let at_s = asked.at_ns as f64 / 1e9;
        let node = asked.node + 1;
        println!("  {at_s:>9.3}s  client {} asks node-{node}: {}", asked.client, asked.steps);
    });
    println!("  cargo sim replay {out}");
    Ok(if same == REPLAY_COUNT { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Faults and requests.
fn size(capsule: &Capsule) -> (usize, usize) {
    (capsule.plan.faults.len(), capsule.requests.as_ref().map_or(0, Vec::len))
}

/// The failing run with its decision log; `None` if nothing fails.
fn find(options: &Options) -> Result<Option<Capsule>, String> {
    let mut arguments = vec![];
    if options.subject.parse::<u64>().is_ok() {
        arguments.extend(["run", &options.subject, "--scenario", options.scenario.name()]);
        arguments.extend(options.planted.iter().flat_map(|bug| ["--planted", bug]));
    } else {
        arguments.extend(["replay", &options.subject]);
    }
    let file = scratch(0);
    let path = file.to_string_lossy().into_owned();
    arguments.extend(["--requests", "--capsule", &path]);
    let _ = fs::remove_file(&file);
    child(&arguments).map_err(|error| error.to_string())?;
    let Ok(text) = fs::read_to_string(&file) else { return Ok(None) };
    let _ = fs::remove_file(&file);
    Capsule::parse(&text).map(Some)
}

fn scratch(number: usize) -> PathBuf {
    std::env::temp_dir().join(format!("evenkeel-shrink-{}-{number}.json", std::process::id()))
}

/// What a child of this very binary prints last: its one line.
fn child(arguments: &[&str]) -> std::io::Result<String> {
    let output = Command::new("timeout")
        .arg(REAL_TIME_MAX_S.to_string())
        .arg(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rev().find(|line| line.starts_with("seed="));
    Ok(line.unwrap_or_default().to_owned())
}

fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

struct Shrinker {
    oracle: Option<String>,
    jobs: usize,
    begun: Instant,
    time_max: Duration,
    runs: usize,
}

impl Shrinker {
    #[expect(clippy::disallowed_methods, reason = "shrinking may take so much real time")]
    fn new(options: &Options, oracle: Option<String>) -> Shrinker {
        let (jobs, time_max) = (options.jobs, options.time_max);
        Shrinker { oracle, jobs, begun: Instant::now(), time_max, runs: 0 }
    }

    /// The first of these that fails in the same way, several tried at a time.
    fn first_good(&mut self, candidates: &[Capsule]) -> Option<usize> {
        for (number, several) in candidates.chunks(self.jobs).enumerate() {
            if self.begun.elapsed() >= self.time_max {
                return None;
            }
            self.runs += several.len();
            let lines = self.run_all(several);
            let is_good = |line: &String| value(line, "oracle") == self.oracle.as_deref();
            if let Some(index) = lines.iter().position(is_good) {
                return Some(number * self.jobs + index);
            }
        }
        None
    }

    /// The one line of each.
    fn run_all(&self, capsules: &[Capsule]) -> Vec<String> {
        std::thread::scope(|scope| {
            let run = |(number, capsule): (usize, &Capsule)| {
                let file = scratch(number);
                let text = capsule.print();
                scope.spawn(move || {
                    let path = file.to_string_lossy();
                    let line = match fs::write(&file, text) {
                        Ok(()) => child(&["replay", &path]).unwrap_or_default(),
                        Err(_) => String::new(),
                    };
                    let _ = fs::remove_file(&file);
                    line
                })
            };
            let workers: Vec<_> = capsules.iter().enumerate().map(run).collect();
            workers.into_iter().map(|worker| worker.join().unwrap_or_default()).collect()
        })
    }

    /// The candidate, if it fails in the same way; else what there was.
    fn prefer(&mut self, current: Capsule, candidate: Capsule) -> Capsule {
        if candidate == current || self.first_good(std::slice::from_ref(&candidate)).is_none() {
            current
        } else {
            candidate
        }
    }

    /// Without what came after the failure; with a script if the failure comes back so.
    fn shorten(&mut self, found: Capsule) -> Capsule {
        let unscripted = Capsule { requests: None, ..found.clone() };
        let line = self.run_all(std::slice::from_ref(&unscripted)).pop().unwrap_or_default();
        let at_s: f64 =
            value(&line, "simulated_s").and_then(|text| text.parse().ok()).unwrap_or(1e9);
        let at = Duration::from_secs_f64(at_s.min(1e6));
        let mut short = found.clone();
        if at < found.plan.duration {
            short.plan.faults.retain(|planned| planned.at <= at);
            short.plan.duration = at + GRACE;
            short.until = Some(at + GRACE);
            let in_time = |asked: &Asked| asked.at_ns <= at.as_nanos() as u64;
            short.requests.iter_mut().for_each(|requests| requests.retain(in_time));
        }
        // A script moves every moment a little; in some other world it fails as well.
        let mut candidates = vec![short.clone()];
        candidates.extend((1..=SEED_COUNT).map(|number| {
            let mut other = short.clone();
            other.plan.seed ^= number << 32;
            other
        }));
        candidates.extend([Capsule { requests: None, ..short }, found, unscripted.clone()]);
        let index = self.first_good(&candidates);
        index.map_or(unscripted, |index| candidates[index].clone())
    }

    /// Spares faults and requests.
    fn spare(&mut self, mut small: Capsule) -> Capsule {
        for _ in 0..2 {
            let before = size(&small);
            let faults = small.plan.faults.clone();
            let mut attempt = Faults { shrinker: self, capsule: &small };
            small.plan.faults = minimise(ending(faults, &mut attempt), &mut attempt);
            if let Some(requests) = small.requests.clone() {
                let mut attempt = Requests { shrinker: self, capsule: &small };
                let few = ending(requests, &mut attempt);
                let few = of_few(few, &mut attempt);
                small.requests = Some(minimise(few, &mut attempt));
            }
            if size(&small) == before {
                break;
            }
        }
        small
    }

    /// In some failures every fault only moves the moment at which a race is lost: none can be spared
    /// without moving it again. So a few of them are tried at random, in worlds of other seeds.
    fn scatter(&mut self, mut small: Capsule) -> Capsule {
        let mut random = Random::new(small.plan.seed, "scatter");
        let is_large = |capsule: &Capsule| {
            let (faults, requests) = size(capsule);
            faults > FAULT_COUNT_AIM || requests > REQUEST_COUNT_AIM
        };
        while is_large(&small) && self.begun.elapsed() < self.time_max {
            let several: Vec<Capsule> =
                (0..4 * self.jobs).map(|_| some(&small, &mut random)).collect();
            if let Some(index) = self.first_good(&several) {
                small = several[index].clone();
                small = self.spare(small);
            }
        }
        small
    }

    /// Ordinary values instead of extreme ones, and a world that is no larger than it has to be.
    fn simplify(&mut self, mut small: Capsule) -> Capsule {
        let edits: [fn(&mut Capsule); 10] = [
            |capsule| capsule.plan.clocks.iter_mut().for_each(|clock| *clock = (0, 0)),
            |capsule| {
                let latency_us = capsule.plan.knobs.link.latency_us.min(200);
                capsule.plan.knobs.link = LinkWeather { latency_us, ..LinkWeather::default() };
            },
            |capsule| capsule.plan.knobs.disk_slowness = 1,
            |capsule| (capsule.plan.knobs.shard_count, capsule.plan.knobs.padding) = (1, 0),
            |capsule| capsule.plan.knobs.memory_bytes = 16 << 20,
            |capsule| {
                let ordinary = Knobs::default();
                capsule.plan.knobs.segment_size = ordinary.segment_size;
                capsule.plan.knobs.log_size_max = ordinary.log_size_max;
                capsule.plan.knobs.chunk_size = ordinary.chunk_size;
            },
            |capsule| {
                (capsule.plan.knobs.compress, capsule.plan.knobs.encrypt) = (false, false);
            },
            |capsule| capsule.plan.knobs.heartbeat_us = 50_000,
            smaller_cluster,
            |capsule| {
                let clients =
                    capsule.requests.iter().flatten().map(|asked| asked.client as usize + 1);
                let few = clients.max().unwrap_or(1);
                capsule.plan.client_count = capsule.plan.client_count.min(few);
            },
        ];
        for edit in edits {
            let mut candidate = small.clone();
            edit(&mut candidate);
            small = self.prefer(small, candidate);
        }
        // The weather ends when nothing more is to come.
        if small.until.is_none() {
            let asked = small.requests.iter().flatten().map(|asked| asked.at_ns).max();
            let struck = small.plan.faults.iter().map(|planned| planned.at).max();
            let last = Duration::from_nanos(asked.unwrap_or(0)).max(struck.unwrap_or_default());
            for grace in [GRACE, 4 * GRACE] {
                let mut candidate = small.clone();
                candidate.plan.duration = candidate.plan.duration.min(last + grace);
                small = self.prefer(small, candidate);
            }
        }
        small
    }

    /// How many replays of ten fail in the same way with the same events, and the hash of those.
    fn verify(&mut self, small: &Capsule) -> (usize, Option<String>) {
        let mut hash: Option<String> = None;
        let mut same = 0;
        let copies = vec![small.clone(); self.jobs];
        while same < REPLAY_COUNT {
            let count = self.jobs.min(REPLAY_COUNT - same);
            self.runs += count;
            for line in self.run_all(&copies[..count]) {
                let its = value(&line, "hash").map(str::to_owned);
                let first = hash.get_or_insert_with(|| its.clone().unwrap_or_default());
                if value(&line, "oracle") != self.oracle.as_deref() || its.as_ref() != Some(first) {
                    return (same, hash);
                }
                same += 1;
            }
        }
        (same, hash)
    }
}

/// A capsule with some of the faults and of the requests, where there are too many, and another seed.
fn some(capsule: &Capsule, random: &mut Random) -> Capsule {
    let mut some = capsule.clone();
    some.plan.seed = random.next_u64() >> 20;
    let share_ppm = *random.pick(&[100_000, 300_000, 500_000, 800_000]);
    if capsule.plan.faults.len() > FAULT_COUNT_AIM {
        some.plan.faults.retain(|_| random.chance_ppm(share_ppm));
    }
    if let Some(requests) = some.requests.as_mut().filter(|all| all.len() > REQUEST_COUNT_AIM) {
        requests.retain(|_| random.chance_ppm(share_ppm));
    }
    some
}

/// Three nodes, without the faults of others.
fn smaller_cluster(capsule: &mut Capsule) {
    const NODE_COUNT: usize = 3;
    let plan = &mut capsule.plan;
    if plan.node_count > NODE_COUNT {
        plan.node_count = NODE_COUNT;
        plan.victim %= NODE_COUNT;
        plan.clocks.truncate(NODE_COUNT);
        plan.faults.retain(|planned| !is_beyond(&planned.fault, NODE_COUNT));
        capsule.requests.iter_mut().flatten().for_each(|asked| asked.node %= NODE_COUNT);
    }
}

/// Only what was asked about one object, or by one client, if that is enough.
fn of_few(mut requests: Vec<Asked>, attempt: &mut Requests<'_>) -> Vec<Asked> {
    let keys: [fn(&Asked) -> u64; 2] =
        [|asked| asked.object as u64, |asked| u64::from(asked.client)];
    for key in keys {
        let mut values: Vec<u64> = requests.iter().map(key).collect();
        values.sort_unstable();
        values.dedup();
        let only = |value: &u64| -> Vec<Asked> {
            requests.iter().filter(|asked| key(asked) == *value).cloned().collect()
        };
        let candidates: Vec<Vec<Asked>> = values.iter().map(only).collect();
        if let Some(index) = attempt.first_good(&candidates) {
            requests.clone_from(&candidates[index]);
        }
    }
    requests
}

struct Faults<'a> {
    shrinker: &'a mut Shrinker,
    capsule: &'a Capsule,
}

impl Try<Planned> for Faults<'_> {
    fn first_good(&mut self, candidates: &[Vec<Planned>]) -> Option<usize> {
        let edited = |faults: &Vec<Planned>| {
            let mut capsule = self.capsule.clone();
            capsule.plan.faults.clone_from(faults);
            capsule
        };
        let capsules: Vec<Capsule> = candidates.iter().map(edited).collect();
        self.shrinker.first_good(&capsules)
    }

    fn width(&self) -> usize {
        self.shrinker.jobs
    }
}

struct Requests<'a> {
    shrinker: &'a mut Shrinker,
    capsule: &'a Capsule,
}

impl Try<Asked> for Requests<'_> {
    fn first_good(&mut self, candidates: &[Vec<Asked>]) -> Option<usize> {
        let edited = |requests: &Vec<Asked>| Capsule {
            requests: Some(requests.clone()),
            ..self.capsule.clone()
        };
        let capsules: Vec<Capsule> = candidates.iter().map(edited).collect();
        self.shrinker.first_good(&capsules)
    }

    fn width(&self) -> usize {
        self.shrinker.jobs
    }
}
