use proptest::prelude::*;

use super::*;

fn any_header() -> impl Strategy<Value = (Header, Vec<u8>, Vec<u8>)> {
    let key = prop_oneof![0_usize..70, 60_usize..66, Just(4096)];
    let value = prop_oneof![0_usize..300, Just(20_000)];
    let place = any::<[u32; 4]>();
    let policy = (0_u8..0x80, any::<bool>());
    (key, value, any::<u64>(), prop_oneof![Just(0), any::<u64>()], place, policy).prop_map(
        |(key, value, version, expires_at_ms, [segment, offset, size, operation], policy)| {
            let (key, value) = (vec![b'k'; key], vec![b'v'; value]);
            let home = Home { location: Location { segment, offset, size }, operation };
            let header = Header::new(&key, value.len(), version, expires_at_ms, home);
            let (usage, is_changed) = policy;
            (Header { usage, is_changed, ..header }, key, value)
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_again((header, key, value) in any_header(), resident: bool) {
        for tier in [Tier::MemoryOnly, Tier::BackedByLog] {
            let value = if resident { &value[..] } else { &[] };
            let mut item = vec![1, 2, 3];
            header.write(tier, &key, value, &mut item);
            let item = &mut item[3..];
            prop_assert_eq!(item.len(), header.item_size(tier, resident));
            let read = Header::read(tier, item);
            prop_assert_eq!((read.usage, read.is_dead), (header.usage, false));
            prop_assert_eq!(read.is_changed, header.is_changed);
            prop_assert_eq!(read.expires_at_ms, header.expires_at_ms);
            prop_assert_eq!((read.key(item), super::key(tier, item)), (&key[..], &key[..]));
            match tier {
                Tier::MemoryOnly => prop_assert_eq!(read.version, header.version & 0xffff_ffff),
                Tier::BackedByLog => {
                    prop_assert_eq!((read.version, read.home), (header.version, header.home));
                }
            }
            if resident {
                prop_assert_eq!(read.value(item), value);
            }
            kill(item);
            set_usage(item, 5);
            let read = Header::read(tier, item);
            prop_assert!(read.is_dead);
            prop_assert_eq!((read.usage, read.is_changed), (5, header.is_changed));
            clear_changed(item);
            prop_assert_eq!(Header::read(tier, item), Header { is_changed: false, ..read });
        }
    }

    #[test]
    fn an_item_is_written_over_only_where_it_fits_exactly(
        (old, key, value) in any_header(),
        version: u64,
        size_change in 0_usize..2,
    ) {
        for tier in [Tier::MemoryOnly, Tier::BackedByLog] {
            let mut item = Vec::new();
            old.write(tier, &key, &value, &mut item);
            let before = item.clone();
            let old = Header::read(tier, &item);
            let new_value = vec![b'n'; value.len() + size_change];
            let new = Header::new(&key, new_value.len(), version, old.expires_at_ms, old.home);
            let fits = new.item_size(tier, true) == item.len()
                && new.encode(tier).1 == old.key_at as usize;
            prop_assert_eq!(new.write_over(tier, &old, &new_value, &mut item), fits);
            if fits {
                let read = Header::read(tier, &item);
                prop_assert_eq!((read.key(&item), read.value(&item)), (&key[..], &new_value[..]));
            } else {
                prop_assert_eq!(item, before);
            }
        }
    }
}

#[test]
fn a_small_item_in_memory_has_seven_bytes_beside_its_own() {
    let header = Header::new(b"key", 100, 1, 0, Home::default());
    assert_eq!(header.item_size(Tier::MemoryOnly, true), 7 + 3 + 100);
}
