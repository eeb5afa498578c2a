//! Each `send` and the `deliver` that it led to.

use std::collections::{HashMap, VecDeque};

use evenkeel_runtime::simulated::record::Event;
use serde_json::{Value, json};

use super::lanes::Lanes;
use super::micros;

/// `[sent, from, arrived, to, text]`; what never arrived has `null` for the last two places but one.
/// A direction of a connection (`17>`) delivers in order, so the first sent is the first delivered.
pub(super) fn messages(events: &[Event], lanes: &Lanes) -> Vec<Value> {
    let mut on_the_way: HashMap<&str, VecDeque<usize>> = HashMap::new();
    let mut messages: Vec<(&Event, Option<&Event>)> = Vec::new();
    for event in events {
        let Some((direction, load)) = event.detail.split_once(' ') else { continue };
        match event.kind {
            "send" => {
                on_the_way.entry(direction).or_default().push_back(messages.len());
                messages.push((event, None));
            }
            // Handshakes and resets are no sends.
            "deliver" if load.ends_with("bytes") || load == "end" => {
                let sent = on_the_way.get_mut(direction).and_then(VecDeque::pop_front);
                if let Some(index) = sent {
                    messages[index].1 = Some(event);
                }
            }
            _ => (),
        }
    }
    let lane = |event: &Event| lanes.of(&event.node.to_string());
    let text = |event: &Event| {
        let end = event.detail.find(" arrives").unwrap_or(event.detail.len());
        event.detail[..end].to_owned()
    };
    messages
        .into_iter()
        .map(|(sent, arrived)| {
            let at = arrived.map(|arrived| micros(arrived.at_ns));
            json!([micros(sent.at_ns), lane(sent), at, arrived.map(lane), text(sent)])
        })
        .collect()
}
