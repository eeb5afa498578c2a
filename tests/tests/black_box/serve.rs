//! `serve`: one node as a service manager runs it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::binary::{Folder, command, run, signal};
use crate::cluster::{free_ports, wait_until};
use crate::resp::{Answer, Resp};

/// One node alone, configured by flags, its log in a file.
pub(crate) fn serve(folder: &Folder, port: u16, environment: &[(&str, &str)]) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.path.join("log")).unwrap();
    let data = folder.path.join("data");
    command()
        .arg("serve")
        .args(["--set", &format!("listen.resp=127.0.0.1:{port}")])
        .args(["--set", &format!("listen.peer=127.0.0.1:{}", port + 10_000)])
        .args(["--set", &format!("node.dir={}", data.display())])
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

pub(crate) fn until_it_serves(port: u16) {
    wait_until("the node serves", || {
        Resp::connect(port)
            .and_then(|mut resp| resp.call(&[b"SET", b"ready", b"1"]))
            .is_ok_and(|answer| answer == Answer::Simple("OK".to_owned()))
    });
}

#[test]
fn a_node_tells_its_service_manager_when_it_is_ready_and_stops_on_sigterm() {
    // Goal: `Type=notify` works. Method: be the service manager.
    let folder = Folder::new();
    let socket = folder.path.join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let port = free_ports(1);
    let mut node = serve(&folder, port, &[("NOTIFY_SOCKET", socket.to_str().unwrap())]);
    let mut message = [0; 100];
    let size = manager.recv(&mut message).unwrap();
    assert_eq!(&message[..size], b"READY=1");
    until_it_serves(port);
    signal(node.id(), "TERM");
    let size = manager.recv(&mut message).unwrap();
    assert_eq!(&message[..size], b"STOPPING=1");
    assert_eq!(node.wait().unwrap().code(), Some(0));
}

#[test]
fn the_environment_overrides_and_a_taken_port_or_folder_is_exit_69() {
    let folder = Folder::new();
    let port = free_ports(1);
    let mut node = serve(&folder, port, &[("EVENKEEL_LOG_FORMAT", "json")]);
    until_it_serves(port);
    let log = fs::read_to_string(folder.path.join("log")).unwrap();
    assert!(log.starts_with('{'), "{log}");

    // The same folder on another port, and another folder on the same port.
    let data = folder.path.join("data");
    let other = free_ports(1);
    let said = run(&[
        "serve",
        "--set",
        &format!("node.dir={}", data.display()),
        "--set",
        &format!("listen.resp=127.0.0.1:{other}"),
        "--set",
        &format!("listen.peer=127.0.0.1:{}", other + 10_000),
    ]);
    assert_eq!(said.code, Some(69), "{}", said.err);
    assert!(said.err.contains("in use by another process"), "{}", said.err);
    let said = run(&[
        "serve",
        "--set",
        &format!("node.dir={}", folder.path.join("fresh").display()),
        "--set",
        &format!("listen.resp=127.0.0.1:{port}"),
        "--set",
        &format!("listen.peer=127.0.0.1:{}", other + 10_000),
    ]);
    assert_eq!(said.code, Some(69), "{}", said.err);
    assert!(said.err.contains(&port.to_string()), "{}", said.err);

    signal(node.id(), "INT");
    assert_eq!(node.wait().unwrap().code(), Some(0));
}
