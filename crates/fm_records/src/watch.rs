//! What a watch says: which keys changed, or that it may have missed some.

use tokio::sync::mpsc;

use super::Revision;

/// One thing that a watch says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A record was written or taken away.
    Changed {
        /// Its key.
        key: String,
        /// The revision that did it.
        revision: Revision,
    },
    /// Some changes were missed: read everything again.
    Lost,
}

/// Tells of changes. A hint: who decides something reads the records.
#[derive(Debug)]
pub struct Watch {
    notices: mpsc::Receiver<Notice>,
    ended: bool,
}

/// So many notices wait for a slow reader; then the watch is cut and the reader starts over.
pub(crate) const MAX_WAITING_COUNT: usize = 1 << 16;

impl Watch {
    /// A watch and the end that feeds it.
    pub(crate) fn channel() -> (mpsc::Sender<Notice>, Self) {
        let (sender, notices) = mpsc::channel(MAX_WAITING_COUNT);
        (
            sender,
            Self {
                notices,
                ended: false,
            },
        )
    }

    /// The next notice. Once [`Notice::Lost`] was said, the watch is over and `None` follows.
    pub async fn next(&mut self) -> Option<Notice> {
        if self.ended {
            return None;
        }
        let notice = self.notices.recv().await;
        Some(self.told(notice))
    }

    /// The next notice if there is one already.
    pub fn try_next(&mut self) -> Option<Notice> {
        if self.ended {
            return None;
        }
        match self.notices.try_recv() {
            Ok(notice) => Some(self.told(Some(notice))),
            Err(mpsc::error::TryRecvError::Empty) => None,
            Err(mpsc::error::TryRecvError::Disconnected) => Some(self.told(None)),
        }
    }

    /// Whether it has said its last.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended
    }

    fn told(&mut self, notice: Option<Notice>) -> Notice {
        let notice = notice.unwrap_or(Notice::Lost);
        self.ended = notice == Notice::Lost;
        notice
    }
}

/// The watches of an engine that lives in this process.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Vec<(String, mpsc::Sender<Notice>)>);

impl Watchers {
    /// One more.
    pub(crate) fn add(&mut self, prefix: &str) -> Watch {
        let (sender, watch) = Watch::channel();
        self.0.push((prefix.to_owned(), sender));
        watch
    }

    /// Tells all whom it concerns. One that does not keep up is dropped, by which it learns that it lost some.
    pub(crate) fn tell(&mut self, keys: &[String], revision: Revision) {
        self.0.retain(|(prefix, sender)| {
            keys.iter().filter(|key| key.starts_with(prefix)).all(|key| {
                let notice = Notice::Changed {
                    key: key.clone(),
                    revision,
                };
                sender.try_send(notice).is_ok()
            })
        });
    }
}
