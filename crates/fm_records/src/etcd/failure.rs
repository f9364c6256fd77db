//! What an error of etcd means: whether to try again, and which of ours it is.

use std::error::Error as StdError;

use tonic::{Code, ConnectError, Status};

use crate::Error;

/// What kind of trouble a call met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No member has heard of it: it can be sent again, whatever it was.
    NeverSent,
    /// A member, the leader or the connection went away: it may have been done.
    Away,
    /// Trying again would not help.
    Other,
}

pub(super) fn trouble(error: &etcd_client::Error) -> Trouble {
    match error {
        etcd_client::Error::GRpcStatus(status) => match status.code() {
            Code::Unavailable if is_connect_failure(status) => Trouble::NeverSent,
            Code::Unavailable | Code::DeadlineExceeded => Trouble::Away,
            _ => Trouble::Other,
        },
        etcd_client::Error::TransportError(_) | etcd_client::Error::IoError(_) => Trouble::Away,
        _ => Trouble::Other,
    }
}

/// Whether a connection could not be made: that is in the chain of causes.
fn is_connect_failure(status: &Status) -> bool {
    std::iter::successors(status.source(), |cause| (**cause).source()).any(|cause| cause.is::<ConnectError>())
}

/// What one code of gRPC stands for more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// The revision is older than what is kept.
    Compacted,
    /// The revision is newer than the newest.
    Future,
    /// The answer is longer than one message.
    MessageTooLong,
    /// Another, such as a database that is full.
    Other,
}

/// Which limit was passed. The codes `OUT_OF_RANGE` and `RESOURCE_EXHAUSTED` have several meanings each, which nothing
/// but the text tells apart: etcd sends no details with its status.
///
/// Source: etcd `api/v3rpc/rpctypes/error.go`; tonic `codec/decode.rs`; grpc-go `rpc_util.go`.
fn limit(status: &Status) -> Limit {
    let text = status.message();
    match status.code() {
        Code::OutOfRange if text.contains("required revision has been compacted") => Limit::Compacted,
        Code::OutOfRange if text.contains("required revision is a future revision") => Limit::Future,
        Code::OutOfRange | Code::ResourceExhausted if text.contains("message") => Limit::MessageTooLong,
        _ => Limit::Other,
    }
}

/// The error as one of ours.
pub(super) fn failed(action: &'static str) -> impl FnOnce(etcd_client::Error) -> Error {
    move |error| {
        let etcd_client::Error::GRpcStatus(status) = &error else {
            return Error::engine(action, error);
        };
        // Of what we ask for, only a lease can be missing.
        if status.code() == Code::NotFound {
            return Error::LeaseGone;
        }
        match limit(status) {
            Limit::Compacted => Error::Compacted {
                revision: 0,
                oldest: 0,
            },
            Limit::Future => Error::Future {
                revision: 0,
                newest: 0,
            },
            Limit::MessageTooLong => Error::TooLarge {
                what: "an answer of etcd".into(),
                size: 0,
                limit: 0,
            },
            Limit::Other => Error::engine(action, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_tells_apart_only_what_one_code_stands_for_more_than_once() {
        // etcd's and grpc-go's own; real ones are met in `tests/etcd.rs`.
        for (code, text, expected) in [
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
                Limit::Compacted,
            ),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
                Limit::Future,
            ),
            (
                Code::ResourceExhausted,
                "grpc: received message larger than max (5 vs. 4)",
                Limit::MessageTooLong,
            ),
            (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
                Limit::Other,
            ),
            (
                Code::Unavailable,
                "etcdserver: mvcc: required revision has been compacted",
                Limit::Other,
            ),
        ] {
            assert_eq!(limit(&Status::new(code, text)), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_call_that_reached_no_member_was_never_sent() {
        // A port that was free a moment ago, and that nobody listens on.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let client = etcd_client::Client::connect([format!("http://{port}")], None).await;
        let error = match client {
            Ok(mut client) => client.get("x", None).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(trouble(&error), Trouble::NeverSent, "{error:?}");
    }
}
