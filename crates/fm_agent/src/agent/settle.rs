//! Writes to block devices that were interrupted: the agent finishes or undoes them, and tells once what it cannot.

use std::collections::BTreeSet;

use fm_remedy::one_line;
use fm_store::Store;
use fm_variables::{Error, Journal, Settled};

use super::AgentEvent;

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Reported(BTreeSet<String>);

impl Reported {
    /// Finishes or undoes what can be.
    pub(super) fn settle(&mut self, store: &Store, report: &mut dyn FnMut(&AgentEvent)) {
        match Journal::in_store(store.path()).settle_all() {
            Err(error) => self.failed(&error, report),
            Ok(all) => {
                for device in all {
                    match device.result {
                        Ok(Settled::Nothing) => {}
                        Ok(Settled::Finished { .. }) => {
                            report(&AgentEvent::WriteFinished { device: device.path });
                        }
                        Ok(Settled::Undone { .. }) => {
                            report(&AgentEvent::WriteUndone { device: device.path });
                        }
                        // It is on its way just now, or its guest runs, which is told by whoever lists guests.
                        Err(Error::Busy { .. } | Error::InUse { .. }) => {}
                        Err(error) => self.failed(&error, report),
                    }
                }
            }
        }
    }

    fn failed(&mut self, error: &Error, report: &mut dyn FnMut(&AgentEvent)) {
        let why = one_line(error);
        if self.0.insert(why.clone()) {
            report(&AgentEvent::Failed { why });
        }
    }
}
