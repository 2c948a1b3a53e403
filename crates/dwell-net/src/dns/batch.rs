//! Datagrams in batches: on Linux one system call receives what has come and one sends all
//! answers; elsewhere one call each per datagram.

use std::net::{SocketAddr, UdpSocket};

/// How many datagrams one batch holds.
const BATCH: usize = 64;
/// A query longer than this is cut off, and so malformed.
const QUERY_MAX: usize = 2048;
const ANSWER_USUAL: usize = 512;

/// What became of a received datagram.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    Answered,
    Silent,
}

struct Datagram {
    query: [u8; QUERY_MAX],
    length: usize,
    peer: SocketAddr,
    answer: Vec<u8>,
    slot: Slot,
}

/// The buffers of a batch, made once.
pub(crate) struct Batch {
    datagrams: Box<[Datagram]>,
    received: usize,
    system: system::System,
}

impl Batch {
    /// Buffers for `socket`.
    pub(crate) fn new(socket: &UdpSocket) -> Self {
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        let datagram = || Datagram {
            query: [0; QUERY_MAX],
            length: 0,
            peer: nobody,
            answer: Vec::with_capacity(ANSWER_USUAL),
            slot: Slot::Silent,
        };
        let ipv4 = socket.local_addr().is_ok_and(|address| address.is_ipv4());
        Self {
            datagrams: (0..BATCH).map(|_| datagram()).collect(),
            received: 0,
            system: system::System::new(ipv4),
        }
    }

    /// Waits for datagrams, takes those that are there and counts them: none when the read timed
    /// out.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> usize {
        self.received = self.system.receive(socket, &mut self.datagrams);
        self.received
    }

    /// Calls `make` for each received datagram with its sender and the buffer of its answer.
    pub(crate) fn answer(&mut self, mut make: impl FnMut(&[u8], SocketAddr, &mut Vec<u8>) -> Slot) {
        for datagram in self.datagrams.iter_mut().take(self.received) {
            let query = datagram.query.get(..datagram.length).unwrap_or_default();
            datagram.slot = make(query, datagram.peer, &mut datagram.answer);
        }
    }

    /// Sends the answers. One that cannot be sent is lost, as datagrams may be.
    pub(crate) fn send(&mut self, socket: &UdpSocket) {
        let received = self.datagrams.get(..self.received).unwrap_or_default();
        let mut answers = received.iter().filter(|d| d.slot == Slot::Answered);
        if let (Some(only), None) = (answers.next(), answers.next()) {
            let _ = socket.send_to(&only.answer, only.peer);
            return;
        }
        self.system.send(socket, received);
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io::{IoSlice, IoSliceMut};
    use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use nix::errno::Errno;
    use nix::sys::socket::{
        MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg,
    };
    use rustix::net::addr::SocketAddrArg;
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

    use super::{BATCH, Datagram, Slot};

    /// Keeps an error that does not go away from using all of a processor.
    const AFTER_ERROR: Duration = Duration::from_millis(50);

    /// The kernel's headers for one batch, for one address family.
    pub(crate) enum System {
        V4(MultiHeaders<SockaddrIn>),
        V6(MultiHeaders<SockaddrIn6>),
    }

    impl System {
        pub(crate) fn new(ipv4: bool) -> Self {
            if ipv4 {
                Self::V4(MultiHeaders::preallocate(BATCH, None))
            } else {
                Self::V6(MultiHeaders::preallocate(BATCH, None))
            }
        }

        pub(crate) fn receive(&mut self, socket: &UdpSocket, into: &mut [Datagram]) -> usize {
            match self {
                Self::V4(headers) => receive(socket, headers, into, |from| {
                    SocketAddr::V4(SocketAddrV4::new(from.ip(), from.port()))
                }),
                Self::V6(headers) => receive(socket, headers, into, |from| {
                    let (flow, scope) = (from.flowinfo(), from.scope_id());
                    SocketAddr::V6(SocketAddrV6::new(from.ip(), from.port(), flow, scope))
                }),
            }
        }

        pub(crate) fn send(&self, socket: &UdpSocket, datagrams: &[Datagram]) {
            let answered: Vec<&Datagram> =
                datagrams.iter().filter(|d| d.slot == Slot::Answered).collect();
            let slices: Vec<[IoSlice<'_>; 1]> =
                answered.iter().map(|d| [IoSlice::new(&d.answer)]).collect();
            let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> =
                answered.iter().map(|_| SendAncillaryBuffer::default()).collect();
            let peers: Vec<SocketAddrAny> = answered.iter().map(|d| d.peer.as_any()).collect();
            let mut headers: Vec<MMsgHdr<'_>> = peers
                .iter()
                .zip(&slices)
                .zip(&mut controls)
                .map(|((peer, slice), control)| MMsgHdr::new_with_addr(peer, slice, control))
                .collect();
            let mut rest = headers.as_mut_slice();
            while !rest.is_empty() {
                // The first that fails stops a batch; it is skipped and the rest sent.
                let sent = sendmmsg(socket, rest, SendFlags::empty()).unwrap_or(0).max(1);
                rest = rest.get_mut(sent..).unwrap_or_default();
            }
        }
    }

    fn receive<S: SockaddrLike + Copy>(
        socket: &UdpSocket,
        headers: &mut MultiHeaders<S>,
        into: &mut [Datagram],
        address: impl Fn(&S) -> SocketAddr,
    ) -> usize {
        let mut peers: [(usize, Option<SocketAddr>); BATCH] = [(0, None); BATCH];
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            into.iter_mut().map(|d| [IoSliceMut::new(&mut d.query)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        let results = match recvmmsg(socket.as_raw_fd(), headers, &mut slices, flags, None) {
            Ok(results) => results,
            Err(Errno::EAGAIN | Errno::EINTR) => return 0,
            Err(error) => {
                tracing::warn!(%error, "receiving DNS queries");
                std::thread::sleep(AFTER_ERROR);
                return 0;
            }
        };
        let mut count = 0;
        for (message, peer) in results.zip(&mut peers) {
            *peer = (message.bytes, message.address.as_ref().map(&address));
            count += 1;
        }
        for (datagram, (length, peer)) in into.iter_mut().zip(peers).take(count) {
            datagram.length = length;
            datagram.peer = peer.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
        }
        count
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::net::UdpSocket;

    use super::{Datagram, Slot};

    /// Nothing is kept between batches.
    pub(crate) struct System;

    impl System {
        pub(crate) fn new(_ipv4: bool) -> Self {
            Self
        }

        pub(crate) fn receive(&mut self, socket: &UdpSocket, into: &mut [Datagram]) -> usize {
            let Some(first) = into.first_mut() else { return 0 };
            match socket.recv_from(&mut first.query) {
                Ok((length, peer)) => {
                    (first.length, first.peer) = (length, peer);
                    1
                }
                Err(_) => 0,
            }
        }

        pub(crate) fn send(&self, socket: &UdpSocket, datagrams: &[Datagram]) {
            for datagram in datagrams.iter().filter(|d| d.slot == Slot::Answered) {
                let _ = socket.send_to(&datagram.answer, datagram.peer);
            }
        }
    }
}
