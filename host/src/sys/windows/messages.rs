//! Writes the host's own lines to stderr, without waiting for a slow reader of stderr.

use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// How long a message may wait for the reader of stderr.
const PATIENCE: Duration = Duration::from_millis(50);

/// How many messages wait at most. More are dropped.
const WAITING: usize = 64;

/// A message, and where to tell that it is written.
type Message = (Vec<u8>, SyncSender<()>);

static MESSAGES: OnceLock<Option<SyncSender<Message>>> = OnceLock::new();

/// Starts nothing yet: the thread starts with the first message.
pub(crate) fn prepare_messages() {}

/// Writes a message of the host to stderr. stderr may have no reader, and the host must still end on
/// time. Blocks for at most 50 ms. After that, a thread goes on.
pub(crate) fn write_message(message: &[u8]) {
    write_message_within(message, PATIENCE);
}

/// Writes as [`write_message`] does, waits for at most `patience`, and returns how many bytes need not be written any
/// more: all of them, as a thread goes on.
pub(crate) fn write_message_within(message: &[u8], patience: Duration) -> usize {
    let messages = MESSAGES.get_or_init(|| {
        let (send, messages) = sync_channel(WAITING);
        let named = std::thread::Builder::new().name("messages".into()).stack_size(128 * 1024);
        named.spawn(move || write_all(&messages)).ok().map(|_| send)
    });
    let Some(messages) = messages else {
        // Without a thread, the message may have to wait.
        let _ = std::io::stderr().write_all(message);
        return message.len();
    };
    let (written, is_written) = sync_channel(1);
    if messages.try_send((message.to_vec(), written)).is_ok() {
        let _ = is_written.recv_timeout(patience);
    }
    message.len()
}

fn write_all(messages: &Receiver<Message>) {
    for (message, written) in messages {
        // An error cannot be reported anywhere else.
        let _ = std::io::stderr().write_all(&message);
        let _ = written.try_send(());
    }
}
