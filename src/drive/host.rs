//! One end of a session as a driver sees it: a transport with the applications on top of it.

use std::fmt;

use super::datagram::{Carried, Datagram};
use crate::endpoint::{Arrival, Direction, Endpoint, Flow, FrameEvent, FrameTransport, Transmit};
use crate::record::{Event, Record, Sink};
use crate::time::Time;
use crate::traffic::{Captured, Viewer, Workload};

/// A transport that carries frames in datagrams of whatever protocol.
type AnyTransport = Box<dyn FrameTransport<Packet = Datagram>>;

/// One end of a session: what it sends, the transport, and what it makes of what arrives.
pub struct Host {
    flow: Flow,
    /// The direction in which this end sends.
    direction: Direction,
    transport: AnyTransport,
    workload: Option<Box<dyn Workload>>,
    /// When the workload stops; what it has captured by then may still arrive.
    until: Time,
    viewer: Option<Viewer>,
}

impl Host {
    /// An end that sends the frames of `workload` (if any) captured before `until` in `direction`, and
    /// shows what comes the other way to `viewer`, if anybody looks.
    pub fn new<T>(
        flow: Flow,
        direction: Direction,
        transport: T,
        workload: Option<Box<dyn Workload>>,
        until: Time,
        viewer: Option<Viewer>,
    ) -> Self
    where
        T: FrameTransport + fmt::Debug + 'static,
        Datagram: From<T::Packet>,
        T::Packet: TryFrom<Datagram>,
    {
        Self { flow, direction, transport: Box::new(Carried(transport)), workload, until, viewer }
    }

    /// The socket of a transport that has one is ready to be read or written. Calling it early does no
    /// harm.
    #[cfg(target_os = "linux")]
    pub fn handle_ready(&mut self, now: Time, sink: &mut dyn Sink) {
        self.transport.handle_timeout(now, sink);
        self.tell_applications(now, sink);
        self.capture(now, sink);
    }

    /// From now on so many repair packets more with each block that this end sends, or fewer
    /// ([`FrameTransport::adjust_repair`]).
    pub fn adjust_repair(&mut self, steps: i8) {
        self.transport.adjust_repair(steps);
    }

    /// When the workload wants to capture its next frame, while it runs.
    fn capture_at(&self) -> Option<Time> {
        self.workload.as_ref()?.next_at().filter(|&at| at < self.until)
    }

    /// Captures every frame that is due and hands it to the transport.
    fn capture(&mut self, now: Time, sink: &mut dyn Sink) {
        while self.capture_at().is_some_and(|at| at <= now) {
            let Some(workload) = &mut self.workload else { return };
            let (rate, backlog) = (self.transport.rate_estimate(), self.transport.backlog());
            let Some(captured) = workload.capture(now, rate, backlog) else { continue };
            let Captured { frame, regions, again } = captured;
            let event = Event::FrameCaptured {
                frame: frame.id,
                bytes: frame.size,
                deadline: frame.deadline,
                regions,
                again,
            };
            sink.record(&Record { at: now, flow: self.flow, direction: self.direction, event });
            self.transport.offer(now, frame, sink);
            self.tell_applications(now, sink);
        }
    }

    /// Passes on what the transport has to tell.
    fn tell_applications(&mut self, now: Time, sink: &mut dyn Sink) {
        while let Some(event) = self.transport.poll_event() {
            let missing = match (event, &mut self.viewer, &mut self.workload) {
                (FrameEvent::Delivered(frame), Some(viewer), _) => viewer.handle_delivered(now, &frame, sink),
                (FrameEvent::Lost(frame), Some(viewer), _) => viewer.handle_lost(now, frame, sink),
                (FrameEvent::Dropped(frame), _, Some(workload)) => {
                    workload.handle_dropped(now, frame);
                    None
                }
                (FrameEvent::RefreshRequested(frame), _, Some(workload)) => {
                    workload.handle_refresh_request(now, frame);
                    None
                }
                // What nobody is interested in.
                _ => None,
            };
            if let Some(frame) = missing {
                self.transport.request_refresh(now, frame);
            }
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("flow", &self.flow)
            .field("direction", &self.direction)
            .field("workload", &self.workload)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl Endpoint for Host {
    type Packet = Datagram;

    fn handle_packet(&mut self, now: Time, arrival: Arrival<Datagram>, sink: &mut dyn Sink) {
        self.transport.handle_packet(now, arrival, sink);
        self.tell_applications(now, sink);
        self.capture(now, sink);
    }

    fn handle_timeout(&mut self, now: Time, sink: &mut dyn Sink) {
        if self.transport.poll_timeout().is_some_and(|at| at <= now) {
            self.transport.handle_timeout(now, sink);
            self.tell_applications(now, sink);
        }
        self.capture(now, sink);
    }

    fn poll_transmit(&mut self, now: Time, sink: &mut dyn Sink) -> Option<Transmit<Datagram>> {
        let transmit = self.transport.poll_transmit(now, sink);
        self.tell_applications(now, sink);
        transmit
    }

    fn poll_timeout(&self) -> Option<Time> {
        Time::earliest([self.transport.poll_timeout(), self.capture_at()])
    }
}
