use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

#[derive(Default)]
struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn ids_are_never_used_twice() {
    let clients = Clients::default();
    let first = clients.insert(address(1), address(9), 0);
    clients.remove(first.id);
    let second = clients.insert(address(2), address(9), 0);
    assert_eq!((first.id, second.id, clients.len()), (1, 2, 1));
}

#[test]
fn a_client_told_to_end_is_woken_and_stays_killed() {
    let clients = Clients::default();
    let client = clients.insert(address(1), address(9), 0);
    let wakes = Arc::new(CountWakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    client.register(&Context::from_waker(&waker));

    client.end(Ending::Killed);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    client.end(Ending::Stopping);
    assert_eq!(client.ending(), Some(Ending::Killed));
}

#[test]
fn the_line_says_what_clients_parse() {
    let client = Client::new(7, address(5000), address(7001), 1_000_000);
    client.name.replace("worker".to_owned());
    client.last_command.set("get");
    client.keyspace.set(1);
    let line = client.line(61_000_000);
    let fields: BTreeMap<&str, &str> =
        line.split(' ').map(|field| field.split_once('=').expect("name=value")).collect();
    assert_eq!(fields["id"], "7");
    assert_eq!(fields["addr"], "127.0.0.1:5000");
    assert_eq!(fields["name"], "worker");
    assert_eq!((fields["age"], fields["idle"]), ("60", "60"));
    assert_eq!((fields["flags"], fields["db"], fields["multi"]), ("N", "1", "-1"));
    assert_eq!(fields["cmd"], "get");

    client.queued_count.set(Some(2));
    assert!(client.line(0).contains(" flags=x "));
}

#[test]
fn names_have_no_spaces_and_no_control_characters() {
    assert!(is_name(b"ioredis-cluster(refresher)"));
    assert!(is_name(b""));
    assert!(!is_name(b"two words"));
    assert!(!is_name(b"line\n"));
}
