//! What a tree takes of the machine.

use std::time::Duration;

use rustix::param::{clock_ticks_per_second, page_size};

use crate::{procfs, tree};

/// What the processes of a child take of the machine. None of it is exact: processes come and go while they are looked
/// at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many there are.
    pub processes: usize,
    /// Their memory, bytes: the sum of what each has resident, so that pages they share are counted once for each. The
    /// kernel's quick figure, which may be off by some dozens of pages per thread.
    pub memory_bytes: u64,
    /// The time they had a processor, the ended ones among them included; grows over the life of a child. In steps of
    /// the kernel's clock, 10 ms as a rule.
    pub cpu: Duration,
}

/// Of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Figures {
    /// Its own time, in ticks.
    own: u64,
    /// That of children that it has waited for, and of theirs.
    reaped: u64,
    /// Pages.
    resident: u64,
}

/// The tree below this init.
pub(crate) fn below(init: u32) -> Usage {
    let mut usage = Usage::default();
    // Orphans are reaped by the init.
    let mut ticks = figures(init).map_or(0, |init| init.reaped);
    for figures in tree::below(init).into_iter().filter_map(figures) {
        usage.processes += 1;
        usage.memory_bytes += figures.resident * page_size() as u64;
        ticks += figures.own + figures.reaped;
    }
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(clock_ticks_per_second().max(1));
    usage.cpu = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    usage
}

fn figures(pid: u32) -> Option<Figures> {
    parse(&procfs::read_small(&format!("/proc/{pid}/stat")).ok()?)
}

/// proc(5), `/proc/pid/stat`; the name in parentheses may hold anything.
fn parse(text: &[u8]) -> Option<Figures> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    // The first of them is field 3.
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Figures {
        own: field(14)? + field(15)?,
        reaped: field(16)? + field(17)?,
        resident: field(24)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_where_the_kernel_puts_them() {
        let text =
            b"7 (a) R) S 2 7 9 0 -1 4 1 2 3 4 100 20 3 40 20 0 1 0 4711 9999 55 18446744073709551615\n";
        let expected = Figures {
            own: 120,
            reaped: 43,
            resident: 55,
        };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse(b"7 (a) S 2 7"), None);
        assert_eq!(parse(b""), None);
        let mine = figures(std::process::id()).unwrap();
        assert!(mine.resident > 0);
        assert_eq!(figures(u32::MAX), None);
    }
}
