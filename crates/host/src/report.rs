//! How an end is told: the sentence, and advice where it is known.

use jackfield_process::ExitStatus;
use jackfield_wire::{CloseCause, RuntimeProvider, env};

use crate::failure::{Failure, Stage};
use crate::policy::Policy;
use crate::runtime::Exit;

/// Exit code 0: a request to be started again.
pub(crate) fn is_clean(exit: &Exit) -> bool {
    matches!(exit.status, ExitStatus::Code(0))
}

/// A process that ended by itself.
pub(crate) fn exit_failure(provider: RuntimeProvider, exit: &Exit) -> Failure {
    let message = match exit.status {
        ExitStatus::Code(0) => "process exited cleanly and is started again".to_owned(),
        ref status => status.to_string(),
    };
    let mut failure = Failure::new(provider, Stage::Exit, message);
    failure.details.last_lines.clone_from(&exit.tail);
    let hint = match exit.status {
        ExitStatus::Code(code) => {
            failure.details.exit_code = Some(code);
            exit_hint(code)
        }
        ExitStatus::Signal(signal) => {
            failure.details.signal = Some(signal);
            signal_hint(signal)
        }
        ExitStatus::Lost => None,
    };
    failure.details.hint = match exit.left.as_slice() {
        [] => hint.map(ToOwned::to_owned),
        left => Some(format!(
            "processes that it started could not be ended, for want of permission or stuck in the system: {left:?}"
        )),
    };
    failure
}

/// A launch that took too long, or a process that ran and did not dial. `misspoke` is what was
/// wrong with what it said on the socket that it was handed.
pub(crate) fn late(
    provider: RuntimeProvider,
    up: bool,
    policy: &Policy,
    misspoke: Option<&CloseCause>,
) -> Failure {
    if up {
        let within = humantime::format_duration(policy.dial_deadline);
        let mut message = format!("the process ran and did not dial within {within}");
        if let Some(cause) = misspoke {
            let reason = &cause.reason;
            message = format!(
                "{message}; what it wrote to the descriptor in {} was not taken: {reason}",
                env::RPC_FD
            );
        }
        Failure::new(provider, Stage::Dial, message).hint("it is to dial the URL in JACKFIELD_RPC_URL (or STORYDEN_RPC_URL) when it starts, and again when its line is lost")
    } else {
        let within = humantime::format_duration(policy.launch_deadline);
        Failure::new(
            provider,
            Stage::Deploy,
            format!("unpacking and starting took longer than {within}"),
        )
    }
}

fn exit_hint(code: i32) -> Option<&'static str> {
    Some(match code {
        126 => "126 is how a shell says that it found a command and may not run it",
        127 => {
            "127 is how a shell says that it did not find a command: is it installed, and on PATH?"
        }
        _ => return None,
    })
}

fn signal_hint(signal: i32) -> Option<&'static str> {
    Some(match signal {
        6 => "it aborted itself; its last lines may say why",
        9 => "somebody killed it: an operator, or the system when memory ran out (see dmesg)",
        11 => "it touched memory that is not its own: a fault in it or in a native library",
        _ => return None,
    })
}
