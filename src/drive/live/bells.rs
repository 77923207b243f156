//! A bell at every gate: which of many sockets have news is told, not asked.
//!
//! The runtime wakes a task without saying why. To poll 202 sockets each time a packet comes to one of
//! them would cost more than all the rest; so each socket gets a waker of its own, which notes the number
//! of its gate before it wakes the task.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The bells of all gates.
#[derive(Debug)]
pub(super) struct Bells {
    wakers: Vec<Waker>,
    rung: Arc<Mutex<Rung>>,
}

/// Which bells have rung since one last looked, and whom they wake.
#[derive(Debug, Default)]
struct Rung {
    gates: Vec<usize>,
    task: Option<Waker>,
}

#[derive(Debug)]
struct Bell {
    gate: usize,
    rung: Arc<Mutex<Rung>>,
}

impl Bells {
    /// Bells for so many gates. All of them ring at first: nobody has looked yet.
    pub(super) fn new(gates: usize) -> Self {
        let rung = Arc::new(Mutex::new(Rung { gates: (0..gates).collect(), task: None }));
        let bell = |gate| Waker::from(Arc::new(Bell { gate, rung: Arc::clone(&rung) }));
        Self { wakers: (0..gates).map(bell).collect(), rung }
    }

    /// The gates that have rung since the last call. From now on they wake `task`.
    pub(super) fn take(&self, task: &Waker) -> Vec<usize> {
        let mut rung = lock(&self.rung);
        if !rung.task.as_ref().is_some_and(|known| known.will_wake(task)) {
            rung.task = Some(task.clone());
        }
        mem::take(&mut rung.gates)
    }

    /// Counts a gate as one that has rung, and wakes nobody: its socket is to be polled again.
    pub(super) fn again(&self, gate: usize) {
        lock(&self.rung).gates.push(gate);
    }

    /// The bell of a gate.
    pub(super) fn of(&self, gate: usize) -> &Waker {
        &self.wakers[gate]
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut rung = lock(&self.rung);
        // A bell rings once for each time that its socket is polled in vain, so this stays short.
        rung.gates.push(self.gate);
        if let Some(task) = &rung.task {
            task.wake_by_ref();
        }
    }
}

fn lock(rung: &Mutex<Rung>) -> MutexGuard<'_, Rung> {
    rung.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_rang_are_told_once() {
        let bells = Bells::new(3);
        let task = Waker::noop();
        assert_eq!(bells.take(task), [0, 1, 2], "all of them at first");
        assert!(bells.take(task).is_empty());
        bells.of(2).wake_by_ref();
        bells.of(0).wake_by_ref();
        bells.again(1);
        assert_eq!(bells.take(task), [2, 0, 1]);
    }

    #[test]
    fn a_bell_wakes_the_task_that_looked_last() {
        let bells = Bells::new(1);
        let (earlier, later) = (Bells::new(1), Bells::new(1));
        earlier.take(Waker::noop());
        later.take(Waker::noop());
        bells.take(earlier.of(0));
        bells.take(later.of(0));
        bells.of(0).wake_by_ref();
        assert!(earlier.take(Waker::noop()).is_empty());
        assert_eq!(later.take(Waker::noop()), [0]);
    }
}
