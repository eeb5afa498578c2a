//! A failing run in a file: everything that a simulator elsewhere needs to see it again, and everything
//! that shrinking may edit. The plan is written out, faults and all, so that a capsule outlives changes
//! to how plans are drawn.
//!
//! ```text
//! {
//!  "format": 1, "oracle": "durability", "says": "...", "seed": ..., "commit": "...", "hash": "...",
//!  "plan": { topology, knobs, clocks, duration },
//!  "faults": [ one line each: when, what, and the same in words ],
//!  "requests": null, or one line each: when, who asked whom for what
//! }
//! ```
//!
//! **Invariant.** Reading what was written gives the same capsule. Without `requests` the clients draw
//! theirs from the seed, and the replay is the run, event by event; with them they ask for just these,
//! at these times, and taking one away moves no other.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::history::{parse_action, print_step};
use crate::model::Step;
use crate::plan::{Plan, Planned};
use crate::workload::{Request, Shape};

#[cfg(test)]
mod tests;

/// Grows when older simulators could misread a capsule.
const FORMAT: u64 = 1;

/// See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capsule {
    /// The oracle that noticed, and must notice again; `None` for a run that was well.
    pub oracle: Option<String>,
    /// Its words.
    pub says: String,
    /// What the simulator was built from.
    pub commit: String,
    /// The bug that was planted.
    pub planted: Option<String>,
    /// Of all events, at that commit.
    pub hash: Option<String>,
    /// The world.
    pub plan: Plan,
    /// What clients ask; `None`: what they draw from the seed.
    pub requests: Option<Vec<Asked>>,
    /// The run ends here, in true time, if nothing has broken before; `None`: after its finale.
    pub until: Option<Duration>,
}

/// An entry of the decision log: a client's request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// When it went out, in nanoseconds of true time.
    pub at_ns: u64,
    /// Who asked.
    pub client: u32,
    /// Which node was asked.
    pub node: usize,
    /// About which object.
    pub object: usize,
    /// How the steps were put into commands.
    pub shape: Shape,
    /// The steps, as `history` writes them.
    pub steps: String,
}

impl Asked {
    /// Notes a request.
    pub fn new(at_ns: u64, client: u32, node: usize, object: usize, request: &Request) -> Asked {
        let steps: Vec<String> = request.steps.iter().map(print_step).collect();
        let (shape, steps) = (request.shape, squeezed(&steps.join("; ")));
        Asked { at_ns, client, node, object, shape, steps }
    }

    /// The request again.
    ///
    /// # Errors
    /// A step that is none.
    pub fn request(&self) -> Result<Request, String> {
        let steps = unsqueezed(&self.steps);
        let steps: Vec<Step> =
            steps.split(';').map(|step| parse_action(step.trim())).collect::<Result<_, _>>()?;
        if steps.is_empty() {
            Err("no steps".to_owned())
        } else {
            Ok(Request { steps, shape: self.shape })
        }
    }
}

/// Padding is long, and all the same: `c1n4____.` for `c1n4_{4}.`.
fn squeezed(text: &str) -> String {
    let mut squeezed = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find('_') {
        let count = rest[begin..].bytes().take_while(|byte| *byte == b'_').count();
        let _ = write!(squeezed, "{}_{{{count}}}", &rest[..begin]);
        rest = &rest[begin + count..];
    }
    squeezed + rest
}

fn unsqueezed(text: &str) -> String {
    let mut parts = text.split("_{");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (count, rest) = part.split_once('}').unwrap_or(("1", part));
        whole += &"_".repeat(count.parse().unwrap_or(1));
        whole += rest;
    }
    whole
}

impl Capsule {
    /// As a file; see the module's text.
    pub fn print(&self) -> String {
        let mut plan = serde_json::to_value(&self.plan).expect("a plan is plain data");
        if let Value::Object(fields) = &mut plan {
            fields.remove("faults");
        }
        let faults = self.plan.faults.iter().map(|planned| {
            let fault = serde_json::to_value(&planned.fault).expect("a fault is plain data");
            let at = serde_json::to_value(planned.at).expect("a time is plain data");
            in_seconds(json!({ "at": at, "fault": fault, "says": planned.fault.to_string() }))
        });
        let head = json!({
            "format": FORMAT,
            "oracle": self.oracle,
            "says": self.says,
            "seed": self.plan.seed,
            "commit": self.commit,
            "planted": self.planted,
            "hash": self.hash,
            "until": self.until,
        });
        let mut text = String::from("{\n");
        for (name, value) in in_seconds(head).as_object().into_iter().flatten() {
            let _ = writeln!(text, " {}: {value},", json!(name));
        }
        let _ = writeln!(text, " \"plan\": {},", in_seconds(plan));
        let _ = writeln!(text, " \"faults\": {},", lines(faults));
        let requests = self
            .requests
            .as_ref()
            .map_or("null".to_owned(), |requests| lines(requests.iter().map(|asked| json!(asked))));
        let _ = write!(text, " \"requests\": {requests}\n}}\n");
        text
    }

