//! Scenarios in files: a cluster, what its clients do, what goes wrong and when, and what is promised
//! nevertheless. The same file drives the simulated world and the real one.
//!
//! ```yaml
//! about: One sentence for `cargo sim scenarios`.
//! nodes: 3                 # 1 to 7
//! lasts: 12s               # the clients' time, and the faults'
//! clients: 5
//! think: 5ms               # a client waits up to so long between two requests
//! objects: [register, register, counter, text]
//! knobs: { heartbeat_us: 50000 }        # see `plan::Knobs`
//! promises: { silence_max: 3s }         # see `Promises`
//! faults:
//!   - at: 2s..3s           # drawn from the seed
//!     times: 3             # three such faults,
//!     every: 3s            # one after the other
//!     fault: { kill: { node: any, death: process, down: 500ms } }      # see `fault::Fault`
//! ```
//!
//! A time is a number with `us`, `ms`, `s` or `min`; a node is `node-1` or `any`.
//!
//! **Invariant.** A file and a seed are one plan: whatever a file leaves open is drawn from the seed, each
//! thing from a stream of its own, so that an edit moves nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::capsule::is_beyond;
use crate::fault::{Fault, NodeIndex, node_name};
use crate::plan::{Knobs, ObjectKind, Plan, Planned, Scenario};
use crate::random::Random;

#[cfg(test)]
mod tests;

/// The largest cluster that a world has room for.
const NODE_COUNT_MAX: usize = 7;
/// Clients beyond this take addresses of others.
const CLIENT_COUNT_MAX: usize = 64;
/// A file with more faults than this, repetitions included, is a mistake.
const FAULT_COUNT_MAX: usize = 1_000;

/// What holds in a scenario beside what always does: that clients' answers have an order, that nothing
/// acknowledged is lost, that the healed cluster serves and agrees.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Promises {
    /// From the first answer to the end of the faults, some client is answered at least so often.
    pub silence_max: Option<Duration>,
}

impl Promises {
    /// The same where the machines themselves may stall for so long.
    pub fn with_stalls(&self, stall: Duration) -> Promises {
        Promises { silence_max: self.silence_max.map(|max| max + stall) }
    }

    /// Holds them against the longest silence and when it began; `None`: there was nothing else.
    ///
    /// # Errors
    /// Which one is broken.
    pub fn check(&self, silence: Option<(Duration, Duration)>) -> Result<(), String> {
        let Some(max) = self.silence_max else { return Ok(()) };
        let Some((silence, from)) = silence else {
            return Err(format!(
                "nobody was ever answered, at most {max:?} without an answer is promised"
            ));
        };
        if silence <= max {
            return Ok(());
        }
        Err(format!(
            "from {from:.3?} on nobody was answered for {silence:.3?}, at most {max:?} is promised"
        ))
    }
}

/// What a plan has from its file, beside itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
pub struct Written {
    /// The file's name, without its ending.
    pub name: String,
    /// See `Promises`.
    pub promises: Promises,
}

/// A file, read and not yet drawn.
#[derive(Debug, Clone)]
pub struct ScenarioFile {
    name: String,
    content: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    about: String,
    nodes: usize,
    lasts: Duration,
    clients: usize,
    think: Duration,
    objects: Vec<ObjectKind>,
    #[serde(default)]
    knobs: Knobs,
    #[serde(default)]
    promises: Promises,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    at: Duration,
    #[serde(default)]
    every: Duration,
    fault: Value,
}

