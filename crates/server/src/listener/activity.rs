//! What one connection does, and how long it may: a request's head has a limit that begins with the connection, a
//! connection without a request another, and an answer ends when its client takes nothing of it.
//!
//! The HTTP library counts from a head's first byte, and from nothing at all while it waits to learn which version a
//! connection speaks.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::config::ListenConfig;
use super::permits::ConnectionPermit;

/// Between two looks at a connection whose last bytes are on their way.
const LAST_BYTES_DELAY: Duration = Duration::from_millis(100);
/// Largest piece of an answer that a connection is given at once: whole answers are given in such pieces, too, so that
/// it shows when the client takes nothing more of one.
const PIECE_BYTES_MAX: usize = 64 << 10;
/// One answer of several on a connection may wait for its client this many times as long as the only one: the library
/// can't end one stream of HTTP/2 for us, and the others are being read.
const ONE_OF_SEVERAL: u32 = 4;
/// How long a connection in the reserve goes on after its first answer, for the answer's last bytes.
const RESERVED_WAIT: Duration = Duration::from_secs(2);
/// Longest that a connection without a permit goes on for its last bytes: it is counted nowhere any more, and a client
/// that takes nothing could keep any number of them.
const EVICTION_WAIT: Duration = Duration::from_secs(2);

/// Longest waits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    head: Duration,
    idle: Duration,
    /// For the client to take something of its answer.
    stall: Duration,
}

impl Waits {
    pub(super) fn new(config: &ListenConfig, stall: Duration) -> Self {
        let (head, idle) =
            (Duration::from_secs(config.header_timeout_secs), Duration::from_secs(config.keep_alive_secs));
        Self { head, idle, stall }
    }
}

/// One connection's.
#[derive(Debug)]
pub(crate) struct Activity {
    waits: Waits,
    permit: ConnectionPermit,
    begun: Instant,
    state: Mutex<State>,
    changed: Notify,
    /// The client has not taken all that was written.
    is_blocked: AtomicBool,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    n_requests: usize,
    /// Its requests have no heads that a byte could be the first of.
    is_multiplexed: bool,
    /// When each answer under way was last given a piece that the connection has not come back from; 0 while the
    /// answer itself is waited for.
    given: Vec<Arc<AtomicU64>>,
    /// When a connection in the reserve is closed, whatever else it asks.
    last_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A head is to be there by then.
    Head(Instant),
    /// Nothing was asked since the last answer.
    Idle(Instant),
    Busy,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Another one needed its permit.
    Evicted,
    /// Its request's head did not come.
    NoHead,
    /// It was not used.
    Idle,
    /// Its client took nothing of an answer.
    Stalled,
}

impl Activity {
    pub(super) fn new(waits: Waits, permit: ConnectionPermit) -> Arc<Self> {
        let begun = Instant::now();
        let phase = Phase::Head(begun + waits.head);
        let state =
            State { phase, n_requests: 0, is_multiplexed: false, given: Vec::new(), last_until: None };
        let (state, is_blocked) = (Mutex::new(state), AtomicBool::new(false));
        Arc::new(Self { waits, permit, begun, state, changed: Notify::new(), is_blocked })
    }

    /// Whether its permit is in the reserve.
    pub(super) fn is_reserved(&self) -> bool {
        self.permit.is_reserved
    }

    /// A head is there; the request is under way until the value, or the answer it is put into, is dropped.
    pub(super) fn begin(self: &Arc<Self>, is_multiplexed: bool) -> UnderWay {
        let given = Arc::new(AtomicU64::new(0));
        let mut state = self.state.lock();
        state.phase = Phase::Busy;
        state.n_requests += 1;
        state.is_multiplexed |= is_multiplexed;
        state.given.push(given.clone());
        if state.n_requests == 1 {
            self.permit.begin();
        }
        drop(state);
        UnderWay { activity: self.clone(), given }
    }

    /// Whether an answer is being made or given to the connection.
    pub(crate) fn is_answering(&self) -> bool {
        self.state.lock().n_requests > 0
    }

    /// The client sent something.
    pub(crate) fn heard(&self) {
        let mut state = self.state.lock();
        if let (Phase::Idle(_), false) = (state.phase, state.is_multiplexed) {
            state.phase = Phase::Head(Instant::now() + self.waits.head);
            self.changed.notify_one();
        }
    }

    /// The client took something, or takes nothing for now.
    pub(crate) fn wrote(&self, is_blocked: bool) {
        let was_blocked = self.is_blocked.swap(is_blocked, Ordering::AcqRel);
        // The rest of an answer has just gone. Anything else, such as a ping of ours, is no use of the connection.
        if was_blocked && !is_blocked {
            let mut state = self.state.lock();
            if let Phase::Idle(until) = &mut state.phase {
                *until = Instant::now() + self.waits.idle;
            }
        }
    }

