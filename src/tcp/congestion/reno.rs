//! Reno (RFC 5681) as Linux does it (`tcp_cong.c`): growth counts acknowledged segments, not
//! acknowledgments.

use super::{Acknowledged, Controller, Window};

#[derive(Clone, Copy, Debug)]
pub(super) struct Reno;

impl Controller for Reno {
    fn threshold_on_loss(&mut self, window: &Window) -> u32 {
        (window.segments / 2).max(2)
    }

    fn grow(&mut self, window: &mut Window, acknowledged: &Acknowledged) {
        let left = window.after_slow_start(acknowledged);
        if left > 0 {
            window.grow_by_one_per(window.segments, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::acknowledged;
    use super::*;

    #[test]
    fn the_window_doubles_in_slow_start_and_then_grows_by_one_a_round() {
        let mut window = Window { limited: true, ..Window::new(10) };
        Reno.grow(&mut window, &acknowledged(10));
        assert_eq!(window.segments, 20);
        window.threshold = 20;
        Reno.grow(&mut window, &acknowledged(19));
        assert_eq!(window.segments, 20);
        Reno.grow(&mut window, &acknowledged(1));
        assert_eq!(window.segments, 21);
    }

    #[test]
    fn the_window_does_not_grow_while_the_application_limits_it() {
        let mut window = Window { threshold: 5, ..Window::new(10) };
        Reno.grow(&mut window, &acknowledged(10));
        assert_eq!(window.segments, 10);
    }
}
