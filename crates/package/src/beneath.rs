use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self, Mode, OFlags};

/// A folder, and a walk through the folders beneath it that follows no link, ever.
///
/// Every part of a name is opened on its own, relative to the descriptor of the folder above, and
/// refused where it is a link. That holds on every unix, needs no `openat2`, and costs little, since
/// the folders of the last name stay open for the next one.
#[derive(Debug)]
pub(crate) struct Beneath {
    top: OwnedFd,
    open: Vec<(String, OwnedFd)>,
}

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::RDONLY);

/// Opens a folder and no link to one.
pub(crate) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(fs::open(path, FOLDER, Mode::empty())?)
}

impl Beneath {
    pub(crate) fn new(top: OwnedFd) -> Self {
        Self {
            top,
            open: Vec::new(),
        }
    }

    /// Creates a folder and those above it.
    pub(crate) fn create_folder(&mut self, name: &str) -> io::Result<()> {
        self.walk(name, true)
    }

    /// Creates a file, for writing and for its owner alone, and the folders above it. It must not
    /// be there.
    pub(crate) fn create_file(&mut self, name: &str) -> io::Result<File> {
        let file = self.enter_parent(name, true)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let flags = flags | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = fs::openat(self.here(), file, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(file.into())
    }

    /// Opens a file for reading. A link on the way is an error; a pipe is opened without waiting.
    pub(crate) fn open_file(&mut self, name: &str) -> io::Result<File> {
        let file = self.enter_parent(name, false)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = fs::openat(self.here(), file, flags, Mode::empty())?;
        Ok(file.into())
    }

    fn here(&self) -> &OwnedFd {
        self.open.last().map_or(&self.top, |(_, folder)| folder)
    }

    fn enter_parent<'n>(&mut self, name: &'n str, create: bool) -> io::Result<&'n str> {
        let (folders, file) = name.rsplit_once('/').unwrap_or(("", name));
        self.walk(folders, create)?;
        Ok(file)
    }

    fn walk(&mut self, name: &str, create: bool) -> io::Result<()> {
        let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty()).collect();
        let shared = self
            .open
            .iter()
            .zip(&parts)
            .take_while(|((open, _), part)| open == *part)
            .count();
        self.open.truncate(shared);
        for part in &parts[shared..] {
            // The names were checked; this keeps the promise where they were not.
            if *part == ".." {
                return Err(io::Error::other("a name leads out of the folder"));
            }
            let mode = Mode::from_raw_mode(0o755);
            let made = create
                .then(|| fs::mkdirat(self.here(), *part, mode))
                .transpose();
            match made {
                Ok(_) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let folder = fs::openat(self.here(), *part, FOLDER, Mode::empty())?;
            if matches!(made, Ok(Some(()))) {
                // Whatever the umask of the program is: another user may run the plugin.
                fs::fchmod(&folder, mode)?;
            }
            self.open.push(((*part).to_owned(), folder));
        }
        Ok(())
    }
}
