//! Sleeps, clocks that drift, and wall clocks that jump.

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use evenkeel_runtime::simulated::{self, Kill, clocks, create_node, now_ns, sleep_true};
use evenkeel_runtime::{clock, sleep, timeout};

use super::{finish, ip, with_echo};

#[test]
fn sleeps_are_exact_to_the_microsecond_and_cancelled_ones_leave_nothing() {
    with_echo(|_| async {
        for wait_us in [1, 10, 80, 500, 1_500, 1_000_000] {
            let before_ns = now_ns();
            sleep(Duration::from_micros(wait_us)).await;
            let late_ns = now_ns() - before_ns - wait_us * 1000;
            assert!(late_ns < 1_000, "a sleep of {wait_us} us was {late_ns} ns late");
        }
        let before = clock::monotonic_us();
        for _ in 0..1_000 {
            timeout(Duration::MAX, sleep(Duration::from_micros(50))).await.unwrap();
        }
        assert!(clock::monotonic_us() - before < 52_000);
    });
}

#[test]
fn a_clock_that_drifts_takes_its_sleeps_with_it() {
    static TRUE_NS: AtomicU64 = AtomicU64::new(0);
    finish(simulated::run(1, || async {
        let node = create_node("fast", ip(3), || async {
            let (true_ns, local_us) = (now_ns(), clock::monotonic_us());
            sleep(Duration::from_secs(10)).await;
            assert_eq!((clock::monotonic_us() - local_us) / 10, 1_000_000);
            TRUE_NS.store(now_ns() - true_ns, Ordering::Relaxed);
            pending::<()>().await;
        });
        clocks::set_drift_ppm(node, 100_000);
        sleep_true(Duration::from_secs(60)).await;
        assert_eq!(TRUE_NS.load(Ordering::Relaxed) / 1_000, 10_000_000 * 10 / 11);

        // Half way through another sleep the clock turns slow: 5 s are left, at half the speed.
        clocks::set_drift_ppm(node, 0);
        simulated::kill(node, Kill::Process);
        simulated::restart(node);
        sleep_true(Duration::from_secs(5)).await;
        clocks::set_drift_ppm(node, -500_000);
        sleep_true(Duration::from_secs(60)).await;
        assert_eq!(TRUE_NS.load(Ordering::Relaxed) / 1_000_000, 15_000);
    }));
}

#[test]
fn wall_clocks_jump_freeze_and_thaw_and_monotonic_ones_do_not() {
    with_echo(|echo| async move {
        let start = clocks::reading(echo);
        assert!(start.wall_ms.abs_diff(clocks::true_wall_ms()) <= 1);
        clocks::jump_ms(echo, -5_000);
        assert_eq!(clocks::reading(echo).wall_ms, start.wall_ms - 5_000);
        clocks::set_offset_ms(echo, 60_000);
        assert_eq!(clocks::reading(echo).wall_ms, start.wall_ms + 60_000);
        clocks::freeze(echo);
        sleep_true(Duration::from_secs(1)).await;
        let frozen = clocks::reading(echo);
        assert_eq!(frozen.wall_ms, start.wall_ms + 60_000);
        assert_eq!((frozen.monotonic_us - start.monotonic_us) / 1000, 1_000);
        clocks::thaw(echo);
        assert_eq!(clocks::reading(echo).wall_ms, start.wall_ms + 61_000);
    });
}
