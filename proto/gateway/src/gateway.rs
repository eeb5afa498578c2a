//! A running gateway, from outside.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use evenkeel_node::node::Node;
use evenkeel_runtime::Task;
use evenkeel_runtime::net::TcpListener;

use crate::door::Door;
use crate::limits::Limits;
use crate::listener;
use crate::process::Usage;
use crate::service::Service;

/// What a gateway must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Where clients connect. Port 0 lets the kernel choose: see `Gateway::local_addr`.
    pub listen: SocketAddr,
    /// What clients may ask for.
    pub limits: Limits,
}

impl GatewayConfig {
    /// The default limits.
    pub fn new(listen: SocketAddr) -> GatewayConfig {
        GatewayConfig { listen, limits: Limits::default() }
    }
}

/// A door that is open. Dropping it closes it without a word to those inside: `stop` is kinder.
pub struct Gateway<S: Service = Node> {
    door: Rc<Door<S>>,
    tasks: RefCell<Vec<Task<()>>>,
}

impl<S: Service> Gateway<S> {
    /// Opens the door: from now on clients are served.
    ///
    /// # Errors
    /// The address cannot be listened on; nothing was started.
    pub async fn start(service: Rc<S>, config: GatewayConfig) -> io::Result<Gateway<S>> {
        let listener = TcpListener::bind(config.listen).await?;
        let listen = listener.local_addr()?;
        let door = Rc::new(Door::new(service, listen, config.limits));
        let tasks = vec![
            listener::listen(Rc::clone(&door), listener),
            listener::keep_house(Rc::clone(&door)),
        ];
        Ok(Gateway { door, tasks: RefCell::new(tasks) })
    }

    /// Where clients connect.
    pub fn local_addr(&self) -> SocketAddr {
        self.door.listen
    }

    /// Clients connected at the moment.
    pub fn connection_count(&self) -> usize {
        self.door.clients.len()
    }

    /// Has `INFO` ask here what the process uses. Until told, it reports zeros.
    pub fn report_process(&self, usage: fn() -> Usage) {
        self.door.usage.set(usage);
    }

    /// Closes the door: accepts nobody, finishes and answers what is in flight (for at most
    /// `Limits::stop_wait_max`), closes every connection. Returns when the last one is gone.
    pub async fn stop(&self) {
        // The listener goes first, so that nobody slips in behind the last one.
        let tasks = self.tasks.take();
        for task in &tasks {
            task.abort();
        }
        listener::drain(&self.door).await;
        for task in tasks {
            let _aborted = task.await;
        }
    }
}

impl<S: Service> Drop for Gateway<S> {
    fn drop(&mut self) {
        for task in self.tasks.borrow().iter() {
            task.abort();
        }
        self.door.clients.for_each(|client| client.end(crate::clients::Ending::Killed));
    }
}