    /// From a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Capsule, String> {
        let file: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let file = from_seconds(file);
        if file["format"] != json!(FORMAT) {
            return Err(format!(
                "format {} is not {FORMAT}, which this build reads",
                file["format"]
            ));
        }
        let mut plan = file["plan"].clone();
        plan["faults"] = json!([]);
        let mut plan: Plan = read("plan", plan)?;
        for line in file["faults"].as_array().into_iter().flatten() {
            let fault: Fault = read("faults", line["fault"].clone())?;
            plan.faults.push(Planned { at: read("faults", line["at"].clone())?, fault });
        }
        Ok(Capsule {
            oracle: read("oracle", file["oracle"].clone())?,
            says: read("says", file["says"].clone())?,
            commit: read("commit", file["commit"].clone())?,
            planted: read("planted", file["planted"].clone())?,
            hash: read("hash", file["hash"].clone())?,
            plan,
            requests: read("requests", file["requests"].clone())?,
            until: read("until", file["until"].clone())?,
        })
    }
}

fn read<T: for<'de> Deserialize<'de>>(what: &str, value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("`{what}`: {error}"))
}

fn lines(values: impl Iterator<Item = Value>) -> String {
    let lines: Vec<String> = values.map(|value| format!("\n  {value}")).collect();
    if lines.is_empty() { "[]".to_owned() } else { format!("[{}\n ]", lines.join(",")) }
}

/// Times for people: `"1.25s"` for `{"secs":1,"nanos":250000000}`.
fn in_seconds(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let number = |name: &str| fields.get(name).and_then(Value::as_u64);
            if let (2, Some(secs), Some(nanos)) = (fields.len(), number("secs"), number("nanos")) {
                return json!(format!("{secs}.{nanos:09}s"));
            }
            fields.into_iter().map(|(name, value)| (name, in_seconds(value))).collect()
        }
        Value::Array(values) => values.into_iter().map(in_seconds).collect(),
        other => other,
    }
}

fn from_seconds(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, from_seconds(value))).collect()
        }
        Value::Array(values) => values.into_iter().map(from_seconds).collect(),
        Value::String(text) => seconds(&text).unwrap_or(Value::String(text)),
        other => other,
    }
}

/// Digits, a point, nine digits, an `s`: nothing else is a time.
fn seconds(text: &str) -> Option<Value> {
    let (secs, nanos) = text.strip_suffix('s')?.split_once('.')?;
    let nanos = Some(nanos).filter(|nanos| nanos.len() == 9)?.parse::<u32>().ok()?;
    Some(json!({ "secs": secs.parse::<u64>().ok()?, "nanos": nanos }))
}

/// Whether a fault is about a node that a smaller cluster does not have.
pub fn is_beyond(fault: &Fault, node_count: usize) -> bool {
    let names_node = |name: &str| {
        ["node", "left", "right", "mute", "deaf", "bridge", "from", "to"].contains(&name)
    };
    fn walk(value: &Value, is_node: bool, names_node: &impl Fn(&str) -> bool, count: u64) -> bool {
        match value {
            Value::Object(fields) => fields.iter().any(|(name, value)| {
                let lists_nodes = ["halves", "pair", "order", "voters"].contains(&name.as_str());
                walk(value, names_node(name) || lists_nodes, names_node, count)
            }),
            Value::Array(values) => {
                values.iter().any(|value| walk(value, is_node, names_node, count))
            }
            Value::Number(number) => is_node && number.as_u64().is_some_and(|node| node >= count),
            _ => false,
        }
    }
    let value = serde_json::to_value(fault).expect("a fault is plain data");
    walk(&value, false, &names_node, node_count as u64)
}
