//! Which file a command means, and why a file cannot be executed.
//!
//! The rules are those of `execvp(3)`, with the child's folder and the child's search path in place of ours, and one
//! difference: an empty element of the search path does not mean the current folder.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::error::SpawnError;

/// What `execvp(3)` takes when there is no `PATH`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The file that `program` means for a child that runs in `folder` (absolute) with this `PATH`.
pub(crate) fn resolve(
    program: &OsStr,
    folder: &Path,
    path: Option<&OsStr>,
) -> Result<PathBuf, SpawnError> {
    if program.is_empty() {
        return Err(SpawnError::Empty);
    }
    if program.as_bytes().contains(&b'/') {
        return in_folder(program, folder);
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut refused = None;
    for element in path
        .as_bytes()
        .split(|byte| *byte == b':')
        .filter(|element| !element.is_empty())
    {
        let file = folder.join(OsStr::from_bytes(element)).join(program);
        match check(&file) {
            Ok(()) => return Ok(file),
            Err(Check::Missing) => {}
            Err(Check::Refused(hint)) => {
                refused.get_or_insert(SpawnError::NotExecutable {
                    path: file,
                    hint: Some(hint.to_owned()),
                });
            }
        }
    }
    Err(refused.unwrap_or_else(|| SpawnError::NotFound {
        program: program.to_owned(),
        searched: format!("PATH ({})", path.to_string_lossy()),
        hint: folder
            .join(program)
            .is_file()
            .then(|| format!("did you mean ./{}?", program.to_string_lossy())),
    }))
}

/// What the errno of a failed `execve(2)` means for this file.
pub(crate) fn explain(path: PathBuf, errno: i32) -> SpawnError {
    match errno {
        libc::ENOENT | libc::ENOTDIR => match interpreter(&path) {
            Some(interpreter) => SpawnError::BadInterpreter { path, interpreter },
            None => SpawnError::NotFound {
                program: path.clone().into_os_string(),
                searched: path
                    .parent()
                    .unwrap_or(Path::new("/"))
                    .display()
                    .to_string(),
                hint: None,
            },
        },
        libc::EACCES | libc::EPERM | libc::ELOOP => {
            let hint = match check(&path) {
                Err(Check::Refused(hint)) => hint.to_owned(),
                Ok(()) | Err(Check::Missing) => match interpreter(&path) {
                    Some(interpreter) => format!("may {interpreter:?} be executed?"),
                    None => "is it on a file system mounted noexec?".to_owned(),
                },
            };
            SpawnError::NotExecutable {
                path,
                hint: Some(hint),
            }
        }
        libc::ENOEXEC | libc::EINVAL | libc::EISDIR | libc::ELIBBAD => {
            let hint = format_hint(&path);
            SpawnError::WrongFormat {
                path,
                hint: Some(hint.to_owned()),
            }
        }
        libc::E2BIG => SpawnError::Invalid {
            what: "the arguments together with the environment".to_owned(),
            why: "they are longer than the system takes",
        },
        libc::ETXTBSY => SpawnError::Busy { path },
        libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE => {
            SpawnError::Resources(io::Error::from_raw_os_error(errno))
        }
        _ => SpawnError::Exec {
            path,
            source: io::Error::from_raw_os_error(errno),
        },
    }
}

enum Check {
    Missing,
    Refused(&'static str),
}

fn check(file: &Path) -> Result<(), Check> {
    let meta = match fs::metadata(file) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Check::Refused(
                "a folder on the way to it may not be entered",
            ));
        }
        Err(_) => return Err(Check::Missing),
    };
    if meta.is_dir() {
        return Err(Check::Refused("it is a folder"));
    }
    if !meta.is_file() {
        return Err(Check::Refused("it is not a regular file"));
    }
    access(file, Access::EXEC_OK).map_err(|_| {
        Check::Refused("its mode has no execute bit: chmod +x, or an archive without unix modes")
    })
}

fn in_folder(program: &OsStr, folder: &Path) -> Result<PathBuf, SpawnError> {
    let file = folder.join(program);
    match check(&file) {
        Ok(()) => Ok(file),
        Err(Check::Refused(hint)) => Err(SpawnError::NotExecutable {
            path: file,
            hint: Some(hint.to_owned()),
        }),
        Err(Check::Missing) => Err(SpawnError::NotFound {
            program: program.to_owned(),
            searched: file.parent().unwrap_or(folder).display().to_string(),
            hint: fs::symlink_metadata(&file)
                .is_ok_and(|meta| meta.is_symlink())
                .then(|| "it is a link that leads nowhere".to_owned()),
        }),
    }
}

