//! The seam at which tests make an operation on disk fail, or the process stop for good.

#[cfg(not(any(test, feature = "faults")))]
#[allow(clippy::unnecessary_wraps)] // the test build's twin fails
pub(crate) fn step(_: &'static str, _: &std::ffi::OsStr) -> std::io::Result<()> {
    Ok(())
}

#[cfg(any(test, feature = "faults"))]
pub(crate) use armed::step;
#[cfg(any(test, feature = "faults"))]
pub use armed::{Fault, trace, with};

#[cfg(any(test, feature = "faults"))]
mod armed {
    use std::cell::RefCell;
    use std::ffi::OsStr;
    use std::io;

    /// What happens at the step that was chosen.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fault {
        /// That one step fails as on a full disk; what follows works again.
        Full,
        /// That step and everything after it fails, as if the process had been killed: nothing is tidied.
        Killed,
    }

    #[derive(Debug, Default)]
    struct Plan {
        /// Whether anybody asked: a test of another room that only happens to write records nothing.
        is_watched: bool,
        fault: Option<(Fault, usize)>,
        steps: Vec<(&'static str, String)>,
    }

    thread_local! {
        static PLAN: RefCell<Plan> = RefCell::default();
    }

    /// Runs `work` with `fault` at its step number `at`.
    pub fn with<T>(fault: Fault, at: usize, work: impl FnOnce() -> T) -> T {
        PLAN.replace(Plan {
            is_watched: true,
            fault: Some((fault, at)),
            steps: Vec::new(),
        });
        let result = work();
        PLAN.take();
        result
    }

    /// Runs `work` and tells which steps it took.
    pub fn trace<T>(work: impl FnOnce() -> T) -> (T, Vec<(&'static str, String)>) {
        PLAN.replace(Plan {
            is_watched: true,
            ..Plan::default()
        });
        let result = work();
        (result, PLAN.take().steps)
    }

    pub(crate) fn step(operation: &'static str, name: &OsStr) -> io::Result<()> {
        PLAN.with_borrow_mut(|plan| {
            if !plan.is_watched {
                return Ok(());
            }
            let now = plan.steps.len();
            plan.steps.push((operation, name.to_string_lossy().into_owned()));
            match plan.fault {
                Some((Fault::Full, at)) if now == at => Err(rustix::io::Errno::NOSPC.into()),
                Some((Fault::Killed, at)) if now >= at => Err(rustix::io::Errno::IO.into()),
                _ => Ok(()),
            }
        })
    }
}
