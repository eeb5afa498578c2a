use super::*;

fn member(number: u8, connected: bool) -> TopologyMember {
    TopologyMember {
        name: format!("node-{number}"),
        id: format!("{number:040x}"),
        client_address: ([127, 0, 0, 1], 7000 + u16::from(number)).into(),
        peer_address: ([127, 0, 0, 1], 8000 + u16::from(number)).into(),
        connected,
    }
}

/// Four shards: the first two led by member 0, then one by member 1, the last without a leader.
fn topology() -> Topology {
    let shard = |slots: Range<u16>, leader| TopologyShard { slots, leader, voters: vec![0, 1, 2] };
    Topology {
        epoch: 5,
        generation: 9,
        me: 1,
        members: vec![member(1, true), member(2, true), member(3, false)],
        shards: vec![
            shard(0..4096, Some(0)),
            shard(4096..8192, Some(0)),
            shard(8192..12288, Some(1)),
            shard(12288..16384, None),
        ],
        redirect: true,
    }
}

#[test]
fn slots_merge_neighbours_and_name_the_primary_only() {
    let mut encoded = BytesMut::new();
    slots(&topology()).encode(Protocol::Resp2, &mut encoded);
    let text = String::from_utf8_lossy(&encoded).replace("\r\n", " ");
    let node = |number: u8| {
        format!("*4 $9 127.0.0.1 :{} $40 {:040x} *0 ", 7000 + u16::from(number), number)
    };
    let expected = format!("*2 *3 :0 :8191 {}*3 :8192 :16383 {}", node(1), node(2));
    assert_eq!(text, expected);
}

#[test]
fn shards_have_the_fields_that_clients_read() {
    let Reply::Array(shards) = shards(&topology()) else { panic!("an array") };
    assert_eq!(shards.len(), 2);
    let Reply::Map(fields) = &shards[0] else { panic!("a map") };
    assert_eq!(fields[0].1, Reply::Array(vec![Reply::Integer(0), Reply::Integer(8191)]));
    let Reply::Array(nodes) = &fields[1].1 else { panic!("an array") };
    let Reply::Map(third) = &nodes[2] else { panic!("a map") };
    assert_eq!(third[5].1, Reply::text("replica"));
    assert_eq!(third[7].1, Reply::text("fail"));
}

#[test]
fn node_lines_are_as_redis_writes_them() {
    let text = nodes(&topology());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    let id = |number: u8| format!("{number:040x}");
    assert_eq!(lines[0], format!("{} 127.0.0.1:7001@8001 master - 0 0 5 connected 0-8191", id(1)));
    assert_eq!(
        lines[1],
        format!("{} 127.0.0.1:7002@8002 myself,master - 0 0 5 connected 8192-16383", id(2))
    );
    assert!(lines[2].ends_with("master,fail? - 0 0 5 disconnected"));
}

#[test]
fn info_says_fail_until_every_slot_has_a_leader() {
    let mut topology = topology();
    let text = info(&topology);
    assert!(text.contains("cluster_state:fail\r\n") && text.contains("cluster_slots_ok:12288\r\n"));
    topology.shards[3].leader = Some(2);
    let text = info(&topology);
    assert!(text.contains("cluster_state:ok\r\n") && text.contains("cluster_size:3\r\n"));
}

#[test]
fn replicas_are_those_who_follow_and_strangers_are_unknown() {
    let topology = topology();
    let id = topology.members[0].id.clone();
    let Some(Reply::Array(lines)) = replicas(&topology, id.as_bytes()) else { panic!("known") };
    assert_eq!(lines.len(), 2);
    assert_eq!(replicas(&topology, b"nobody"), None);
}

#[test]
fn links_are_to_connected_others_only() {
    let Reply::Array(links) = links(&topology()) else { panic!("an array") };
    assert_eq!(links.len(), 2, "to and from member 0; member 2 is away");
}

#[test]
fn a_topology_is_asked_for_once_a_generation_and_protocol() {
    let mut cache = Cache::default();
    let mut asked = 0;
    let mut ask = |view, protocol, generation| {
        cache.encoded(view, protocol, generation, || {
            asked += 1;
            topology()
        })
    };
    let first = ask(View::Slots, Protocol::Resp2, 1);
    assert_eq!(ask(View::Slots, Protocol::Resp2, 1), first);
    ask(View::Slots, Protocol::Resp3, 1);
    ask(View::Nodes, Protocol::Resp2, 1);
    ask(View::Slots, Protocol::Resp2, 2);
    assert_eq!(asked, 4);
}
