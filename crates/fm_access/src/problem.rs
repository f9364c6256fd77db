//! What is answered when a request is refused: RFC 9457, and the log's line for what is not the caller's fault.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use fm_api::v1::enrolment::Problem as Document;
use fm_fleet::Error as Fleet;
use fm_remedy::one_line;

/// Why a request is refused.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            title,
            detail: Some(detail.into()),
        }
    }

    /// Who asks is not known.
    pub fn unknown_caller(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unknown-caller",
            "who asks is not known",
            detail,
        )
    }

    /// The role does not suffice.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "the role does not suffice",
            detail,
        )
    }

    /// It is another host's.
    pub fn not_yours(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "not-yours",
            "these are another host's records",
            detail,
        )
    }

    /// The request makes no sense.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "the request makes no sense",
            detail,
        )
    }

    /// The token cannot be used.
    pub fn bad_token(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "bad-token",
            "the token cannot be used",
            detail,
        )
    }

    /// The name is taken.
    pub fn name_taken(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "name-taken", "the name is taken", detail)
    }

    /// It cannot be done as things stand.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "conflict",
            "it cannot be done as things stand",
            detail,
        )
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is no such thing",
            detail,
        )
    }

    /// That cannot be done to it.
    pub fn method() -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            kind: "method",
            title: "that cannot be done to it",
            detail: None,
        }
    }

    /// More bytes came than are taken.
    pub fn too_large(limit_bytes: u64) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "the request is too large",
            format!("at most {limit_bytes} bytes are taken"),
        )
    }

    /// It took too long to arrive.
    pub fn too_slow() -> Self {
        Self {
            status: StatusCode::REQUEST_TIMEOUT,
            kind: "too-slow",
            title: "the request took too long to arrive",
            detail: None,
        }
    }

    /// Enough is being done already.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "the server is busy",
            detail,
        )
    }

    /// This server has no key of the CA.
    pub fn cannot_sign() -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "cannot-sign",
            "nobody can join here",
            "this server has no key of the CA; join at one that has, or have the certificate made by your own CA",
        )
    }

    /// The server failed.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server failed",
            detail,
        )
    }

    fn large(detail: String) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "the request is too large",
            detail,
        )
    }

    fn unavailable(detail: String) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the fleet's records or builds cannot be used now",
            detail,
        )
    }

    fn of_blobs(error: &fm_blobs::Error, detail: String) -> Self {
        use fm_blobs::Error;
        match error {
            Error::Invalid { .. } | Error::Corrupt { .. } => Self::bad_request(detail),
            Error::TooLarge { .. } => Self::large(detail),
            Error::ManifestRefused { .. } => Self::conflict(detail),
            Error::Unreachable { .. } | Error::InUse { .. } => Self::unavailable(detail),
            _ => Self::internal(detail),
        }
    }

    fn of_records(error: &fm_records::Error, detail: String) -> Self {
        use fm_records::Error;
        match error {
            Error::Key { .. } | Error::WrittenTwice { .. } => Self::bad_request(detail),
            Error::TooLarge { .. } => Self::large(detail),
            Error::Compacted { .. } | Error::Future { .. } => Self::new(
                StatusCode::GONE,
                "cursor-gone",
                "the list has to begin again",
                detail,
            ),
            Error::Engine { .. } | Error::InUse { .. } | Error::TooOld { .. } | Error::LeaseGone => {
                Self::unavailable(detail)
            }
            _ => Self::internal(detail),
        }
    }

    /// Whether the log should know: not what callers do wrong.
    pub fn is_ours(&self) -> bool {
        self.status.is_server_error()
    }

    /// Whether nobody knows who asks.
    pub fn is_unknown_caller(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong, in words.
    pub fn detail(&self) -> &str {
        self.detail.as_deref().unwrap_or(self.title)
    }
}

impl From<Fleet> for Problem {
    fn from(error: Fleet) -> Self {
        let detail = one_line(&error);
        match error {
            Fleet::Records(error) => Self::of_records(&error, detail),
            Fleet::Blobs(error) => Self::of_blobs(&error, detail),
            Fleet::NoHost { .. } | Fleet::NoBuild { .. } | Fleet::NoBlob { .. } | Fleet::NoRollout { .. } => {
                Self::not_found(detail)
            }
            Fleet::Rollout(fm_rollout::Error::NotNow { .. })
            | Fleet::Overlaps { .. }
            | Fleet::BeingWritten { .. }
            | Fleet::NobodyMoves
            | Fleet::NobodyToAsk { .. }
            | Fleet::NotStored { .. } => Self::conflict(detail),
            Fleet::Rollout(_) => Self::bad_request(detail),
            Fleet::Invalid { .. } => Self::bad_request(detail),
            Fleet::TooLarge { .. } => Self::large(detail),
            Fleet::Changed { .. } => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "changed",
                "it has changed meanwhile",
                detail,
            ),
            Fleet::Retired { .. } => {
                Self::new(StatusCode::CONFLICT, "retired", "the host was retired", detail)
            }
            Fleet::OtherInstance { .. } => Self::new(
                StatusCode::CONFLICT,
                "other-instance",
                "two hosts have one name",
                detail,
            ),
            Fleet::Stale { .. } => {
                Self::new(StatusCode::CONFLICT, "stale", "a later report is there", detail)
            }
            Fleet::WrongState { .. } => Self::conflict(detail),
            Fleet::Contention { .. } | Fleet::Deposed | Fleet::TooOld { .. } | Fleet::NewerSchema { .. } => {
                Self::unavailable(detail)
            }
            _ => Self::internal(detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            kind: format!("urn:flashmoor:problem:{}", self.kind),
            title: self.title.into(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        // For the line in the log and the counter.
        response.extensions_mut().insert(Refusal {
            kind: self.kind,
            detail: self.detail().to_owned(),
            is_ours: self.is_ours(),
        });
        response
    }
}

/// What the log says of a refused request.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Which kind of problem it is.
    pub kind: &'static str,
    /// What is wrong, in words.
    pub detail: String,
    /// Whether it is the server's fault.
    pub is_ours: bool,
}
