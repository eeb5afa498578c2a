//! The payload of a log entry: decoding must not panic, must be total, and must be repeatable.
#![no_main]

use evenkeel_engine::batch::{Batch, BatchBuilder, Operation};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(batch) = Batch::decode(bytes) else { return };
    let mut builder = BatchBuilder::new(batch.context());
    let mut count = 0;
    for (index, operation) in batch.operations().enumerate() {
        assert_eq!(batch.operation(index as u32), Some(operation));
        match operation {
            Operation::Put { key, value, expires_at_ms } => builder.put(key, value, expires_at_ms),
            Operation::Delete { key } => builder.delete(key),
        }
        count += 1;
    }
    assert_eq!(count, batch.operation_count());
    assert_eq!(batch.operation(count as u32), None);

    let rebuilt = builder.finish();
    let again = Batch::decode(&rebuilt).expect("what we build, we can read");
    assert_eq!(again.context(), batch.context());
    assert!(again.operations().eq(batch.operations()));
});
