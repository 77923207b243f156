//! State that a step keeps for each flow, so that flows cannot disturb each other.

use crate::endpoint::Flow;

/// One `T` per flow, made when the flow first shows. Flows are numbered densely from 0, and a number
/// has 16 bits, so there are at most 65,536.
#[derive(Clone, Debug)]
pub(super) struct PerFlow<T> {
    flows: Vec<T>,
}

impl<T> PerFlow<T> {
    pub(super) const fn new() -> Self {
        Self { flows: Vec::new() }
    }

    /// The state of `flow`; where it is new, `make` makes it and those of the flows below it.
    pub(super) fn entry(&mut self, flow: Flow, make: impl Fn(Flow) -> T) -> &mut T {
        let place = usize::from(flow.0);
        if place >= self.flows.len() {
            let first = self.flows.len() as u16;
            self.flows.extend((first..=flow.0).map(|number| make(Flow(number))));
        }
        &mut self.flows[place]
    }

    /// The state of `flow`; none where it has not shown yet.
    pub(super) fn get(&self, flow: Flow) -> Option<&T> {
        self.flows.get(usize::from(flow.0))
    }
}
