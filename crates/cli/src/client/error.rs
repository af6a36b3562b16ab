//! Why there is no answer, or not the one that was wanted.

use reqwest::{StatusCode, Url};

use super::{LoginError, Problem, UploadError};
use crate::command_error::CommandError;
use crate::exit::Exit;

/// Why something did not work on a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("no server is known")]
    NoServer,
    #[error("there is no token for {url}")]
    NoToken { url: Url },
    #[error("`{0}` is not the address of a server")]
    Url(String),
    #[error("the token has letters that no token has")]
    Token,
    #[error("cannot make a client")]
    Setup(#[source] reqwest::Error),
    #[error("cannot reach {url}")]
    Unreachable { url: Url, source: reqwest::Error },
    #[error("{url} did not answer in time")]
    Silent { url: Url },
    #[error("{url} does not answer as a server of ours does: status {status}: {text}")]
    Foreign {
        url: Url,
        status: StatusCode,
        text: String,
    },
    #[error(transparent)]
    Problem(Box<Problem>),
    /// What the server said no to is a call, an event or a configuration.
    #[error(transparent)]
    NotTaken(Box<Problem>),
    #[error("there is no plugin `{0}` on the server")]
    NoPlugin(String),
    #[error("`{name}` is more than one plugin: {}", candidates.join(", "))]
    Ambiguous {
        name: String,
        candidates: Vec<String>,
    },
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error(transparent)]
    Upload(#[from] UploadError),
}

impl ClientError {
    /// The same error of something that was to be taken: a call, an event, a configuration.
    pub(crate) fn not_taken(self) -> Self {
        match self {
            Self::Problem(problem) if problem.exit() == Exit::Refused => Self::NotTaken(problem),
            other => other,
        }
    }
}

impl From<Problem> for ClientError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<LoginError> for CommandError {
    fn from(error: LoginError) -> Self {
        ClientError::from(error).into()
    }
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        let refused = |error, hint: &str| Self::new(Exit::Refused, error).hint(hint);
        match error {
            ClientError::NoServer => Self::new(Exit::Usage, error)
                .hint("log in once: jackfield login http://127.0.0.1:7411; or name it with --server or JACKFIELD_URL"),
            ClientError::NoToken { ref url } => {
                let hint = format!("log in: jackfield login {}; or set JACKFIELD_API_TOKEN", trimmed(url));
                Self::new(Exit::Usage, error).hint(hint)
            }
            ClientError::Url(_) => {
                Self::new(Exit::Usage, error).hint("such as http://127.0.0.1:7411 or https://plugins.example.org")
            }
            ClientError::Token | ClientError::Setup(_) => Self::new(Exit::Refused, error),
            ClientError::Unreachable { .. } => Self::new(Exit::Server, error)
                .hint("is it running? `jackfield serve` starts one; another is named with --server or JACKFIELD_URL"),
            ClientError::Silent { .. } => {
                Self::new(Exit::Server, error).hint("what was asked for may have happened: look before it is asked again")
            }
            ClientError::Foreign { .. } => {
                Self::new(Exit::Server, error).hint("is the address that of the server itself, without a path?")
            }
            ClientError::Problem(problem) => Self::of_problem(problem.exit(), *problem),
            ClientError::NotTaken(problem) => Self::of_problem(Exit::Call, *problem),
            ClientError::NoPlugin(_) => refused(error, "`jackfield list` shows all plugins there"),
            ClientError::Ambiguous { .. } => refused(error, "give the id of the one that is meant"),
            ClientError::Login(LoginError::Damaged { .. }) => refused(error, "remove the file, and log in again"),
            ClientError::Login(_) => Self::new(Exit::Refused, error),
            ClientError::Upload(error) => error.into(),
        }
    }
}

impl CommandError {
    fn of_problem(exit: Exit, problem: Problem) -> Self {
        let failure = problem.failure().cloned();
        let body = problem.body().clone();
        let hints = problem.hints();
        let new = Self::new(exit, problem).problem(body).failure(failure);
        hints.into_iter().fold(new, Self::hint)
    }
}

fn trimmed(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}
