use super::*;

fn client(id: u64, port: u16) -> Client {
    Client::new(id, ([127, 0, 0, 1], port).into(), ([127, 0, 0, 1], 7001).into(), 0)
}

fn all() -> KillFilter<'static> {
    KillFilter::All { id: None, address: None, local_address: None, user: None, skip_me: true }
}

#[test]
fn every_given_filter_must_match() {
    let client = client(7, 5000);
    assert!(matches(&KillFilter::AddressOnly(b"127.0.0.1:5000"), &client, 1));
    assert!(!matches(&KillFilter::AddressOnly(b"127.0.0.1:5001"), &client, 1));
    assert!(matches(&all(), &client, 1));
    assert!(!matches(&all(), &client, 7), "skip me");
    let with = |id, address: Option<&'static [u8]>, user: Option<&'static [u8]>| KillFilter::All {
        id,
        address,
        local_address: Some(b"127.0.0.1:7001"),
        user,
        skip_me: false,
    };
    assert!(matches(&with(Some(7), Some(b"127.0.0.1:5000"), Some(b"default")), &client, 7));
    assert!(!matches(&with(Some(7), Some(b"127.0.0.1:1"), None), &client, 7));
    assert!(!matches(&with(Some(8), None, None), &client, 7));
    assert!(!matches(&with(None, None, Some(b"somebody")), &client, 7));
}

#[test]
fn names_are_checked_before_they_are_taken() {
    let client = client(1, 1);
    set_name(&client, b"worker-1").expect("a name");
    assert!(set_name(&client, b"two words").is_err());
    let long = set_name(&client, &[b'a'; CLIENT_NAME_SIZE_MAX + 1]).expect_err("too long");
    assert!(long.contains("257 bytes, at most 256"), "{long}");
    assert_eq!(client.name.borrow().as_str(), "worker-1");
    set_name(&client, b"").expect("empty unsets");
    assert_eq!(client.name.borrow().as_str(), "");
}
