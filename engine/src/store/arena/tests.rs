use super::super::item::Home;
use super::*;

fn push(arena: &mut Arena, queue: Queue, key: &[u8], size: usize) -> Place {
    let header = Header::new(key, size, 1, 0, Home::default());
    let value = vec![7; size];
    let item_size = header.item_size(Tier::MemoryOnly, true);
    arena.push(queue, item_size, |items| header.write(Tier::MemoryOnly, key, &value, items))
}

fn key(arena: &Arena, place: Place) -> Vec<u8> {
    item::key(Tier::MemoryOnly, arena.item(place)).to_vec()
}

/// Every living key of a chain, the oldest first.
fn drain(arena: &mut Arena, queue: Queue) -> Vec<u32> {
    let mut keys = Vec::new();
    while let Some(place) = arena.oldest(queue) {
        keys.push(u32::from_le_bytes(key(arena, place).try_into().unwrap()));
        arena.kill(place);
    }
    keys
}

#[test]
fn the_oldest_comes_first_and_an_empty_chain_holds_nothing() {
    let mut arena = Arena::new(Tier::MemoryOnly);
    for number in 0..10_000_u32 {
        push(&mut arena, Queue::Main, &number.to_le_bytes(), (number % 50) as usize);
    }
    assert_eq!(arena.resident_len(), 10_000);
    assert_eq!(drain(&mut arena, Queue::Main), (0..10_000).collect::<Vec<u32>>());
    assert_eq!(
        (arena.bytes(Queue::Main), arena.dead(Queue::Main), arena.resident_len()),
        (0, 0, 0)
    );
    assert!(arena.allocated() <= SEGMENT_BYTES as u64);
}

/// Goal: memory comes back wherever items die, and the order stays. Method: kill nine of ten, squeeze
/// until nothing is left to squeeze.
#[test]
fn squeezing_keeps_the_order_and_gives_memory_back() {
    let mut arena = Arena::new(Tier::MemoryOnly);
    let count = 20_000_u32;
    let mut places: Vec<Place> = (0..count)
        .map(|number| push(&mut arena, Queue::Young, &number.to_le_bytes(), 90))
        .collect();
    let full = arena.allocated();
    for number in (0..count).filter(|number| number % 10 != 3) {
        arena.kill(places[number as usize]);
    }
    let mut steps = 0;
    while arena.squeeze(Queue::Young, |item, old, new| {
        let number = item::key(Tier::MemoryOnly, item).try_into().map(u32::from_le_bytes).unwrap();
        assert_eq!(places[number as usize], old);
        places[number as usize] = new;
    }) {
        steps += 1;
        assert!(steps < 1000, "it comes to an end");
    }
    assert!(arena.allocated() < full / 5, "{} of {full}", arena.allocated());
    for number in (3..count).step_by(10) {
        assert_eq!(key(&arena, places[number as usize]), number.to_le_bytes());
    }
    assert_eq!(drain(&mut arena, Queue::Young), (3..count).step_by(10).collect::<Vec<u32>>());
}

#[test]
fn a_large_item_has_its_own_segment_and_takes_it_along() {
    let mut arena = Arena::new(Tier::MemoryOnly);
    let small = push(&mut arena, Queue::Main, b"small", 10);
    let large = push(&mut arena, Queue::Main, b"large", 1_000_000);
    let other = push(&mut arena, Queue::Main, b"other", 10);
    assert_eq!(split(small).0, split(other).0, "the small ones share a segment");
    assert!(1_000_000 < arena.allocated());
    arena.kill(large);
    assert!(arena.allocated() <= SEGMENT_BYTES as u64);
    assert_eq!(key(&arena, other), b"other");
}

#[test]
fn a_renewed_item_is_the_youngest_and_keeps_its_bytes() {
    let mut arena = Arena::new(Tier::MemoryOnly);
    let first = push(&mut arena, Queue::Young, b"1", 40_000);
    let _second = push(&mut arena, Queue::Young, b"2", 10);
    let moved = arena.renew(first, Queue::Young, 2);
    assert_eq!(arena.item(moved)[0], 2);
    let last = arena.renew(moved, Queue::Main, 1);
    assert_eq!(arena.queue(last), Queue::Main);
    let header = Header::read(Tier::MemoryOnly, arena.item(last));
    assert_eq!(header.value(arena.item(last)), vec![7; 40_000]);
    assert_eq!(arena.oldest(Queue::Young).map(|place| key(&arena, place)), Some(b"2".to_vec()));
}
