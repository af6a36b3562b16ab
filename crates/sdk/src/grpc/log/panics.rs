//! Panics are records too.

use std::any::Any;
use std::backtrace::Backtrace;
use std::panic;

/// Logs every panic of the program, in place of the text that Rust would write, which hosts would take for many lines.
pub(crate) fn install() {
    panic::set_hook(Box::new(|panicked| {
        let message = panic_message(panicked.payload());
        let place = panicked
            .location()
            .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let thread = std::thread::current();
        tracing::error!(
            error = %message,
            thread = thread.name().unwrap_or_default(),
            location = %place,
            stackTrace = %Backtrace::force_capture(),
            "Panicked at {place}: {message}",
        );
    }));
}

/// What the panic said.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "(no message)".to_owned())
}
