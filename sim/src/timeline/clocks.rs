//! How far each node's wall clock is off, from what was done to it.

use std::collections::BTreeMap;

use evenkeel_runtime::simulated::record::Event;
use serde_json::{Value, json};

use super::lanes::Lanes;
use super::micros;

#[derive(Default)]
struct Clock {
    /// Where the line stands: time and offset, both in microseconds.
    at_us: f64,
    offset_us: f64,
    drift_ppm: f64,
    /// While it stands: how far it had been off, and since when.
    frozen: Option<(f64, f64)>,
    points: Vec<Value>,
}

impl Clock {
    /// Draws the line up to here.
    fn advance(&mut self, now_us: f64) {
        self.offset_us += (now_us - self.at_us) * self.drift_ppm / 1e6;
        self.at_us = now_us;
        let shown = match self.frozen {
            Some((offset_us, since_us)) => offset_us - (now_us - since_us),
            None => self.offset_us,
        };
        self.points.push(json!([now_us, shown.round()]));
    }
}

/// For each lane whose clock was ever off: `[time, offset]` in microseconds, to be joined by lines.
pub(super) fn clocks(events: &[Event], lanes: &Lanes, end_ns: u64) -> BTreeMap<usize, Vec<Value>> {
    let mut clocks: BTreeMap<usize, Clock> = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind.starts_with("clock-")) {
        let clock = clocks.entry(lanes.of(&event.node.to_string())).or_default();
        let now_us = micros(event.at_ns);
        clock.advance(now_us);
        let amount = event.detail.split(' ').next().and_then(|word| word.parse::<f64>().ok());
        match (event.kind, amount) {
            ("clock-drift", Some(ppm)) => clock.drift_ppm = ppm,
            ("clock-offset", Some(ms)) => clock.offset_us = ms * 1e3,
            ("clock-jump", Some(ms)) => clock.offset_us += ms * 1e3,
            ("clock-freeze", _) => clock.frozen = Some((clock.offset_us, now_us)),
            ("clock-thaw", _) => clock.frozen = None,
            _ => (),
        }
        clock.advance(now_us);
    }
    clocks
        .into_iter()
        .map(|(lane, mut clock)| {
            clock.advance(micros(end_ns));
            (lane, clock.points)
        })
        // A thaw of what never froze is no news.
        .filter(|(_, points)| points.iter().any(|point| point[1] != json!(0.0)))
        .collect()
}
