//! The way of log lines to stderr. Whoever logs never waits and never fails: lines go into a bounded queue, one thread
//! writes them, and a line that finds no room or can't be written is dropped and counted. The count is told in the
//! log as soon as it can be written again, and in the metrics at any time.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, poll};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that wait to be written: minutes of an ordinary log, and nothing beside what the server holds anyway.
const QUEUE_BYTES_MAX: usize = 4 << 20;
/// What a waiting line costs besides its bytes.
const LINE_BYTES: usize = 64;

/// The queue; a clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct LogQueue {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write.
    filled: Condvar,
    /// All has been written, or dropped.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The thread has a line in its hands.
    is_writing: bool,
    n_dropped: u64,
    n_told: u64,
}

impl LogQueue {
    /// Begins to write to `out`. `note` makes the line that tells how many were dropped.
    pub(crate) fn start(
        out: impl Write + AsFd + Send + 'static,
        note: fn(u64) -> String,
    ) -> io::Result<Self> {
        let queue = Self { shared: Arc::default() };
        let shared = queue.shared.clone();
        // Ends with the process: it may be in a write that never returns.
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.write_all(&mut Output { out, is_amid_line: false }, note))?;
        Ok(queue)
    }

    /// Adds a line that ends itself.
    pub(crate) fn push(&self, line: Vec<u8>) {
        let mut state = self.shared.state.lock();
        let bytes = line.len() + LINE_BYTES;
        if state.bytes + bytes > QUEUE_BYTES_MAX {
            state.n_dropped += 1;
            return;
        }
        state.bytes += bytes;
        state.lines.push_back(line);
        drop(state);
        self.shared.filled.notify_one();
    }

    /// Lines that were dropped since the start.
    pub(crate) fn n_dropped(&self) -> u64 {
        self.shared.state.lock().n_dropped
    }

    /// Waits until all lines are written, `wait` at most.
    pub(crate) fn flush(&self, wait: Duration) {
        let deadline = Instant::now() + wait;
        let mut state = self.shared.state.lock();
        while !state.lines.is_empty() || state.is_writing {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.shared.emptied.wait_for(&mut state, left);
        }
    }
}

impl Shared {
    fn write_all<W: Write + AsFd>(&self, out: &mut Output<W>, note: fn(u64) -> String) {
        loop {
            let (line, n_untold) = self.next();
            // Told before the line that comes after the gap.
            let told = n_untold > 0 && out.put(note(n_untold).as_bytes()).is_ok();
            let written = out.put(&line);
            let mut state = self.state.lock();
            state.n_told += if told { n_untold } else { 0 };
            state.n_dropped += u64::from(written.is_err());
            state.is_writing = false;
            if state.lines.is_empty() {
                self.emptied.notify_all();
            }
        }
    }

    /// The next line, and how many were dropped before it and not told.
    fn next(&self) -> (Vec<u8>, u64) {
        let mut state = self.state.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.bytes -= line.len() + LINE_BYTES;
                state.is_writing = true;
                return (line, state.n_dropped - state.n_told);
            }
            self.filled.wait(&mut state);
        }
    }
}

/// Where lines go, and whether the last one got there whole.
struct Output<W> {
    out: W,
    is_amid_line: bool,
}

impl<W: Write + AsFd> Output<W> {
    /// Writes a line whole, or fails; what follows a half line begins on a line of its own.
    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_amid_line {
            self.write_all(b"\n")?;
            self.is_amid_line = false;
        }
        let mut n_written = 0;
        let done = self.write_counted(line, &mut n_written);
        self.is_amid_line = done.is_err() && n_written > 0;
        done
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_counted(bytes, &mut 0)
    }

    fn write_counted(&mut self, bytes: &[u8], n_written: &mut usize) -> io::Result<()> {
        while let Some(left) = bytes.get(*n_written..).filter(|it| !it.is_empty()) {
            match self.out.write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => *n_written += n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                // Somebody who shares it made it so. Only this thread waits.
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(&self.out, PollFlags::OUT)];
                    let _interrupted = poll(&mut fds, None);
                }
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }
}

/// Takes the one write that an event is, and never fails.
impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use super::*;

    fn note(n: u64) -> String {
        format!("{n} dropped\n")
    }

    /// A pipe that takes one page.
    fn small_pipe() -> (File, File) {
        let (reader, writer) = io::pipe().unwrap();
        rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
        (OwnedFd::from(reader).into(), OwnedFd::from(writer).into())
    }

    /// Waits until `condition`.
    fn until(condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn queue_drops_excess_lines_and_reports_them_when_the_reader_resumes() {
        let (mut reader, writer) = small_pipe();
        let queue = LogQueue::start(writer, note).unwrap();
        let mut line = vec![b'x'; 999 - LINE_BYTES];
        line.extend(b"\n"); // 1,000 bytes of the queue
        let most = QUEUE_BYTES_MAX / 1000;
        for _ in 0..most + 100 {
            queue.push(line.clone());
        }
        let n_dropped = queue.n_dropped();
        assert!((90..=100).contains(&n_dropped), "{n_dropped}");
        queue.flush(Duration::from_millis(1)); // comes back, though nobody reads
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            let mut chunk = vec![0; 64 << 10];
            while !text.contains("dropped\n") || !text.ends_with("last\n") {
                let n = reader.read(&mut chunk).unwrap();
                assert!(n > 0);
                text.push_str(std::str::from_utf8(&chunk[..n]).unwrap());
            }
            text
        });
        until(|| queue.shared.state.lock().lines.is_empty());
        queue.push(b"last\n".to_vec());
        let text = reading.join().unwrap();
        assert_eq!(text.matches("dropped\n").count(), 1, "told once");
        assert!(text.contains(&format!("{n_dropped} dropped\n")));
        queue.flush(Duration::from_secs(30));
        assert_eq!(queue.n_dropped(), n_dropped);
    }

    #[test]
    fn queue_counts_lines_for_a_closed_reader() {
        let (reader, writer) = small_pipe();
        drop(reader);
        let queue = LogQueue::start(writer, note).unwrap();
        for _ in 0..3 {
            queue.push(b"line\n".to_vec());
        }
        queue.flush(Duration::from_secs(30));
        assert_eq!(queue.n_dropped(), 3);
    }

    #[test]
    fn queue_counts_lines_for_a_full_device() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let queue = LogQueue::start(full, note).unwrap();
        queue.push(b"line\n".to_vec());
        queue.flush(Duration::from_secs(30));
        assert_eq!(queue.n_dropped(), 1);
    }

    #[test]
    fn queue_loses_nothing_on_a_nonblocking_writer() {
        let (mut reader, writer) = small_pipe();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let queue = LogQueue::start(writer, note).unwrap();
        for _ in 0..100 {
            queue.push(vec![b'x'; 1000]);
        }
        let mut all = vec![0; 100_000];
        reader.read_exact(&mut all).unwrap();
        assert_eq!(queue.n_dropped(), 0);
    }
}