    /// Returns when the connection is to be closed.
    pub(super) async fn over(&self) -> Over {
        loop {
            let now = Instant::now();
            let (phase, last_until) = {
                let state = self.state.lock();
                (state.phase, state.last_until)
            };
            if last_until.is_some_and(|it| it <= now) {
                return Over::Idle;
            }
            let look_again_at = match phase {
                Phase::Head(until) if until <= now => return Over::NoHead,
                // What is still on its way has a limit of its own.
                Phase::Idle(_) if self.is_blocked.load(Ordering::Acquire) => now + LAST_BYTES_DELAY,
                Phase::Idle(until) if until <= now => return Over::Idle,
                Phase::Head(until) | Phase::Idle(until) => until,
                Phase::Busy if self.has_stalled(now) => return Over::Stalled,
                Phase::Busy => now + self.waits.stall / 2,
            };
            let look_again_at = last_until.map_or(look_again_at, |it| it.min(look_again_at));
            tokio::select! {
                () = self.permit.close.cancelled() => return self.evicted().await,
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(look_again_at) => {}
            }
        }
    }

    async fn evicted(&self) -> Over {
        // An answer that was whole for the server may still be on its way to the client.
        let until = Instant::now() + EVICTION_WAIT;
        while self.is_blocked.load(Ordering::Acquire) && Instant::now() < until {
            tokio::time::sleep(LAST_BYTES_DELAY).await;
        }
        Over::Evicted
    }

    fn has_stalled(&self, now: Instant) -> bool {
        let since = |limit: Duration| self.stamp(now).saturating_sub(millis(limit));
        let (stall, alone) = (since(self.waits.stall), since(self.waits.stall * ONE_OF_SEVERAL));
        let state = self.state.lock();
        let mut given = state.given.iter().map(|it| it.load(Ordering::Relaxed)).filter(|it| *it != 0);
        // Those that wait for a replica say nothing about the client.
        let Some(first) = given.next() else { return false };
        let (oldest, newest) = given.fold((first, first), |(old, new), it| (old.min(it), new.max(it)));
        newest < stall || oldest < alone
    }

    /// Milliseconds of this connection, never 0.
    fn stamp(&self, now: Instant) -> u64 {
        millis(now.duration_since(self.begun)) + 1
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A request from its head to the last byte of its answer.
#[derive(Debug)]
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    given: Arc<AtomicU64>,
}

impl UnderWay {
    /// The body, with the request under way until its end.
    pub(super) fn until_the_end_of(self, body: Body) -> Body {
        Body::new(Watched { body, rest: Bytes::new(), request: self })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.activity.state.lock();
        state.given.retain(|it| !Arc::ptr_eq(it, &self.given));
        state.n_requests -= 1;
        if state.n_requests == 0 {
            state.phase = Phase::Idle(Instant::now() + self.activity.waits.idle);
            self.activity.permit.end();
        }
        // Over HTTP/1 the answer has said so, and the library closes it.
        if state.is_multiplexed && self.activity.is_reserved() && state.last_until.is_none() {
            state.last_until = Some(Instant::now() + RESERVED_WAIT);
            self.activity.changed.notify_one();
        }
    }
}

/// An answer that knows when the connection last came for a piece of it.
struct Watched {
    body: Body,
    /// Of a piece that was too large to be given at once.
    rest: Bytes,
    request: UnderWay,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = if self.rest.is_empty() {
            Pin::new(&mut self.body).poll_frame(cx)
        } else {
            Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.rest)))))
        };
        let polled = polled.map_ok(|frame| match frame.into_data() {
            Ok(mut data) => {
                if data.len() > PIECE_BYTES_MAX {
                    self.rest = data.split_off(PIECE_BYTES_MAX);
                }
                Frame::data(data)
            }
            Err(trailers) => trailers,
        });
        let given = match &polled {
            Poll::Ready(Some(Ok(_))) => self.request.activity.stamp(Instant::now()),
            Poll::Ready(Some(Err(_)) | None) | Poll::Pending => 0,
        };
        self.request.given.store(given, Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        match hint.exact() {
            Some(exact) => hint.set_exact(exact.saturating_add(rest)),
            None => hint.set_lower(hint.lower().saturating_add(rest)),
        }
        hint
    }
}