impl ScenarioFile {
    /// Reads one, and makes sure that it can be drawn.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(name: &str, text: &str) -> Result<ScenarioFile, String> {
        let content = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
        let file = ScenarioFile { name: name.to_owned(), content };
        file.plan(1)?;
        Ok(file)
    }

    /// By its name, out of a folder.
    ///
    /// # Errors
    /// There is none, or what is wrong with it.
    pub fn load(folder: &Path, name: &str) -> Result<ScenarioFile, String> {
        let path = folder.join(format!("{name}.yaml"));
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("no scenario is `{name}` ({}: {error})", path.display()))?;
        ScenarioFile::parse(name, &text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The sentence about it.
    pub fn about(&self) -> &str {
        self.content["about"].as_str().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is with this seed.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn plan(&self, seed: u64) -> Result<Plan, String> {
        let random = Random::new(seed, &format!("written {}", self.name));
        let mut rest = self.content.clone();
        let fields = rest.as_object_mut().ok_or("a scenario has fields: `about`, `nodes`, ...")?;
        // Repetitions are drawn one by one.
        let entries = fields.remove("faults").unwrap_or_default();
        let rest = draw(rest, 1, &random);
        let content: Content =
            serde_json::from_value(rest.clone()).map_err(|error| error.to_string())?;
        known(&rest["knobs"], &serde_json::to_value(&content.knobs).expect("plain data"))
            .map_err(|name| format!("no knob is `{name}`: see `Knobs` in sim/src/plan.rs"))?;
        check(&content)?;
        let faults = faults(&entries, &content, &random)?;
        let victim = victim(&faults, &content, &random)?;
        Ok(Plan {
            seed,
            scenario: Scenario::Written,
            node_count: content.nodes,
            victim,
            client_count: content.clients,
            think: content.think,
            objects: content.objects,
            duration: content.lasts,
            knobs: content.knobs,
            clocks: vec![(0, 0); content.nodes],
            faults,
            written: Some(Written { name: self.name.clone(), promises: content.promises }),
        })
    }
}

/// Where this repository has its own.
pub fn library() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// One line for each file of a folder, in order: its name, and what it is about or what is wrong with it.
pub fn list(folder: &Path) -> Vec<Result<String, String>> {
    let names = names(folder).into_iter();
    let line = |file: ScenarioFile| format!("{:<24} {}", file.name(), file.about());
    names.map(|name| ScenarioFile::load(folder, &name).map(line)).collect()
}

/// The names of the files of a folder, in order.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let is_scenario = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "yaml");
    let stem = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = paths.filter(is_scenario).filter_map(stem).collect();
    names.sort_unstable();
    names
}

fn check(content: &Content) -> Result<(), String> {
    let within = |what: &str, count: usize, max: usize| {
        let fits = (1..=max).contains(&count);
        if fits { Ok(()) } else { Err(format!("`{what}` is {count}, must be from 1 to {max}")) }
    };
    within("nodes", content.nodes, NODE_COUNT_MAX)?;
    within("clients", content.clients, CLIENT_COUNT_MAX)?;
    within("objects", content.objects.len(), 1_000)?;
    if content.about.is_empty() || content.lasts.is_zero() {
        return Err("`about` and `lasts` must not be empty".to_owned());
    }
    Ok(())
}

/// What nobody knows would be left as it is, without a word: the name in `written` that `understood` lacks.
fn known<'a>(written: &'a Value, understood: &Value) -> Result<(), &'a str> {
    match (written, understood) {
        (Value::Object(fields), Value::Object(_)) => fields
            .iter()
            .try_for_each(|(name, value)| known(value, understood.get(name).ok_or(name.as_str())?)),
        (Value::Array(values), Value::Array(others)) => {
            values.iter().zip(others).try_for_each(|(value, other)| known(value, other))
        }
        _ => Ok(()),
    }
}

/// Clocks that run beyond what leases allow for make answers wrong, rightly.
fn check_bounds(fault: &Fault, content: &Content) -> Result<(), String> {
    let bound = content.knobs.drift_ppm;
    match fault {
        Fault::ClockDrift { ppm, .. } if bound < ppm.unsigned_abs() => {
            Err(format!("{ppm} ppm is more than leases allow for: `drift_ppm` is {bound}"))
        }
        Fault::DiskSlow { times, .. } if 1_000 < *times => {
            Err(format!("{times} times is more than a disk can be slowed: 1000"))
        }
        _ => Ok(()),
    }
}

