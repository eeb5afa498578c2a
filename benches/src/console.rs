//! Lines for whoever watches.

use std::io::Write;

/// A line on the standard output, at once. Whoever went away (`| head`) does not end a measurement.
pub(crate) fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).ok();
}
