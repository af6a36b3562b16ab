use jackfield_wire::Manifest;
use jackfield_wire::manifest::Format;

use super::layout::Root;
use crate::limits::Limits;
use crate::package::PackedFile;
use crate::reason::{Reason, Reasons, Warning};

/// Reads the manifest. `None` where it has problems or could not be inflated; both left a reason.
pub(super) fn check(
    root: &Root,
    content: Option<&[u8]>,
    limits: &Limits,
    reasons: &mut Reasons,
    warnings: &mut Vec<Warning>,
) -> Option<Manifest> {
    let file = root.manifest_name();
    let content = content?;
    if content.len() as u64 > limits.manifest_bytes {
        reasons.push(Reason::FileTooLarge {
            name: file.to_owned(),
            size: content.len() as u64,
            limit: limits.manifest_bytes,
        });
        return None;
    }
    let check = Manifest::check_packaged(content, Format::of_file_name(file)?);
    for warning in check.warnings {
        warnings.push(Warning::new(file, warning.to_string()));
    }
    for problem in check.problems {
        let file = file.to_owned();
        reasons.push(Reason::Manifest { file, problem });
    }
    check.manifest
}

/// The file of the package that the command names, where it names one: a command with a slash does,
/// any other is looked for in `PATH`.
pub(super) fn command_file(
    manifest: &Manifest,
    files: &[PackedFile],
    folders: &[String],
    reasons: &mut Reasons,
    warnings: &mut Vec<Warning>,
) -> Option<String> {
    let command = manifest
        .command
        .as_deref()
        .filter(|it| !it.trim().is_empty())?;
    let is_file = |name: &str| files.iter().any(|file| file.name == name);
    if !command.contains('/') {
        if is_file(command) {
            let message = format!(
                "command: {command:?} is looked for in PATH; did you mean \"./{command}\"?"
            );
            warnings.push(Warning::new("", message));
        }
        return None;
    }
    if command.starts_with('/') {
        let message = format!("command: {command:?} is not in the package");
        warnings.push(Warning::new("", message));
        return None;
    }
    let mut why = |why| {
        let command = command.to_owned();
        reasons.push(Reason::Command { command, why });
        None
    };
    let parts: Vec<&str> = command
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return why("leads out of the package");
    }
    let path = parts.join("/");
    if is_file(&path) {
        return Some(path);
    }
    let below = format!("{path}/");
    let is_folder = path.is_empty()
        || folders.contains(&path)
        || files.iter().any(|file| file.name.starts_with(&below));
    why(if is_folder {
        "is a folder of the package"
    } else {
        "is not in the package"
    })
}

/// Lets the command be executed whatever the archive says: one that cannot be is never meant.
pub(super) fn make_executable(
    command: &str,
    files: &mut [PackedFile],
    warnings: &mut Vec<Warning>,
) {
    for file in files.iter_mut().filter(|file| file.name == command) {
        if file.mode & 0o111 != 0o111 {
            if file.mode & 0o100 == 0 {
                let message = "is the command and is not executable in the archive; it is made so";
                warnings.push(Warning::new(command, message));
            }
            file.mode |= 0o555;
        }
    }
}