/// What has to be there to run `path`: the interpreter of a script, the loader of a binary.
fn interpreter(path: &Path) -> Option<String> {
    let head = head(path)?;
    let name = if let Some(line) = head.strip_prefix(b"#!") {
        // The kernel takes the first word; the rest is one argument. A carriage return counts as part of the word:
        // the commonest cause of "no such file" for a script that is there.
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.trim_ascii_start();
        line.split(|byte| matches!(byte, b' ' | b'\t'))
            .next()
            .unwrap_or_default()
    } else {
        elf_loader(&head)?
    };
    (!name.is_empty()).then(|| {
        OsString::from_vec(name.to_vec())
            .to_string_lossy()
            .into_owned()
    })
}

fn format_hint(path: &Path) -> &'static str {
    match head(path).as_deref() {
        Some([]) => "the file is empty",
        Some(head) if head.starts_with(b"\x7fELF") => "it was built for another kind of machine",
        Some(head) if head.starts_with(b"MZ") => "it is a Windows program",
        Some([0xfe | 0xcf | 0xce | 0xca, ..]) => "it seems to be a macOS program",
        Some(head)
            if head
                .iter()
                .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) =>
        {
            "a script needs a first line such as #!/bin/sh"
        }
        Some(_) | None => "it is neither a program for this machine nor a script",
    }
}

fn head(path: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    fs::File::open(path)
        .ok()?
        .take(4096)
        .read_to_end(&mut head)
        .ok()?;
    Some(head)
}

/// The `PT_INTERP` of a 64-bit little-endian ELF file, if it lies in the first bytes, as it does in practice.
fn elf_loader(head: &[u8]) -> Option<&[u8]> {
    const PT_INTERP: u64 = 3;
    head.strip_prefix(b"\x7fELF\x02\x01")?;
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = head.get(at..at.checked_add(size)?)?;
        let value = bytes
            .iter()
            .rev()
            .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        usize::try_from(value).ok()
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for index in 0..count {
        let entry = table.checked_add(index.checked_mul(size)?)?;
        if number(entry, 4)? as u64 == PT_INTERP {
            let (offset, length) = (
                number(entry.checked_add(8)?, 8)?,
                number(entry.checked_add(32)?, 8)?,
            );
            let name = head.get(offset..offset.checked_add(length)?)?;
            return name.strip_suffix(b"\0").or(Some(name));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_bare_name_is_looked_up_on_the_given_path_only() {
        let folder = tempfile::tempdir().unwrap();
        let there = file(folder.path(), "bin/tool", "#!/bin/sh\n", 0o755);
        file(folder.path(), "here", "#!/bin/sh\n", 0o755);
        let path = OsStr::new(":/nowhere:bin");
        assert_eq!(
            resolve(OsStr::new("tool"), folder.path(), Some(path)).unwrap(),
            there
        );
        assert!(
            resolve(OsStr::new("sh"), folder.path(), None).is_ok(),
            "the default path"
        );

        let error = resolve(OsStr::new("here"), folder.path(), Some(path)).unwrap_err();
        assert!(error.is_permanent());
        assert_eq!(error.hint(), Some("did you mean ./here?"));
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }

    #[test]
    fn a_relative_path_starts_at_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), "run.sh", "#!/bin/sh\n", 0o755);
        assert!(resolve(OsStr::new("./run.sh"), folder.path(), None).is_ok());
        assert!(matches!(
            resolve(OsStr::new("./walk.sh"), folder.path(), None),
            Err(SpawnError::NotFound { hint: None, .. })
        ));
        assert!(matches!(
            resolve(OsStr::new(""), folder.path(), None),
            Err(SpawnError::Empty)
        ));
    }

    #[test]
    fn what_is_not_executable_says_so() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), "bin/tool", "#!/bin/sh\n", 0o644);
        for name in ["bin/tool", "./bin", "tool"] {
            let error =
                resolve(OsStr::new(name), folder.path(), Some(OsStr::new("bin"))).unwrap_err();
            assert!(
                matches!(error, SpawnError::NotExecutable { hint: Some(_), .. }),
                "{name}: {error}"
            );
        }
    }

    #[test]
    fn errnos_are_explained_by_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let script = file(folder.path(), "a", "#! /no/such/python -u\nx", 0o755);
        let dos = file(folder.path(), "b", "#!/bin/sh\r\nx", 0o755);
        let text = file(folder.path(), "c", "echo hello\n", 0o755);
        let wanted = |path: &Path| match explain(path.to_owned(), libc::ENOENT) {
            SpawnError::BadInterpreter { interpreter, .. } => interpreter,
            other => panic!("{other}"),
        };
        assert_eq!(wanted(&script), "/no/such/python");
        assert_eq!(wanted(&dos), "/bin/sh\r");
        let loader = wanted(&fs::canonicalize("/bin/sh").unwrap());
        assert!(loader.contains("/ld"), "{loader}");
        let error = explain(text, libc::ENOEXEC);
        assert!(
            matches!(error, SpawnError::WrongFormat { .. })
                && error.to_string().contains("#!/bin/sh")
        );
        assert!(!explain(script.clone(), libc::ETXTBSY).is_permanent());
        assert!(!explain(script, libc::ENOMEM).is_permanent());
    }
}
