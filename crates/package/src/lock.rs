use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

/// One at a time in a folder, across processes. Released when it is dropped.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock. `None` where somebody else held it for all that time.
    pub(crate) fn take(root: &Path, patience: Duration) -> io::Result<Option<Self>> {
        const PAUSE: Duration = Duration::from_millis(10);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(root.join(".lock"))?;
        let mut waited = Duration::ZERO;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Self(file))),
                Err(Errno::WOULDBLOCK) if waited >= patience => return Ok(None),
                Err(Errno::WOULDBLOCK) => {
                    std::thread::sleep(PAUSE);
                    waited += PAUSE;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Said outright: a process that was forked meanwhile has the descriptor too, and to close
        // ours alone would leave the lock with it.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}
