//! What a client sends, in pieces: the parser must agree with itself however the bytes are cut, and
//! whatever comes out of it must survive being understood as a command.
#![no_main]

use evenkeel_wire::command;
use evenkeel_wire::resp::{Limits, Parse, Parser, parse};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    argument_count_max: 64,
    bulk_size_max: 4096,
    inline_size_max: 1024,
    command_size_max: 16 * 1024,
};

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Command(Vec<Vec<u8>>, usize),
    Nothing(usize),
    Error(String),
}

fn outcome(parsed: Parse<'_>) -> Option<Outcome> {
    match parsed {
        Parse::Incomplete => None,
        Parse::Nothing { consumed } => Some(Outcome::Nothing(consumed)),
        Parse::Error(error) => Some(Outcome::Error(error.to_string())),
        Parse::Command { arguments, consumed } => {
            assert!(0 < arguments.count() && arguments.count() <= LIMITS.argument_count_max);
            // A command or an error reply; never a panic.
            let _ = command::parse(&arguments).map_err(|error| error.to_string());
            let words = arguments.iter().map(<[u8]>::to_vec).collect();
            Some(Outcome::Command(words, consumed))
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = outcome(parse(bytes, &LIMITS));
    if let Some(Outcome::Command(_, consumed) | Outcome::Nothing(consumed)) = &whole {
        assert!(*consumed <= bytes.len());
    }
    // Byte by byte: the first outcome must be the one of the whole. (An error may be seen sooner than
    // its last byte, so errors are compared by being errors.)
    let mut parser = Parser::default();
    let first = (0..=bytes.len()).find_map(|size| outcome(parser.parse(&bytes[..size], &LIMITS)));
    match (&whole, &first) {
        (Some(Outcome::Error(_)), Some(Outcome::Error(_))) => {}
        _ => assert_eq!(whole, first),
    }
});
