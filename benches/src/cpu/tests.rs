use super::*;

#[test]
fn work_done_here_is_seen_and_work_elsewhere_is_not() {
    let own = std::process::id();
    let before = used_us(&[own]);
    let mut sum = 0_u64;
    while used_us(&[own]) < before + 3 * TICK_US {
        sum = (0..1_000_000).fold(sum, |sum, number| std::hint::black_box(sum ^ number));
    }
    assert_eq!(used_us(&[]), 0);
    assert_eq!(used_us(&[u32::MAX]), 0);
}

#[test]
fn a_child_is_found_by_its_parent() {
    let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    assert!(children(std::process::id()).contains(&child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!children(std::process::id()).contains(&child.id()));
}
