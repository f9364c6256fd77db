//! What an error of etcd means: whether to try again, and which of ours it is.

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

/// Numbers of gRPC's status codes.
/// Source: grpc `doc/statuscodes.md`.
const DEADLINE_EXCEEDED: i32 = 4;
const NOT_FOUND: i32 = 5;
const RESOURCE_EXHAUSTED: i32 = 8;
const OUT_OF_RANGE: i32 = 11;
const UNAVAILABLE: i32 = 14;

/// Texts of etcd.
/// Source: etcd `api/v3rpc/rpctypes/error.go`.
const COMPACTED: &str = "required revision has been compacted";
const FUTURE: &str = "required revision is a future revision";
const NO_LEASE: &str = "requested lease not found";

pub(super) fn trouble(error: &etcd_client::Error) -> Trouble {
    match error {
        etcd_client::Error::GRpcStatus(status) => {
            let code = status.code() as i32;
            // A connection that could not be made is in the chain of causes, which has no type that is public.
            let never_sent = code == UNAVAILABLE && is_connect_failure(status);
            match code {
                _ if never_sent => Trouble::NeverSent,
                UNAVAILABLE | DEADLINE_EXCEEDED => Trouble::Away,
                _ => Trouble::Other,
            }
        }
        etcd_client::Error::TransportError(_) | etcd_client::Error::IoError(_) => Trouble::Away,
        _ => Trouble::Other,
    }
}

fn is_connect_failure(status: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if format!("{error:?}").starts_with("ConnectError") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The error as one of ours.
pub(super) fn failed(action: &'static str) -> impl FnOnce(etcd_client::Error) -> Error {
    move |error| {
        if let etcd_client::Error::GRpcStatus(status) = &error {
            let (code, text) = (status.code() as i32, status.message());
            match code {
                OUT_OF_RANGE if text.contains(COMPACTED) => {
                    return Error::Compacted {
                        revision: 0,
                        oldest: 0,
                    };
                }
                OUT_OF_RANGE if text.contains(FUTURE) => {
                    return Error::Future {
                        revision: 0,
                        newest: 0,
                    };
                }
                NOT_FOUND if text.contains(NO_LEASE) => {
                    return Error::LeaseGone;
                }
                OUT_OF_RANGE | RESOURCE_EXHAUSTED if text.contains("message") => {
                    return Error::TooLarge {
                        what: "an answer of etcd".into(),
                        size: 0,
                        limit: 0,
                    };
                }
                _ => {}
            }
        }
        Error::engine(action, error)
    }
}
