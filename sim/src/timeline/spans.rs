//! What lasts: leadership, death, pauses, cuts, and what disks are busy with.

use std::collections::BTreeMap;

use evenkeel_runtime::simulated::record::Event;
use serde_json::{Value, json};

use super::lanes::Lanes;
use super::micros;

/// Spans under way, by what they are: since when, in which lane, and in words.
#[derive(Default)]
struct Open {
    since: BTreeMap<(&'static str, String), (u64, usize, String)>,
    done: Vec<Value>,
}

impl Open {
    fn begin(&mut self, kind: &'static str, key: String, now_ns: u64, lane: usize, text: String) {
        self.since.entry((kind, key)).or_insert((now_ns, lane, text));
    }

    fn end(&mut self, kind: &'static str, key: &str, now_ns: u64) {
        if let Some((since_ns, lane, text)) = self.since.remove(&(kind, key.to_owned())) {
            self.done.push(json!([kind, micros(since_ns), micros(now_ns), lane, text]));
        }
    }

    /// A process that is no more leads nothing.
    fn end_leading(&mut self, lane: usize, now_ns: u64) {
        let of_lane =
            |((kind, key), (_, its, _)): (&(&'static str, String), &(u64, usize, String))| {
                (*kind == "leads" && *its == lane).then(|| key.clone())
            };
        let keys: Vec<String> = self.since.iter().filter_map(of_lane).collect();
        keys.iter().for_each(|key| self.end("leads", key, now_ns));
    }
}

/// `[kind, from, to, lane, text]` of everything that lasts; then disks: `[from, to, lane, text]`.
pub(super) fn spans(events: &[Event], lanes: &Lanes, end_ns: u64) -> (Vec<Value>, Vec<Value>) {
    let mut open = Open::default();
    let mut disk = Vec::new();
    for event in events {
        let number = event.node.to_string();
        let (lane, now_ns) = (lanes.of(&number), event.at_ns);
        match event.kind {
            "role" => {
                let shard = event.detail.split(' ').nth(1).unwrap_or_default();
                let key = format!("{number} {shard}");
                if event.detail.contains(" leads ") {
                    open.begin("leads", key, now_ns, lane, event.detail.clone());
                } else {
                    open.end("leads", &key, now_ns);
                }
            }
            "kill" | "exit" | "fail" => {
                open.end_leading(lane, now_ns);
                open.end("paused", &number, now_ns);
                // Clients come and go; of the cluster's nodes it is news.
                if lanes.is_node(lane) {
                    open.begin("down", number, now_ns, lane, event.kind.to_owned());
                }
            }
            "restart" => open.end("down", &number, now_ns),
            "pause" => open.begin("paused", number, now_ns, lane, "paused".to_owned()),
            "resume" => open.end("paused", &number, now_ns),
            "block" => {
                let to = event.detail.trim_start_matches("to ").to_owned();
                let name = &lanes.names()[lanes.of(&to)];
                let text = format!("what it sends to {name} is lost");
                open.begin("cut", format!("{number} {to}"), now_ns, lane, text);
            }
            "unblock" => {
                let to = event.detail.trim_start_matches("to ");
                open.end("cut", &format!("{number} {to}"), now_ns);
            }
            "disk" => disk.push(disk_span(event, lane)),
            _ => (),
        }
    }
    let left: Vec<_> = open.since.keys().cloned().collect();
    left.iter().for_each(|(kind, key)| open.end(kind, key, end_ns));
    (open.done, disk)
}

/// A completion says how long it took.
fn disk_span(event: &Event, lane: usize) -> Value {
    let took = event.detail.rsplit(' ').next().and_then(|word| word.strip_suffix("ns"));
    let took_ns = took.and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    let begun_ns = event.at_ns.saturating_sub(took_ns);
    json!([micros(begun_ns), micros(event.at_ns), lane, event.detail])
}
