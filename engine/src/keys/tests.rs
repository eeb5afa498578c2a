use super::*;

const PLACE: Place = Place { incarnation: 2, segment: 3, offset: 4096 };

fn identity() -> Identity {
    Identity { cluster: 7, node: 3, name: "node-3".to_owned() }
}

fn seed(byte: u8) -> Seed {
    Seed::new([byte; KEY_SIZE])
}

/// RFC 5869, appendix A.1: that HKDF is what it says, over the library's interface as we use it.
#[test]
fn keys_are_derived_as_in_rfc_5869() {
    let secret = [0x0b; 22];
    let salt: Vec<u8> = (0..=0x0c).collect();
    let info: Vec<u8> = (0xf0..=0xf9).collect();
    let derived: [u8; 42] = derive(&secret, &salt, &[&info]);
    let hex: String = derived.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    );
}

/// For ever: what one release wraps and encrypts, a later one opens. The values were computed by
/// another implementation, from the description in docs/internals/format.md.
#[test]
fn keys_follow_from_keys_as_they_always_did() {
    let root = RootKey::new([1; KEY_SIZE]);
    assert_eq!(root.id().to_string(), "113f12006abbb2ab");
    let directory = DirectoryKey::draw(&seed(2));
    let wrap = root.wrap(&directory, &identity(), &seed(3));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&wrap.nonce), "ffff3f8e152834f3d3f05b4c");
    assert_eq!(
        hex(&wrap.sealed),
        "7b2ab66c594088065b83adc6097732c5a95eb3ef678b4f97361cd919044a2365"
    );
    assert_eq!(hex(&wrap.tag), "a7a6c49f72d2846c9eb059386ef86bfc");
    let mut body = *b"payload";
    let tag = directory.data_key(2, &[9; SALT_SIZE]).seal(PLACE, b"fields", &mut body);
    assert_eq!(
        (hex(&body), hex(&tag)),
        ("910c91d883face".to_owned(), "1de4d8df638aeda5c5c55b29a70df11e".to_owned())
    );
}

#[test]
fn a_wrap_opens_with_its_key_for_its_directory_only() {
    let root = RootKey::new([1; KEY_SIZE]);
    let directory = DirectoryKey::draw(&seed(2));
    let wrap = root.wrap(&directory, &identity(), &seed(3));
    let opened = root.unwrap(&wrap, &identity()).expect("its own key");
    assert_eq!(*opened.0, *directory.0);
    assert!(RootKey::new([2; KEY_SIZE]).unwrap(&wrap, &identity()).is_none());
    assert!(root.unwrap(&wrap, &Identity { node: 4, ..identity() }).is_none());
    assert!(root.unwrap(&wrap, &Identity { cluster: 8, ..identity() }).is_none());
    for byte in 0..KEY_SIZE + SEAL_TAG_SIZE + NONCE_LEN + 8 {
        let mut wrap = wrap;
        match byte {
            0..32 => wrap.sealed[byte] ^= 1,
            32..48 => wrap.tag[byte - 32] ^= 1,
            48..60 => wrap.nonce[byte - 48] ^= 1,
            _ => wrap.root.0[byte - 60] ^= 1,
        }
        assert!(root.unwrap(&wrap, &identity()).is_none(), "byte {byte} was changed");
    }
}

#[test]
fn a_payload_opens_with_its_key_at_its_place_with_its_fields_only() {
    let directory = DirectoryKey::draw(&seed(2));
    let key = directory.data_key(2, &[9; SALT_SIZE]);
    let mut body = *b"payload";
    let tag = key.seal(PLACE, b"fields", &mut body);
    assert_ne!(body, *b"payload");
    assert_eq!(key.open(PLACE, b"fields", &body, &tag).as_deref(), Some(&b"payload"[..]));
    assert_eq!(key.open(PLACE, b"fieldS", &body, &tag), None);
    for elsewhere in [
        Place { incarnation: 3, ..PLACE },
        Place { segment: 4, ..PLACE },
        Place { offset: 4097, ..PLACE },
    ] {
        assert_eq!(key.open(elsewhere, b"fields", &body, &tag), None);
    }
    for other in [directory.data_key(3, &[9; SALT_SIZE]), directory.data_key(2, &[8; SALT_SIZE])] {
        assert_eq!(other.open(PLACE, b"fields", &body, &tag), None);
    }
}

#[test]
fn what_is_drawn_differs_by_purpose_and_by_life() {
    let draw = |purpose: &str, generation, incarnation| -> [u8; 16] {
        seed(1).draw(purpose, generation, incarnation)
    };
    let drawn = [draw("salt", 1, 1), draw("wrap", 1, 1), draw("salt", 2, 1), draw("salt", 1, 2)];
    for (index, one) in drawn.iter().enumerate() {
        assert!(drawn[..index].iter().all(|other| other != one));
    }
    assert_eq!(drawn[0], draw("salt", 1, 1));
}

#[test]
fn no_key_is_ever_printed() {
    let root = RootKey::new([0xab; KEY_SIZE]);
    let encryption = Encryption { root: root.clone(), seed: seed(0xcd) };
    let directory = DirectoryKey::draw(&seed(0xcd));
    let data = directory.data_key(1, &[0; SALT_SIZE]);
    let text = format!("{root:?} {encryption:?} {:?} {directory:?} {data:?}", seed(0xcd));
    for secret in ["abab", "171", "cdcd", "205"] {
        assert!(!text.contains(secret), "{text}");
    }
}
