//! Waiting for what cannot be awaited.

use std::time::{Duration, Instant};

/// Asks again and again until the condition holds; ends the test when it does not within `limit`.
pub fn wait_until(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {} s: {what}", limit.as_secs_f32());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_as_soon_as_the_condition_holds() {
        let mut asked = 0;
        wait_until(Duration::from_secs(5), "three", || {
            asked += 1;
            asked == 3
        });
        assert_eq!(asked, 3);
    }

    #[test]
    #[should_panic(expected = "not within 0.05 s: never")]
    fn it_says_what_did_not_happen() {
        wait_until(Duration::from_millis(50), "never", || false);
    }
}
