//! Giving back what the forker got from the host by being its copy.
//!
//! The copy costs nothing at first, but every page that the host changes later would be kept, as it was, for the forker
//! alone, and the table of it all be copied for each init. And a deleted file that was mapped would keep its blocks.

#![expect(unsafe_code, reason = "unmaps memory that is not used any more")]

use super::{sys, text};

/// Smaller mappings are left alone: they are not worth it, and some belong to the dynamic linker.
const SMALLEST: usize = 256 * 1024;

/// How far around the stack pointer and the thread-local storage memory is kept, the kernel's own place there among it.
const AROUND: usize = 256 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: usize,
    end: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// Private, writable, of no file: the heaps and stacks of the host.
    Anonymous,
    /// Nobody can use it: what lies between them.
    Closed,
    /// Shared with the host.
    Shared,
    Other,
}

/// Gives back all large anonymous memory but the stack in use, and all shared memory: what is left is quickly forked.
///
/// # Safety
///
/// The caller must use nothing from now on but its own stack frames and what is compiled in. It must be the only
/// thread, and run on the stack of a thread that is not the main one, with its thread-local storage beside it.
pub(super) unsafe fn shed() {
    let here = 0_u8;
    let here = (&raw const here) as usize;
    let (low, high) = sys::tls_addresses();
    let tls = Range {
        start: around(low).start,
        end: around(high).end,
    };
    let keep = [around(here), tls];
    text::lines(c"/proc/thread-self/maps", |line| {
        let Some((range, kind)) = parse(line) else {
            return;
        };
        match kind {
            Kind::Anonymous if range.end.wrapping_sub(range.start) >= SMALLEST => {
                for part in without(range, keep) {
                    if part.start < part.end {
                        // SAFETY: by the contract of this function only what is in `keep` is used.
                        unsafe { sys::unmap(part.start, part.end.wrapping_sub(part.start)) };
                    }
                }
            }
            // SAFETY: as above; neither code nor stack is in shared mappings, or in those that cannot be read.
            Kind::Shared | Kind::Closed => unsafe {
                sys::unmap(range.start, range.end.wrapping_sub(range.start));
            },
            Kind::Anonymous | Kind::Other => {}
        }
    });
}

fn around(address: usize) -> Range {
    let page = !0xffff_usize;
    Range {
        start: address.saturating_sub(AROUND) & page,
        end: address.saturating_add(AROUND) & page,
    }
}

/// `range` without the two others: at most three parts, some may be empty.
fn without(range: Range, keep: [Range; 2]) -> [Range; 3] {
    let [mut low, mut high] = keep;
    if low.start > high.start {
        (low, high) = (high, low);
    }
    let clamp = |at: usize| at.max(range.start).min(range.end);
    [
        Range {
            start: range.start,
            end: clamp(low.start),
        },
        Range {
            start: clamp(low.end),
            end: clamp(high.start),
        },
        Range {
            start: clamp(low.end.max(high.end)),
            end: range.end,
        },
    ]
}

/// A line such as `7f10-7f20 rw-p 00000000 00:00 0    [heap]`.
fn parse(line: &[u8]) -> Option<(Range, Kind)> {
    let mut words = line
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let mut range = words.next()?.split(|byte| *byte == b'-');
    let range = Range {
        start: text::hexadecimal(range.next()?)?,
        end: text::hexadecimal(range.next()?)?,
    };
    let mode = words.next()?;
    let file = words.nth(2)?;
    let name = words.next().unwrap_or_default();
    let kind = match mode {
        [.., b's'] => Kind::Shared,
        b"---p" if file == b"0" => Kind::Closed,
        [_, b'w', _, b'p']
            if file == b"0"
                && (name.is_empty() || name == b"[heap]" || name.starts_with(b"[anon")) =>
        {
            Kind::Anonymous
        }
        _ => Kind::Other,
    };
    (range.start < range.end).then_some((range, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: usize, end: usize) -> Range {
        Range { start, end }
    }

    #[test]
    fn lines_are_read() {
        let kind = |line: &str| parse(line.as_bytes()).map(|(_, kind)| kind);
        assert_eq!(
            parse(
                b"5631892e6000-563189307000 rw-p 00000000 00:00 0                          [heap]"
            ),
            Some((range(0x5631_892e_6000, 0x5631_8930_7000), Kind::Anonymous))
        );
        assert_eq!(
            kind("7f00-7f10 rw-p 00000000 00:00 0 "),
            Some(Kind::Anonymous)
        );
        assert_eq!(
            kind("7f00-7f10 rw-p 00000000 00:00 0      [anon: glibc: malloc]"),
            Some(Kind::Anonymous)
        );
        assert_eq!(kind("7f00-7f10 ---p 00000000 00:00 0 "), Some(Kind::Closed));
        assert_eq!(
            kind("7f00-7f10 ---p 000b9000 fe:00 326269 /usr/lib/libc.so.6"),
            Some(Kind::Other)
        );
        assert_eq!(
            kind("7f00-7f10 rw-p 00000000 00:00 0      [stack]"),
            Some(Kind::Other)
        );
        assert_eq!(
            kind("7f00-7f10 r--p 00000000 00:00 0      [vvar]"),
            Some(Kind::Other)
        );
        assert_eq!(
            kind("7f00-7f10 rw-p 001d3000 fe:00 326269 /usr/lib/libc.so.6"),
            Some(Kind::Other)
        );
        assert_eq!(
            kind("7f00-7f10 r--s 00000000 fe:00 325737 /gconv cache"),
            Some(Kind::Shared)
        );
        assert_eq!(kind("7f00-7f00 rw-p 00000000 00:00 0"), None);
        assert_eq!(kind(""), None);
        assert_eq!(kind("x-y z"), None);
    }

    #[test]
    fn what_is_kept_is_cut_out() {
        let none = range(0, 0);
        let cut =
            |keep| without(range(100, 200), keep).map(|part| part.end.saturating_sub(part.start));
        assert_eq!(cut([none, none]), [0, 0, 100]);
        assert_eq!(cut([range(0, 100), range(200, 300)]), [0, 100, 0]);
        assert_eq!(cut([range(0, 400), range(150, 160)]), [0, 0, 0]);
        assert_eq!(
            without(range(100, 200), [range(150, 160), range(110, 120)]),
            [range(100, 110), range(120, 150), range(160, 200)]
        );
        assert_eq!(
            without(range(100, 200), [range(110, 150), range(120, 130)])[2],
            range(150, 200)
        );
    }
}
