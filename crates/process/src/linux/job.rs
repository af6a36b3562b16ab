//! What an init is to do, as it comes from the host over the control socket: some numbers, some descriptors, and a file
//! in memory that says what is executed.

#![expect(unsafe_code, reason = "makes pointers of offsets")]

use std::ffi::c_char;
use std::os::fd::RawFd;
use std::ptr;

use super::message::{self, MOST};
use super::sys;

/// What is said beside the descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The length of what is in the file, in bytes.
    pub(super) length: usize,
    /// The program is given a descriptor.
    pub(super) inherited: bool,
    /// The tree is to be in the control group that the init has, if it has one.
    pub(super) cgroup: bool,
}

/// A job as its init has it. All descriptors are closed by an `execve`, and above those that the program will have.
pub(super) struct Job {
    pub(super) head: Head,
    pub(super) stdout: RawFd,
    pub(super) stderr: RawFd,
    /// Where the program says what failed before its `execve`; closed by it.
    pub(super) failure: RawFd,
    /// Where the words are counted at which the program runs: the host's, once the lease is written, and the init's.
    pub(super) go: RawFd,
    sheet: RawFd,
    /// What the program is given beside its standard streams, or -1.
    pub(super) inherited: RawFd,
}

/// What is executed, in the form of `execve(2)`, in a piece of memory of its own.
pub(super) struct Loaded {
    pub(super) program: *const c_char,
    pub(super) folder: *const c_char,
    pub(super) argv: *const *const c_char,
    pub(super) envp: *const *const c_char,
    address: usize,
    length: usize,
}

impl Head {
    pub(super) const SIZE: usize = 16;

    pub(super) fn bytes(self) -> [u8; Self::SIZE] {
        let flags = u64::from(self.inherited) | (u64::from(self.cgroup) << 1);
        (self.length as u128 | (u128::from(flags) << 64)).to_ne_bytes()
    }

    fn parse(bytes: [u8; Self::SIZE]) -> Self {
        let both = u128::from_ne_bytes(bytes);
        let flags = (both >> 64) as u64;
        Self {
            length: both as u64 as usize,
            inherited: flags & 1 != 0,
            cgroup: flags & 2 != 0,
        }
    }
}

impl Job {
    pub(super) const MOST_FDS: usize = MOST;
    /// What adds one to the event that the program waits for.
    pub(super) const WORD: [u8; 8] = 1_u64.to_ne_bytes();
    /// Those of the file before the first list.
    pub(super) const WORDS: usize = 4;

    /// Waits for it; an errno when it cannot be taken, and `None` when there will be none.
    pub(super) fn receive(control: RawFd) -> Option<Result<Self, i32>> {
        let mut head = [0_u8; Head::SIZE];
        let came = message::receive(control, &mut head)?;
        let head = Head::parse(head);
        let wanted = if head.inherited { 6 } else { 5 };
        if came.count != wanted {
            // The kernel leaves out what there is no room for among this process's descriptors.
            return Some(Err(libc::EMFILE));
        }
        let [stdout, stderr, failure, go, sheet, inherited, ..] = came.fds;
        Some(Ok(Self {
            head,
            stdout,
            stderr,
            failure,
            go,
            sheet,
            inherited,
        }))
    }

    /// Closes all of it, and tells the program so. What is left open in an init would outlive the program's end of it:
    /// outputs that never end, a socket that listens and that nobody serves, a program that is never known to run.
    pub(super) fn close(&self) {
        let all = [
            self.stdout,
            self.stderr,
            self.failure,
            self.sheet,
            self.inherited,
        ];
        all.into_iter().for_each(sys::close);
        sys::write(self.go, &Self::WORD);
        sys::close(self.go);
    }

    /// Waits until the host and the init have each given their [`WORD`](Self::WORD). `false` if it cannot.
    pub(super) fn may_go(&self) -> bool {
        let mut words = 0_u64;
        while words < 2 {
            let mut more = [0; 8];
            if sys::read(self.go, &mut more) != 8 {
                return false;
            }
            words = words.saturating_add(u64::from_ne_bytes(more));
        }
        true
    }

    /// What is executed; or an errno.
    pub(super) fn load(&self) -> Result<Loaded, i32> {
        let length = self.head.length;
        let address = sys::copy(self.sheet, length);
        // Addresses are as wide as what a system call returns, and none is among the last 4095 numbers.
        if (-4095..=0).contains(&address) {
            return Err(address.wrapping_neg() as i32);
        }
        let address = address as usize;
        let base = ptr::with_exposed_provenance_mut::<c_char>(address);
        let words = base.cast::<usize>();
        // SAFETY: the host wrote the file, in the order that `plan::text` says, and it has all of it.
        unsafe {
            let [program, folder, args, env] = words.cast::<[usize; Self::WORDS]>().read();
            let argv = words.wrapping_add(Self::WORDS);
            let envp = argv.wrapping_add(args).wrapping_add(1);
            for (list, count) in [(argv, args), (envp, env)] {
                let mut place = list;
                for _ in 0..count {
                    let string = base.wrapping_add(place.read());
                    place.cast::<*const c_char>().write(string);
                    place = place.wrapping_add(1);
                }
            }
            Ok(Loaded {
                program: base.wrapping_add(program),
                folder: base.wrapping_add(folder),
                argv: argv.cast(),
                envp: envp.cast(),
                address,
                length,
            })
        }
    }
}

impl Loaded {
    /// Gives the memory back.
    ///
    /// # Safety
    ///
    /// Nobody may use it any more.
    pub(super) unsafe fn unload(&self) {
        // SAFETY: passed on to the caller.
        unsafe { sys::unmap(self.address, self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_written() {
        for (inherited, cgroup) in [(false, false), (true, false), (false, true), (true, true)] {
            let head = Head {
                length: 12_345,
                inherited,
                cgroup,
            };
            assert_eq!(Head::parse(head.bytes()), head);
        }
    }
}
