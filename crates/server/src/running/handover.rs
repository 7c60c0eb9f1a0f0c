//! What a running server does about successors: it lets one have the data folder and goes on with requests, until that one
//! serves or has come to nothing.

use std::io;
use std::time::Duration;

use dedi_failpoint as failpoint;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::{Server, say_address};
use crate::takeover::{Offer, Successor};

/// Longest a successor may take to open the data folder that it was given. Until then nobody takes it back.
const TAKE_UP_WAIT: Duration = Duration::from_secs(5);
/// Shortest time between two attempts to take the data folder back.
const TAKE_BACK_GAP: Duration = Duration::from_millis(500);

impl Server {
    /// Lets a successor have the data folder and goes on with requests.
    pub(super) async fn hand_over(&mut self, mut successor: Successor) {
        tracing::info!(
            "a new server asks to take over: it is given the data folder, requests are taken here"
        );
        // The successor makes its own socket of that name.
        self.offer = None;
        if self.take_back_at.is_none() {
            // It decides from now on; this control plane must not act any more.
            self.gate.hold_writes().await;
            failpoint::hit("takeover.before", "let-go");
            self.end_behind().await;
            failpoint::hit("takeover.half-way", "let-go");
            self.take_back_at = Some(Instant::now());
            if let Err(err) = self.folder.let_go().await {
                tracing::warn!("the data folder can't be let go of: {err}");
                return self.offer();
            }
        }
        failpoint::hit("takeover.before", "release");
        match successor.release().await {
            Ok(()) => {
                self.take_back_at = Some(Instant::now() + TAKE_UP_WAIT);
                self.successor = Some(successor);
            }
            Err(err) => {
                tracing::warn!("the new server did not wait for the data folder: {err}");
                self.offer();
            }
        }
        failpoint::hit("takeover.after", "release");
    }

    /// The connection to the successor if it serves. If it has gone, the folder is to be taken back.
    pub(super) fn has_successor(&mut self, said: io::Result<()>) -> Option<UnixStream> {
        let successor = self.successor.take()?;
        match said {
            Ok(()) => Some(successor.into_stream()),
            Err(err) => {
                tracing::warn!("the new server ended before it served ({err}): this one goes on");
                self.take_back_at = Some(Instant::now());
                self.offer();
                None
            }
        }
    }

    /// Takes the data folder back from a successor that has gone, or never opened it. One that holds it may take its
    /// time: requests are answered here meanwhile.
    pub(super) async fn take_back(&mut self) {
        match self.folder.take_back().await {
            Ok(()) => {
                self.take_back_at = None;
                self.gate.open();
                self.not_back.clear();
                self.successor = None;
                self.begin_behind();
                self.offer();
                if let Err(err) = say_address(&self.folder.data, self.address) {
                    tracing::warn!("{err}");
                }
                tracing::warn!(
                    "the takeover came to nothing: this server has its data folder again and goes on"
                );
            }
            Err(err) => {
                self.take_back_at = Some(Instant::now() + TAKE_BACK_GAP);
                let said = err.to_string();
                if said != self.not_back {
                    tracing::warn!(
                        "a new server has not taken over yet, and the data folder can't be taken back: {said}; \
                         this server answers requests, but can't start, stop or change anything until one of the two is done"
                    );
                    self.not_back = said;
                }
            }
        }
    }

    /// Lets successors ask, if they can't yet.
    pub(super) fn offer(&mut self) {
        // A successor that has gone may have made the socket its own: it is made anew.
        self.offer = None;
        let Some(listening) = &self.listening else { return };
        self.offer = Offer::new(self.folder.data.takeover_socket(), listening)
            .inspect_err(|err| tracing::warn!(error = %err, "a later server will not be able to take over"))
            .ok();
    }
}