fn faults(entries: &Value, content: &Content, random: &Random) -> Result<Vec<Planned>, String> {
    let mut faults: Vec<Planned> = Vec::new();
    let nothing = Vec::new();
    let list = if entries.is_null() { Some(&nothing) } else { entries.as_array() };
    let list = list.ok_or("`faults` is no list: each fault begins with a dash")?;
    for (number, entry) in (1..).zip(list) {
        let wrong = |error: String| format!("fault {number}: {error}");
        let times = entry.get("times").map_or(Some(1), Value::as_u64);
        let times = times.filter(|times| (1..=FAULT_COUNT_MAX as u64).contains(times));
        let times =
            times.ok_or_else(|| wrong(format!("`times` must be 1 to {FAULT_COUNT_MAX}")))?;
        let mut once = entry.clone();
        once.as_object_mut().map(|fields| fields.remove("times"));
        for repetition in 0..times {
            let random = random.child(&format!("fault {number}.{repetition}"));
            let drawn = draw(once.clone(), content.nodes as u64, &random);
            let drawn: Entry =
                serde_json::from_value(drawn).map_err(|error| wrong(error.to_string()))?;
            let says = drawn.fault.to_string();
            let fault: Fault = serde_json::from_value(drawn.fault.clone())
                .map_err(|error| wrong(format!("{error}, in {says}")))?;
            known(&drawn.fault, &serde_json::to_value(&fault).expect("a fault is plain data"))
                .map_err(|name| wrong(format!("no field is `{name}`, in {says}")))?;
            check_bounds(&fault, content).map_err(wrong)?;
            if is_beyond(&fault, content.nodes) {
                return Err(wrong(format!("there are {} nodes: {fault}", content.nodes)));
            }
            let later = drawn.every.checked_mul(repetition as u32);
            let at = later.and_then(|later| drawn.at.checked_add(later)).unwrap_or(Duration::MAX);
            if at >= content.lasts {
                return Err(wrong(format!("at {at:?} it is over, after {:?}", content.lasts)));
            }
            faults.push(Planned { at, fault });
            if faults.len() > FAULT_COUNT_MAX {
                return Err(wrong(format!("more than {FAULT_COUNT_MAX} faults")));
            }
        }
    }
    faults.sort_by_key(|planned| planned.at);
    Ok(faults)
}

/// Only one node of a world may lose what it had flushed: all alarms are real then.
fn victim(faults: &[Planned], content: &Content, random: &Random) -> Result<NodeIndex, String> {
    let loses = |planned: &Planned| match planned.fault {
        Fault::Wipe { node, .. } | Fault::Rot { node, .. } | Fault::DiskLies { node, .. } => {
            Some(node)
        }
        Fault::Readmit { node, .. } => Some(node),
        Fault::DiskErrors { node, flush_ppm, .. } if flush_ppm > 0 => Some(node),
        _ => None,
    };
    let victims: BTreeSet<NodeIndex> = faults.iter().filter_map(loses).collect();
    let names: Vec<String> = victims.iter().copied().map(node_name).collect();
    match (names.len(), content.nodes) {
        (0, nodes) => Ok(random.child("victim").below(nodes.max(1) as u64) as NodeIndex),
        (1, 3..) => Ok(victims.into_iter().next().unwrap_or_default()),
        (1, nodes) => Err(format!(
            "{} loses what it had flushed, and {nodes} nodes are too few to have it elsewhere",
            names[0]
        )),
        _ => Err(format!(
            "{} lose what they had flushed: only one node may, or nothing could be promised",
            names.join(" and ")
        )),
    }
}

/// Puts numbers where a file has words: times, nodes, ranges.
fn draw(value: Value, nodes: u64, random: &Random) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let value = draw(value, nodes, &random.child(&name));
                (name, value)
            })
            .collect(),
        Value::Array(values) => {
            let draws = (0..).zip(values);
            draws.map(|(at, value)| draw(value, nodes, &random.child(&format!("{at}")))).collect()
        }
        Value::String(text) => word(&text, nodes, random).unwrap_or(Value::String(text)),
        other => other,
    }
}

fn word(text: &str, nodes: u64, random: &Random) -> Option<Value> {
    let mut random = random.child("draw");
    if text == "any" {
        return Some(json!(random.below(nodes)));
    }
    if let Some(number) = text.strip_prefix("node-") {
        return Some(json!(number.parse::<u64>().ok()?.checked_sub(1)?));
    }
    let duration = match text.split_once("..") {
        None => time(text)?,
        Some((low, high)) => {
            let (low, high) = (time(low)?.as_micros() as u64, time(high)?.as_micros() as u64);
            Duration::from_micros(
                Some(low).filter(|_| low < high).map(|_| random.between(low, high))?,
            )
        }
    };
    Some(json!(duration))
}

/// `250ms`, `1.5s`.
fn time(text: &str) -> Option<Duration> {
    let at = text.find(|character: char| character.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    // To a whole microsecond: what a file says is what a plan has.
    let micros = (number * seconds * 1e6).round();
    (0.0..1e15).contains(&micros).then(|| Duration::from_micros(micros as u64))
}
