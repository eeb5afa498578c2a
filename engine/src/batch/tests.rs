use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Owned {
    Put(Vec<u8>, Vec<u8>, u64),
    Delete(Vec<u8>),
}

fn encode(context: &[u8], operations: &[Owned]) -> Bytes {
    let mut builder = BatchBuilder::new(context);
    for operation in operations {
        match operation {
            Owned::Put(key, value, expires_at_ms) => builder.put(key, value, *expires_at_ms),
            Owned::Delete(key) => builder.delete(key),
        }
    }
    assert_eq!(builder.operation_count(), operations.len());
    builder.finish()
}

fn owned(operation: Operation<'_>) -> Owned {
    match operation {
        Operation::Put { key, value, expires_at_ms } => {
            Owned::Put(key.to_vec(), value.to_vec(), expires_at_ms)
        }
        Operation::Delete { key } => Owned::Delete(key.to_vec()),
    }
}

fn any_operations() -> impl Strategy<Value = Vec<Owned>> {
    let bytes = || {
        prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 0..20),
            1 => prop::collection::vec(any::<u8>(), 100..300),
        ]
    };
    let deadline = prop_oneof![Just(0), any::<u64>()];
    let operation = prop_oneof![
        3 => (bytes(), bytes(), deadline).prop_map(|(key, value, at)| Owned::Put(key, value, at)),
        1 => bytes().prop_map(Owned::Delete),
    ];
    prop::collection::vec(operation, 0..8)
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        context in prop::collection::vec(any::<u8>(), 0..200),
        operations in any_operations(),
    ) {
        let payload = encode(&context, &operations);
        let batch = Batch::decode(&payload).unwrap();
        prop_assert_eq!(batch.context(), &context[..]);
        prop_assert_eq!(batch.operation_count(), operations.len());
        prop_assert_eq!(&batch.operations().map(owned).collect::<Vec<_>>(), &operations);
        for (index, operation) in operations.iter().enumerate() {
            prop_assert_eq!(&batch.operation(index as u32).map(owned).unwrap(), operation);
        }
        prop_assert_eq!(batch.operation(operations.len() as u32), None);
    }

    /// Bytes from nowhere are refused or decode to something that encodes to a batch again.
    #[test]
    fn hostile_bytes_never_panic(mut payload in prop::collection::vec(any::<u8>(), 0..80), valid: bool) {
        if valid && let Some(first) = payload.first_mut() {
            *first = FORMAT;
        }
        if let Ok(batch) = Batch::decode(&payload) {
            let operations: Vec<Owned> = batch.operations().map(owned).collect();
            let again = encode(batch.context(), &operations);
            prop_assert_eq!(Batch::decode(&again).unwrap().operation_count(), operations.len());
        }
    }

    /// A changed byte is not always noticed (the record's checksum does that), but never a panic and
    /// never a read outside.
    #[test]
    fn flipped_bits_never_panic(operations in any_operations(), at: prop::sample::Index, bit in 0u8..8) {
        let mut payload = encode(b"context", &operations).to_vec();
        let index = at.index(payload.len());
        payload[index] ^= 1 << bit;
        if let Ok(batch) = Batch::decode(&payload) {
            prop_assert_eq!(batch.operations().count(), batch.operation_count());
        }
    }
}

#[test]
fn the_bytes_are_those_of_the_table() {
    let payload = encode(
        b"cc",
        &[
            Owned::Put(b"k".to_vec(), b"value".to_vec(), 0),
            Owned::Put(b"k2".to_vec(), vec![7; 130], 0x0102),
            Owned::Delete(b"".to_vec()),
        ],
    );
    let mut expected =
        b"\x01\x02cc\x01\x01k\x05value\x02\x02k2\x02\x01\0\0\0\0\0\0\x82\x01".to_vec();
    expected.extend_from_slice(&[7; 130]);
    expected.extend_from_slice(b"\0\0");
    assert_eq!(payload, expected);
}

#[test]
fn bad_fields_are_named() {
    let check = |payload: &[u8], expected: BatchError| {
        assert_eq!(Batch::decode(payload).unwrap_err(), expected, "{payload:?}");
    };
    check(b"", BatchError::Torn);
    check(b"\x02", BatchError::Format(2));
    check(b"\x01", BatchError::Torn);
    check(b"\x01\x05cc", BatchError::Torn);
    check(b"\x01\0\x03\x01k", BatchError::Field("tag"));
    check(b"\x01\0\x00\x81\x80\x04", BatchError::Field("key_size"));
    check(b"\x01\0\x00\x80\x80\x04", BatchError::Torn);
    check(b"\x01\0\x00\x80\x80\x80\x80\x80\x00", BatchError::Field("key_size"));
    check(b"\x01\0\x01\x01k\x81\x80\x80\x08", BatchError::Field("value_size"));
    check(b"\x01\0\x02\x01k\0\0\0\0\0\0\0\0\x01v", BatchError::Field("expires_at_ms"));
    check(b"\x01\0\x02\x01k\x01\0\0\0", BatchError::Torn);
}

/// Every prefix is torn or ends between two operations; the record's size tells the latter.
#[test]
fn a_cut_batch_is_torn_or_shorter() {
    let operations =
        [Owned::Put(b"key".to_vec(), b"value".to_vec(), 9), Owned::Delete(b"other".to_vec())];
    let payload = encode(b"context", &operations);
    let whole: Vec<usize> = (0..=payload.len())
        .filter(|&size| match Batch::decode(&payload[..size]) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error, BatchError::Torn);
                false
            }
        })
        .collect();
    assert_eq!(whole, [9, payload.len() - 7, payload.len()]);
}

#[test]
fn the_stated_capacity_is_enough() {
    let (key, value) = ([1; 300], [2; 70_000]);
    let size = operation_size_max(key.len(), value.len());
    let mut builder = BatchBuilder::with_capacity(b"context", size);
    let capacity = builder.bytes.capacity();
    builder.put(&key, &value, 1);
    assert_eq!(builder.bytes.capacity(), capacity);
}
