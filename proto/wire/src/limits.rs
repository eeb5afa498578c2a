//! What a stranger's bytes may make us hold: every bound of this crate, with its unit.

/// Bytes of an inline command up to its newline, and of a length line. Redis: `PROTO_INLINE_MAX_SIZE`.
pub const INLINE_SIZE_MAX: usize = 64 * 1024;

/// Arguments of one command. Redis allows 1,048,576 to anybody who has logged in.
pub const ARGUMENT_COUNT_MAX: usize = 1024 * 1024;

/// Bytes of one argument, or of one string in a reply.
pub const BULK_SIZE_MAX: usize = 8 * 1024 * 1024;

/// Bytes of a key. A key travels in every log entry and stays in memory, whatever becomes of its value.
pub const KEY_SIZE_MAX: usize = 4 * 1024;

/// Bytes of one whole command.
pub const COMMAND_SIZE_MAX: usize = 12 * 1024 * 1024;

/// Hash slots of a cluster: Redis Cluster's number, which clients have built in.
pub const SLOT_COUNT: u16 = 16_384;

/// Arguments that fit without touching the heap.
pub const ARGUMENT_COUNT_INLINE: usize = 16;

/// Arrays within arrays of a reply; `COMMAND`'s own are five deep.
pub const REPLY_DEPTH_MAX: usize = 16;

/// Values in one reply, at all depths together.
pub const REPLY_VALUE_COUNT_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a message between peers, its header not counted.
pub const FRAME_BODY_SIZE_MAX: usize = 16 * 1024 * 1024;

/// Bytes that a forwarded command may need beside its arguments' own and what RESP needs to frame them.
const FORWARD_OVERHEAD_MAX: usize = 1024;

const _: () = {
    assert!(KEY_SIZE_MAX <= BULK_SIZE_MAX);
    assert!(BULK_SIZE_MAX <= COMMAND_SIZE_MAX);
    assert!(INLINE_SIZE_MAX <= COMMAND_SIZE_MAX);
    assert!(COMMAND_SIZE_MAX <= u32::MAX as usize, "argument ranges are u32");
    // RESP frames an argument with at least six bytes, protobuf with at most five.
    assert!(COMMAND_SIZE_MAX + FORWARD_OVERHEAD_MAX <= FRAME_BODY_SIZE_MAX);
};
