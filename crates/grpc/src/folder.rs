//! The folder for a plugin's own files.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// Its name in the folder that the plugin runs in.
pub(crate) const NAME: &str = ".ftl";

/// Makes it, if it is not there, and reaps there what hosts left behind that are dead. Blocks.
pub(crate) fn prepare(folder: &Path, executable: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made?,
    }
    match jackfield_process::sweep_shared(folder) {
        Ok(swept) => {
            if !swept.killed.is_empty() {
                tracing::warn!(folder = %folder.display(), killed = ?swept.killed, "a plugin of a host that is dead was still there");
            }
            if !swept.left.is_empty() {
                tracing::warn!(folder = %folder.display(), left = ?swept.left, "processes of a plugin of a host that is dead cannot be killed");
            }
            for file in swept.unreadable {
                tracing::warn!(file = %file.display(), "not a lease: left alone, under this name");
            }
        }
        // What is there does not keep us from a plugin of our own.
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "cannot look for what dead hosts left behind");
        }
    }
    let pid_file = folder.join(format!("{}.pid", base_name(executable)));
    if pid_file.exists() {
        tracing::warn!(file = %pid_file.display(), "a pid proves nothing: the process that it names, if there is one, is left alone");
    }
    Ok(())
}

/// What a lease for this executable is called: letters, digits, `-`, `_` and `.`, not beginning with one of these.
pub(crate) fn lease_name(executable: &Path) -> String {
    let plain = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => c,
        _ => '_',
    };
    let name: String = base_name(executable).chars().map(plain).take(100).collect();
    match name.trim_start_matches('.') {
        "" => "plugin".to_owned(),
        name => name.to_owned(),
    }
}

fn base_name(executable: &Path) -> String {
    let name = executable.file_name().unwrap_or(OsStr::new("plugin"));
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn leases_have_names_that_leases_may_have() {
        for (executable, name) in [
            ("./launch", "launch"),
            ("/opt/ftl-language-go", "ftl-language-go"),
            ("/opt/.hidden", "hidden"),
            ("/opt/my plugin\u{e4}", "my_plugin_"),
            ("..", "plugin"),
        ] {
            assert_eq!(lease_name(Path::new(executable)), name);
        }
    }

    #[test]
    fn the_folder_is_made_once_for_its_owner_and_one_level_deep() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join(NAME);
        let executable = Path::new("./launch");
        prepare(&folder, executable).unwrap();
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(folder.join("launch.pid"), "-1\n").unwrap();
        prepare(&folder, executable).unwrap();
        let pid = fs::read_to_string(folder.join("launch.pid")).unwrap();
        assert_eq!(pid, "-1\n", "left alone");
        let deep = parent.path().join("no").join(NAME);
        let error = prepare(&deep, executable).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        fs::write(parent.path().join("file"), "").unwrap();
        assert!(prepare(&parent.path().join("file"), executable).is_err());
    }
}
