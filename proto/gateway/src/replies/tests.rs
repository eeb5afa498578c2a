use std::task::Waker;

use evenkeel_wire::reply::Reply;
use tokio::sync::oneshot;

use super::*;

/// A place in line whose reply the test sends when it likes.
fn wait(replies: &mut Replies, silent: bool) -> oneshot::Sender<Reply> {
    let (sender, receiver) = oneshot::channel();
    let future = Box::pin(async move { receiver.await.expect("the test sends a reply") });
    let receipt =
        Receipt { command: 0, started_us: 0, size: 10, argument_count: 1, argument: Bytes::new() };
    replies.wait(future, Protocol::Resp2, silent, receipt);
    sender
}

fn write(replies: &mut Replies, text: &'static str) {
    replies.write(|output| Reply::simple(text).encode(Protocol::Resp2, output));
}

fn poll(replies: &mut Replies) -> Vec<String> {
    let mut settled = Vec::new();
    replies.poll(&mut Context::from_waker(Waker::noop()), |_, encoded| {
        settled.push(String::from_utf8_lossy(encoded).into_owned());
    });
    settled
}

fn sent(replies: &mut Replies) -> String {
    let mut output = BytesMut::new();
    replies.take_output(&mut output);
    String::from_utf8_lossy(&output).into_owned()
}

/// Goal: whatever ends first, bytes leave in the order of the commands. Method: six commands, the
/// pending ones settled back to front.
#[test]
fn replies_leave_in_the_order_of_their_commands() {
    let mut replies = Replies::default();
    write(&mut replies, "a");
    let b = wait(&mut replies, false);
    write(&mut replies, "c");
    write(&mut replies, "d");
    let e = wait(&mut replies, false);
    write(&mut replies, "f");
    assert_eq!(sent(&mut replies), "+a\r\n");
    assert_eq!((replies.pending_count(), replies.pending_size(), replies.size()), (2, 20, 12));

    e.send(Reply::simple("e")).expect("still waited for");
    assert_eq!(poll(&mut replies), ["+e\r\n"]);
    assert!(!replies.has_output(), "b is still in front");

    b.send(Reply::simple("b")).expect("still waited for");
    assert_eq!(poll(&mut replies), ["+b\r\n"]);
    assert_eq!(sent(&mut replies), "+b\r\n+c\r\n+d\r\n+e\r\n+f\r\n");
    assert_eq!((replies.pending_count(), replies.pending_size(), replies.size()), (0, 0, 0));
}

#[test]
fn a_silent_reply_is_counted_and_not_sent() {
    let mut replies = Replies::default();
    let quiet = wait(&mut replies, true);
    write(&mut replies, "next");
    quiet.send(Reply::error("ERR nobody hears this")).expect("still waited for");
    assert_eq!(poll(&mut replies), ["-ERR nobody hears this\r\n"]);
    assert_eq!(sent(&mut replies), "+next\r\n");
}

#[test]
fn nothing_pending_costs_no_poll() {
    let mut replies = Replies::default();
    write(&mut replies, "a");
    let mut context = Context::from_waker(Waker::noop());
    assert!(!replies.poll(&mut context, |_, _| unreachable!("nothing is pending")));
    assert!(replies.has_output());
}
