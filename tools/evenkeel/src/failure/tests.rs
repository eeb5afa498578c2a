use std::io;

use super::{Exit, Failure};

#[derive(Debug, thiserror::Error)]
#[error("the outer layer")]
struct Outer(#[source] Middle);

#[derive(Debug, thiserror::Error)]
#[error("the middle layer: no such file")]
struct Middle(#[source] io::Error);

#[test]
fn a_failure_is_one_line_and_names_each_cause_once() {
    let error = Outer(Middle(io::Error::other("no such file")));
    let failure = Failure::new(Exit::Internal, "cannot\nopen")
        .because(&error)
        .next("Give --dir another value.");
    assert_eq!(
        failure.to_string(),
        "cannot open: the outer layer: the middle layer: no such file. Give --dir another value."
    );
}

#[test]
fn exit_codes_never_change() {
    let codes =
        [Exit::Failed, Exit::Usage, Exit::Unavailable, Exit::Internal].map(|exit| exit as u8);
    assert_eq!(codes, [1, 2, 69, 70]);
}
