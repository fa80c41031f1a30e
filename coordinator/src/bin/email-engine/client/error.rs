//! Why a call of the API failed, in words that say what to do.

use std::error::Error;
use std::fmt::{self, Write};
use std::io;
use std::path::PathBuf;

use email_engine_protocol::api::Problem;
use email_engine_protocol::limits::REQUEST_BYTES;

use super::tls::ForeignCertificate;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The CA is not one.
    #[error("ca_pem of the context is no PEM certificate: {0}")]
    Ca(String),
    /// The key cannot be sent.
    #[error("api_key of the context holds characters that no API key has")]
    Key,
    /// The reason cannot be sent.
    #[error("--reason holds characters that cannot be sent: write it in one line")]
    Reason,
    /// TLS or HTTP could not be set up.
    #[error("cannot set up the connection: {0}")]
    Tls(String),
    /// An end point is not one.
    #[error("endpoint {url:?} of the context is not valid: an https:// address is needed")]
    Url {
        /// The refused text.
        url: String,
    },
}

/// One end point that did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    /// Its URL.
    pub(crate) url: String,
    /// Why it did not.
    pub(crate) why: String,
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// Something answered that is not the API.
    Answer {
        /// Who.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// No client could be made of the context.
    Build(BuildError),
    /// A file to save an answer in could not be written.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key is none that the cluster takes.
    Key {
        /// The file that it is from.
        file: PathBuf,
        /// The API's reason.
        problem: Box<Problem>,
    },
    /// The API said no.
    Refused {
        /// Its reason.
        problem: Box<Problem>,
    },
    /// What was to be sent is more than a node takes; nothing was sent.
    TooLarge {
        /// Its size in bytes.
        got: usize,
    },
    /// Nodes answer but cannot serve: no leader, no quorum, overload.
    Unavailable {
        /// The last reason that a node gave.
        problem: Box<Problem>,
        /// All that were asked.
        tried: Vec<Tried>,
    },
    /// No node answered.
    Unreachable {
        /// All that were asked.
        tried: Vec<Tried>,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { url, why } => {
                write!(
                    f,
                    "{url} did not answer as the API of a cluster does: {why}"
                )
            }
            Self::Build(error) => error.fmt(f),
            Self::File { path, .. } => write!(f, "cannot write {}", path.display()),
            Self::Key { file, problem } => {
                let file = file.display();
                write!(f, "the key in {file} is not accepted (revoked?)")?;
                if problem.status == 429 {
                    f.write_str(
                        ", or not now: too many wrong keys came from this address of late; \
                         a right one is accepted all the same",
                    )?;
                }
                Ok(())
            }
            Self::Refused { problem } => f.write_str(&explain(problem)),
            Self::TooLarge { got } => write!(
                f,
                "what is to be sent is {got} bytes, and a node takes {REQUEST_BYTES}: nothing was \
                 sent; apply a large fleet file in parts, each without --prune"
            ),
            Self::Unavailable { problem, tried } => {
                f.write_str(&explain(problem))?;
                list(f, tried)
            }
            Self::Unreachable { tried } => {
                f.write_str("no node of the cluster answers")?;
                list(f, tried)
            }
        }
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, tried: &[Tried]) -> fmt::Result {
    for Tried { url, why } in tried {
        write!(f, "\n  {url}: {why}")?;
    }
    Ok(())
}

/// A problem as people read it: what happened, then field, value and what would be accepted.
pub(crate) fn explain(problem: &Problem) -> String {
    let mut text = if problem.detail.is_empty() {
        problem.title.clone()
    } else {
        problem.detail.clone()
    };
    for (name, value) in [
        ("field", &problem.field),
        ("value", &problem.value),
        ("accepted", &problem.accepted),
    ] {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let value = value.replace('\n', "\\n");
            let _ = write!(text, "\n  {name:<9} {value}");
        }
    }
    let _ = write!(
        text,
        "\n  {:<9} {} (HTTP {})",
        "code", problem.code, problem.status
    );
    if let Some(id) = &problem.request_id {
        let _ = write!(text, ", request {id}");
    }
    text
}

/// Why one end point could not be talked to: the innermost reason, in plain words where known.
pub(super) fn why(error: &reqwest::Error) -> String {
    if let Some(words) = certificate(error) {
        return words;
    }
    if error.is_timeout() {
        return if error.is_connect() {
            "no connection in time".to_owned()
        } else {
            "no answer in time".to_owned()
        };
    }
    chain(error)
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

fn certificate(error: &reqwest::Error) -> Option<String> {
    let tls = chain(error).find_map(|error| error.downcast_ref::<rustls::Error>())?;
    Some(match tls {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
            match other.0.downcast_ref::<ForeignCertificate>() {
                Some(foreign) => foreign.to_string(),
                None => tls.to_string(),
            }
        }
        _ => tls.to_string(),
    })
}

/// All errors below one; an `io::Error` hides the one that it wraps from `source`.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| below(error))
}

fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_field_value_and_what_would_be_accepted() {
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: "Duplicate domain".to_owned(),
            status: 409,
            code: "duplicate-domain".to_owned(),
            detail: "domain mail1.example.com belongs to 192.0.2.1".to_owned(),
            field: Some("ips[56].domain".to_owned()),
            value: Some("mail1.example.com".to_owned()),
            accepted: Some("a domain that no other identity has".to_owned()),
            request_id: Some("r-1".to_owned()),
        };
        assert_eq!(
            explain(&problem),
            "domain mail1.example.com belongs to 192.0.2.1\n  \
             field     ips[56].domain\n  \
             value     mail1.example.com\n  \
             accepted  a domain that no other identity has\n  \
             code      duplicate-domain (HTTP 409), request r-1"
        );
    }

    #[test]
    fn an_unreachable_cluster_lists_every_end_point_with_its_reason() {
        let error = ClientError::Unreachable {
            tried: vec![
                Tried {
                    url: "https://192.0.2.1:7443".to_owned(),
                    why: "connection refused".to_owned(),
                },
                Tried {
                    url: "https://192.0.2.2:7443".to_owned(),
                    why: "no answer in time".to_owned(),
                },
            ],
        };
        assert_eq!(
            error.to_string(),
            "no node of the cluster answers\n  \
             https://192.0.2.1:7443: connection refused\n  \
             https://192.0.2.2:7443: no answer in time"
        );
    }
}
