//! What of a guest could not be seen, as a remark.

use fm_remedy::Failure as _;
use fm_remedy::one_line;

/// An error in one line, with what to do where that is not for whoever starts the command.
pub(super) fn said(error: &fm_host::Error) -> String {
    match (error, error.remedy()) {
        (fm_host::Error::FlashNotFound { .. }, Some(remedy)) => {
            format!("{}; {}", one_line(error), remedy.advice)
        }
        _ => one_line(error),
    }
}
