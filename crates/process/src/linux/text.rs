//! Reading the kernel's text files and folders with a buffer on the stack.

use std::ffi::CStr;
use std::os::fd::RawFd;

use super::sys;

/// Longer lines are cut: what matters stands at their beginning.
const LONGEST: usize = 256;

/// Calls `each` with every line of a file; `false` when it cannot be opened.
pub(super) fn lines(path: &CStr, mut each: impl FnMut(&[u8])) -> bool {
    pieces(path, b'\n', &mut each)
}

/// Calls `each` with every word of a file that has words with single spaces between them.
pub(super) fn words(path: &CStr, mut each: impl FnMut(&[u8])) -> bool {
    pieces(path, b' ', &mut each)
}

/// Calls `each` with every entry of a folder whose name is a number, and with the descriptor by which the folder is
/// being read; `false` when it cannot be.
pub(super) fn numbers(path: &CStr, mut each: impl FnMut(u32, RawFd)) -> bool {
    let Ok(fd) = i32::try_from(sys::open(path, libc::O_RDONLY | libc::O_DIRECTORY)) else {
        return false;
    };
    if fd < 0 {
        return false;
    }
    let mut buffer = [0_u8; 4096];
    let whole = loop {
        let Ok(length) = usize::try_from(sys::getdents(fd, &mut buffer)) else {
            break false;
        };
        let Some(mut rest) = buffer.get(..length).filter(|all| !all.is_empty()) else {
            break length == 0;
        };
        // Each is: inode 8 bytes, offset 8, length of this entry 2, type 1, name up to a NUL.
        while let Some([low, high]) = rest
            .get(16..18)
            .and_then(|bytes| <[u8; 2]>::try_from(bytes).ok())
        {
            let length = usize::from(u16::from_ne_bytes([low, high]));
            let name = rest.get(19..length).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            if let Some(number) = decimal(name) {
                each(number, fd);
            }
            match rest.get(length..) {
                Some(next) if length > 0 => rest = next,
                _ => break,
            }
        }
    };
    sys::close(fd);
    whole
}

/// So many fields after the name's parenthesis, in a line of `/proc/PID/stat`.
pub(super) fn field(line: &[u8], after: usize) -> Option<&[u8]> {
    let end = line.iter().rposition(|byte| *byte == b')')?;
    line.get(end..)?.split(|byte| *byte == b' ').nth(after)
}

/// A decimal number and nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<u32> {
    let mut value: Option<u32> = None;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = Some(
            value
                .unwrap_or(0)
                .checked_mul(10)?
                .checked_add(u32::from(digit))?,
        );
    }
    value
}

/// A hexadecimal number and nothing else.
pub(super) fn hexadecimal(text: &[u8]) -> Option<usize> {
    let mut value: Option<usize> = None;
    for byte in text {
        let digit = match byte {
            b'0'..=b'9' => byte.wrapping_sub(b'0'),
            b'a'..=b'f' => byte.wrapping_sub(b'a').wrapping_add(10),
            _ => return None,
        };
        value = Some(
            value
                .unwrap_or(0)
                .checked_mul(16)?
                .checked_add(usize::from(digit))?,
        );
    }
    value
}

fn pieces(path: &CStr, separator: u8, each: &mut dyn FnMut(&[u8])) -> bool {
    let Ok(fd) = i32::try_from(sys::open(path, libc::O_RDONLY)) else {
        return false;
    };
    if fd < 0 {
        return false;
    }
    let mut buffer = [0_u8; 4096];
    let mut piece = [0_u8; LONGEST];
    let mut length = 0_usize;
    while let Ok(count @ 1..) = usize::try_from(sys::read(fd, &mut buffer)) {
        for byte in buffer.get(..count).unwrap_or_default() {
            if *byte == separator {
                each(piece.get(..length).unwrap_or_default());
                length = 0;
            } else if let Some(place) = piece.get_mut(length) {
                *place = *byte;
                length = length.wrapping_add(1);
            }
        }
    }
    if length > 0 {
        each(piece.get(..length).unwrap_or_default());
    }
    sys::close(fd);
    true
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use super::*;

    fn c(path: &Path) -> CString {
        CString::new(path.as_os_str().as_bytes()).unwrap()
    }

    #[test]
    fn files_and_folders_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("17");
        let long = "x".repeat(5000);
        std::fs::write(&file, format!("one\n\n{long}\nlast")).unwrap();
        let mut seen = Vec::new();
        assert!(lines(&c(&file), |line| seen.push(line.to_vec())));
        assert_eq!(
            seen,
            [b"one".as_slice(), b"", &long.as_bytes()[..LONGEST], b"last"]
        );
        assert!(!lines(c"/nowhere", |_| panic!("no such file")));

        for number in 100..900 {
            std::fs::write(folder.path().join(format!("{number}")), "").unwrap();
            std::fs::write(folder.path().join(format!("not{number}")), "").unwrap();
        }
        let mut seen = Vec::new();
        assert!(numbers(&c(folder.path()), |number, _| seen.push(number)));
        seen.sort_unstable();
        assert_eq!(seen, [17].into_iter().chain(100..900).collect::<Vec<_>>());
        assert!(!numbers(c"/nowhere", |_, _| panic!("no such folder")));
    }

    #[test]
    fn numbers_are_only_numbers() {
        assert_eq!(decimal(b"4711"), Some(4711));
        assert_eq!(hexadecimal(b"7ffd0a"), Some(0x7f_fd0a));
        for text in [b"".as_slice(), b"-1", b"1 ", b"4294967296", b"x"] {
            assert_eq!(decimal(text), None);
        }
        assert_eq!(hexadecimal(b""), None);
        assert_eq!(hexadecimal(b"10000000000000000"), None);
    }
}
