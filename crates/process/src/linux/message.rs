//! Descriptors in messages, received by what cannot allocate.

#![expect(unsafe_code, reason = "reads descriptors out of a message")]

use std::ffi::c_uint;
use std::mem;
use std::os::fd::RawFd;

use super::sys;

/// As many descriptors as one message has here.
pub(super) const MOST: usize = 8;

/// Descriptors that came, and how many; the others are -1. All are closed by an `execve`.
pub(super) struct Came {
    pub(super) fds: [RawFd; MOST],
    pub(super) count: usize,
}

impl Came {
    pub(super) fn close(&self) {
        self.fds.into_iter().for_each(sys::close);
    }
}

/// Waits for a message of exactly this length; `None` when there will be none, or when it has another length.
pub(super) fn receive(socket: RawFd, bytes: &mut [u8]) -> Option<Came> {
    // Room for the descriptors of one message, as aligned as its header wants to be.
    let mut control = [0_u64; 16];
    let mut piece = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: plain numbers and pointers, for which zero is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: all three live as long as this function.
    let length = unsafe { sys::receive(socket, &mut message) };
    let came = descriptors(&message);
    if usize::try_from(length) == Ok(bytes.len()) {
        return Some(came);
    }
    came.close();
    None
}

fn descriptors(message: &libc::msghdr) -> Came {
    let mut came = Came {
        fds: [-1; MOST],
        count: 0,
    };
    // SAFETY: the kernel has filled the header in.
    let first = unsafe { libc::CMSG_FIRSTHDR(message) };
    if first.is_null() {
        return came;
    }
    // SAFETY: the kernel has put a header there.
    let control = unsafe { first.read() };
    if (control.cmsg_level, control.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
        return came;
    }
    // SAFETY: only arithmetic.
    let head = unsafe { libc::CMSG_LEN(0 as c_uint) } as usize;
    // Its type is not the same in every libc.
    let bytes = (control.cmsg_len as u64 as usize).saturating_sub(head);
    // SAFETY: only arithmetic; the data follows the header.
    let mut data = unsafe { libc::CMSG_DATA(first) }.cast::<RawFd>();
    let count = bytes.wrapping_div(size_of::<RawFd>());
    for fd in came.fds.iter_mut().take(count) {
        // SAFETY: within what the kernel says is there; the data of a message may be unaligned.
        *fd = unsafe { data.read_unaligned() };
        data = data.wrapping_add(1);
        came.count = came.count.wrapping_add(1);
    }
    came
}
