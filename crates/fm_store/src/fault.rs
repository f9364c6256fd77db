//! The seam at which tests make an operation on disk fail, or the process stop for good.

#[cfg(not(test))]
#[allow(clippy::unnecessary_wraps)] // the test build's twin fails
pub(crate) fn step(_: &'static str, _: &std::ffi::OsStr) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use armed::{Fault, step, trace, with};

#[cfg(test)]
mod armed {
    use std::cell::RefCell;
    use std::ffi::OsStr;
    use std::io;

    /// What happens at the step that was chosen.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// That one step fails as on a full disk; what follows works again.
        Full,
        /// That step and everything after it fails, as if the process had been killed: nothing is tidied.
        Killed,
    }

    #[derive(Debug, Default)]
    struct Plan {
        fault: Option<(Fault, usize)>,
        steps: Vec<(&'static str, String)>,
    }

    thread_local! {
        static PLAN: RefCell<Plan> = RefCell::default();
    }

    /// Runs `work` with `fault` at its step number `at`.
    pub(crate) fn with<T>(fault: Fault, at: usize, work: impl FnOnce() -> T) -> T {
        PLAN.replace(Plan {
            fault: Some((fault, at)),
            steps: Vec::new(),
        });
        let result = work();
        PLAN.take();
        result
    }

    /// Runs `work` and tells which steps it took.
    pub(crate) fn trace<T>(work: impl FnOnce() -> T) -> (T, Vec<(&'static str, String)>) {
        PLAN.take();
        let result = work();
        (result, PLAN.take().steps)
    }

    pub(crate) fn step(operation: &'static str, name: &OsStr) -> io::Result<()> {
        PLAN.with_borrow_mut(|plan| {
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
