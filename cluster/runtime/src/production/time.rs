//! Waiting.

use std::time::Duration;

/// Waits at least `duration`. tokio's timer wheel has a granularity of one millisecond.
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}