/// The address of a connection's other end, and what it does.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) activity: Arc<Activity>,
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::super::permits::ConnectionPermits;
    use super::*;

    fn activity() -> Arc<Activity> {
        let waits = Waits {
            head: Duration::from_millis(50),
            idle: Duration::from_millis(200),
            stall: Duration::from_millis(50),
        };
        let permit = ConnectionPermits::new(8, 8).enter([127, 0, 0, 1].into(), false).unwrap();
        Activity::new(waits, permit)
    }

    async fn over(activity: &Activity) -> Over {
        tokio::time::timeout(Duration::from_secs(30), activity.over()).await.expect("it ends")
    }

    #[tokio::test]
    async fn pings_on_a_connection_are_no_use_of_it() {
        let activity = activity();
        drop(activity.begin(true));
        let pings = async {
            loop {
                activity.wrote(false);
                activity.heard();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            why = over(&activity) => assert_eq!(why, Over::Idle),
            () = pings => {}
        }
    }

    #[tokio::test]
    async fn a_head_that_begins_on_an_idle_connection_has_its_own_limit() {
        let activity = activity();
        assert_eq!(over(&activity).await, Over::NoHead, "the first one");
        drop(activity.begin(false));
        activity.heard();
        assert_eq!(over(&activity).await, Over::NoHead);
        drop(activity.begin(false));
        assert_eq!(over(&activity).await, Over::Idle);
    }

    #[tokio::test]
    async fn last_bytes_on_their_way_keep_a_connection() {
        let activity = activity();
        drop(activity.begin(false));
        activity.wrote(true);
        let waits = tokio::time::timeout(Duration::from_millis(600), activity.over());
        assert!(waits.await.is_err());
        activity.wrote(false);
        assert_eq!(over(&activity).await, Over::Idle);
    }

    #[tokio::test]
    async fn a_connection_without_a_place_does_not_wait_for_its_client_for_ever() {
        let activity = activity();
        drop(activity.begin(false));
        activity.wrote(true);
        activity.permit.close.cancel();
        let begun = Instant::now();
        assert_eq!(over(&activity).await, Over::Evicted);
        assert!(begun.elapsed() >= EVICTION_WAIT);
    }

    #[tokio::test]
    async fn a_whole_answer_is_given_in_pieces() {
        const LONG: usize = 3 * PIECE_BYTES_MAX + 1;
        let activity = activity();
        let mut body = activity.begin(true).until_the_end_of(Body::from(vec![b'x'; LONG]));
        let mut sizes = Vec::new();
        loop {
            let left = LONG - sizes.iter().sum::<usize>();
            assert_eq!(hyper::body::Body::size_hint(&body).exact(), Some(left as u64));
            let Some(frame) = body.frame().await else { break };
            sizes.push(frame.unwrap().into_data().unwrap().len());
            // The connection has not come back for the next one.
            assert_eq!(activity.state.lock().n_requests, 1);
        }
        assert_eq!(sizes, [PIECE_BYTES_MAX, PIECE_BYTES_MAX, PIECE_BYTES_MAX, 1]);
    }

    #[tokio::test]
    async fn an_answer_that_is_not_taken_among_others_that_are_has_longer() {
        let activity = activity();
        let stall = activity.waits.stall;
        let (one, other) = (activity.begin(true), activity.begin(true));
        let after = |stalls: u32| activity.begun + stall * stalls + Duration::from_millis(2);
        let given = |to: &UnderWay, at: Instant| to.given.store(activity.stamp(at), Ordering::Relaxed);
        given(&one, activity.begun);
        given(&other, activity.begun);
        assert!(!activity.has_stalled(activity.begun + stall));
        assert!(activity.has_stalled(after(1)), "nothing is taken of either");
        other.given.store(0, Ordering::Relaxed);
        assert!(activity.has_stalled(after(1)), "the other one waits for its replica");
        for stalls in 1..ONE_OF_SEVERAL {
            given(&other, after(stalls));
            assert!(!activity.has_stalled(after(stalls)), "the other one is being taken");
        }
        given(&other, after(ONE_OF_SEVERAL));
        assert!(activity.has_stalled(after(ONE_OF_SEVERAL)));
    }

    #[tokio::test]
    async fn a_reserved_connection_of_http_2_ends_after_its_first_answer() {
        let waits = Waits {
            head: Duration::from_secs(60),
            idle: Duration::from_secs(600),
            stall: Duration::from_secs(60),
        };
        let (permits, here) = (ConnectionPermits::new(64, 1), [127, 0, 0, 1].into());
        let busy = Activity::new(waits, permits.enter(here, false).unwrap());
        let _busy = busy.begin(true);
        let reserved = Activity::new(waits, permits.enter(here, false).unwrap());
        assert!(reserved.is_reserved());
        let first = reserved.begin(true);
        let _second = reserved.begin(true);
        assert_eq!(reserved.state.lock().last_until, None);
        drop(first);
        assert_eq!(over(&reserved).await, Over::Idle);
    }
}
