use super::*;

fn keys(input: &[u8], format: Format) -> Result<Vec<u64>, String> {
    Ok(parse(input, format)?.into_iter().map(|asked| asked.key).collect())
}

#[test]
fn the_four_formats_are_read() {
    let arc = keys(&b"10 3 0 1\n7 1 0 2\n"[..], Format::Arc).unwrap();
    assert_eq!(arc, [10, 11, 12, 7]);
    let words = keys(&[1, 0, 0, 0, 0, 1, 0, 0][..], Format::U32).unwrap();
    assert_eq!(words, [1, 256]);
    let lines = keys(&b"5\n6\n*\n"[..], Format::Lines).unwrap();
    assert_eq!(lines, [5, 6]);
    let sized = parse(&b"1 5 700\n2 6 0\n"[..], Format::Sized).unwrap();
    assert_eq!(sized, [Asked { key: 5, size: Some(700) }, Asked { key: 6, size: Some(0) }]);
}

#[test]
fn what_is_no_trace_says_where() {
    assert!(keys(&[1, 0, 0][..], Format::U32).unwrap_err().contains("3 bytes"));
    assert!(keys(&b"1 1 0 1\nx\n"[..], Format::Arc).unwrap_err().contains("line 2"));
    assert!(keys(&b"1\n1 999999999\n"[..], Format::Arc).is_err());
    assert!(keys(&b"1 2 3\n1 2\n"[..], Format::Sized).unwrap_err().contains("line 2"));
}

#[test]
fn a_miss_is_followed_by_a_set_and_a_key_keeps_its_connection() {
    let mut replay = Replay::new(&[1, 2, 1, 2, 3], 2, 8);
    let mut answers = Vec::new();
    for connection in 0..2 {
        let mut known = BTreeSet::new();
        while let Some(operation) = replay.next(connection) {
            let outcome = match operation.verb {
                Verb::Get if !known.contains(&operation.key) => Outcome::Miss,
                Verb::Get => Outcome::Done,
                _ => {
                    known.insert(operation.key);
                    Outcome::Done
                }
            };
            replay.answered(connection, operation, outcome);
            answers.push((operation.key, operation.verb, outcome));
        }
    }
    let misses = answers.iter().filter(|(.., outcome)| *outcome == Outcome::Miss).count();
    let sets = answers.iter().filter(|(_, verb, _)| *verb == Verb::Set).count();
    assert_eq!((answers.len(), misses, sets), (8, 3, 3), "{answers:?}");
}

#[test]
fn a_repeated_trace_has_keys_of_its_own() {
    assert_eq!(repeated(vec![0, 5], 2), [0, 5, 6, 11]);
}
