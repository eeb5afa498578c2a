//! The door itself: accepts connections, counts them, and closes in order.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime::net::{TcpListener, TcpStream};
use evenkeel_runtime::{Task, clock, sleep, spawn};

use crate::clients::{Client, Ending};
use crate::connection;
use crate::door::Door;
use crate::limits::{ACCEPT_PAUSE, HOUSEKEEPING_INTERVAL};
use crate::service::Service;

/// What a client over the limit reads before it is closed; Redis' words.
const TOO_MANY_CLIENTS: &[u8] = b"-ERR max number of clients reached\r\n";
/// How often a stop looks whether all connections have ended.
const STOP_LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Accepts connections until it is aborted.
pub(crate) fn listen<S: Service>(door: Rc<Door<S>>, listener: TcpListener) -> Task<()> {
    spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => welcome(&door, stream, address),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

/// Looks after idle and stalled clients until it is aborted.
pub(crate) fn keep_house<S: Service>(door: Rc<Door<S>>) -> Task<()> {
    spawn(async move {
        loop {
            sleep(HOUSEKEEPING_INTERVAL).await;
            door.keep_house();
        }
    })
}

/// Ends every connection: what is in flight is finished and answered, for so long as the limits allow.
pub(crate) async fn drain<S: Service>(door: &Door<S>) {
    door.clients.for_each(|client| client.end(Ending::Stopping));
    let wait_us = door.limits().stop_wait_max.as_micros() as u64;
    let deadline_us = clock::monotonic_us() + wait_us;
    while door.clients.len() > 0 && clock::monotonic_us() < deadline_us {
        sleep(STOP_LOOK_INTERVAL).await;
    }
    let left = door.clients.len();
    if left > 0 {
        tracing::warn!(left, "connections were closed before their commands had ended");
        door.clients.for_each(|client| client.end(Ending::Killed));
    }
}

fn welcome<S: Service>(door: &Rc<Door<S>>, stream: TcpStream, address: SocketAddr) {
    if door.limits().connection_count_max <= door.clients.len() {
        door.metrics.connections_rejected.add(1);
        // A new connection's buffer takes these few bytes at once; if not, they are not worth a wait.
        spawn(async move {
            let (_reader, mut writer) = stream.into_split();
            let refusal = async {
                let _unheard = writer.write_all(TOO_MANY_CLIENTS).await;
                let _unheard = writer.shutdown().await;
            };
            let _gave_up = evenkeel_runtime::timeout(Duration::from_secs(1), refusal).await;
        });
        return;
    }
    let client = door.clients.insert(address, door.listen, clock::monotonic_us());
    door.metrics.connections_accepted.add(1);
    door.metrics.connections_open.add(1);
    let guest = Guest { door: Rc::clone(door), client };
    spawn(async move {
        connection::serve(Rc::clone(&guest.door), Rc::clone(&guest.client), stream).await;
    });
}

/// Takes the client off the list, however its task ends.
struct Guest<S: Service> {
    door: Rc<Door<S>>,
    client: Rc<Client>,
}

impl<S: Service> Drop for Guest<S> {
    fn drop(&mut self) {
        self.door.clients.remove(self.client.id);
        self.door.metrics.connections_open.subtract(1);
    }
}
