//! What the driver has to know of an end of a connection.

use std::cell::RefCell;
use std::rc::Rc;

use socket2::Socket;

use super::book::Book;
use crate::drive::message::TcpSample;

/// A view into one end of a connection, for the driver that owns its socket's readiness. To be looked at
/// after every call of the end.
#[derive(Clone, Debug, Default)]
pub struct Tap {
    state: Rc<RefCell<State>>,
    book: Book,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) socket: Option<Rc<Socket>>,
    pub(super) wants_to_write: bool,
    pub(super) position: u64,
    pub(super) sample: Option<TcpSample>,
    pub(super) failure: Option<String>,
}

impl Tap {
    pub(super) fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.borrow_mut());
    }

    /// The socket to wait for. It changes once at the server's end: from the listening socket to the
    /// connection's. None before the client's end is called for the first time, and where the connection
    /// is over.
    pub fn socket(&self) -> Option<Rc<Socket>> {
        self.state.borrow().socket.clone()
    }

    /// Whether the end wants to be called when the socket can be written; it always does when the socket
    /// can be read.
    pub fn wants_to_write(&self) -> bool {
        self.state.borrow().wants_to_write
    }

    /// How many bytes of the other end's stream the application has read.
    pub fn position(&self) -> u64 {
        self.state.borrow().position
    }

    /// What the kernel said about the connection, if it was asked since the last call.
    pub fn take_sample(&self) -> Option<TcpSample> {
        self.state.borrow_mut().sample.take()
    }

    /// Why the connection is over, where it is.
    pub fn failure(&self) -> Option<String> {
        self.state.borrow().failure.clone()
    }

    /// The deadlines of what this end writes.
    pub fn book(&self) -> Book {
        self.book.clone()
    }
}
