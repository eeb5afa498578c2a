//! Sizes as people write them: `64 MiB`, or a number of bytes.

use serde::de::{Deserialize, Deserializer, Error};
use serde_yaml_ng::Value;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteSize(pub u64);

const UNITS: [(&str, u32); 5] = [("", 0), ("B", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30)];

impl ByteSize {
    /// The same as a size of something in memory; what no memory can hold is the largest size.
    pub(crate) fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Reads `67108864`, `64MiB` or `64 MiB`; `None` for anything else, and for what overflows.
    pub(crate) fn parse(text: &str) -> Option<ByteSize> {
        let text = text.trim();
        let digits =
            text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start();
        let (_, shift) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
        number.parse::<u64>().ok()?.checked_mul(1 << shift).map(ByteSize)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
        let size = match Value::deserialize(deserializer)? {
            Value::Number(number) => number.as_u64().map(ByteSize),
            Value::String(text) => ByteSize::parse(&text),
            _ => None,
        };
        size.ok_or_else(|| D::Error::custom("expected a size such as 256 MiB, 2 GiB or 1048576"))
    }
}
