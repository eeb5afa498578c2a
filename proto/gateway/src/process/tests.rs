use super::*;

#[test]
fn a_name_with_spaces_and_brackets_does_not_shift_the_fields() {
    let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 75 0 0 20 0 1";
    assert_eq!(cpu_us(stat), (2_500_000, 750_000));
    assert_eq!(cpu_us(""), (0, 0));
}

#[test]
fn memory_is_the_second_field_in_pages() {
    assert_eq!(resident_bytes("1000 25 7 1 0 9 0"), 25 * 4096);
    assert_eq!(resident_bytes(""), 0);
}

#[test]
fn this_process_uses_memory() {
    assert!(cfg!(not(target_os = "linux")) || usage().resident_bytes > 0);
}
