use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::*;

fn tally() -> Tally {
    let mut tally = Tally::new();
    for number in 1..=1000_u64 {
        let operation = Operation { verb: Verb::Get, key: number };
        let outcome = if number % 4 == 0 { Outcome::Miss } else { Outcome::Done };
        tally.landed(&operation, outcome, number * 1_000_000, number * 2_000_000);
    }
    tally
}

#[test]
fn the_text_says_what_the_histogram_says() {
    let mut output = Vec::new();
    percentiles(&tally().latency, &mut output).unwrap();
    let text = String::from_utf8(output).unwrap();
    let median = text.lines().find(|line| line.contains(" 0.500000000000 ")).unwrap();
    assert!(median.trim().starts_with("500."), "{median}");
    assert!(text.contains("Total count    =         1000]"), "{text}");
}

#[test]
fn the_log_holds_every_second_and_can_be_read_back() {
    let mut output = Vec::new();
    intervals(&tally(), &mut output).unwrap();
    let mut counts = Vec::new();
    for entry in IntervalLogIterator::new(&output) {
        if let LogEntry::Interval(interval) = entry.unwrap() {
            let bytes = base64(interval.encoded_histogram());
            let histogram: Histogram<u64> =
                Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
            counts.push(histogram.len());
        }
    }
    assert_eq!(counts, [499, 500, 1]);
}

#[test]
fn tallies_add_up_and_refusals_are_no_operations() {
    let mut total = tally();
    total.landed(&Operation { verb: Verb::Set, key: 1 }, Outcome::Refused, 1, 1);
    total.add(&tally());
    assert_eq!((total.operations, total.errors, total.latency.len()), (2000, 1, 2000));
    assert!((total.hit_ratio() - 0.75).abs() < 1e-9);
}

/// Enough of RFC 4648 to read our own log.
fn base64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().take_while(|&byte| byte != b'=');
    let digits = digits.map(|byte| alphabet.iter().position(|&digit| digit == byte).unwrap());
    let (mut bits, mut count, mut bytes) = (0_usize, 0, Vec::new());
    for digit in digits {
        bits = bits << 6 | digit;
        count += 6;
        if 8 <= count {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}
