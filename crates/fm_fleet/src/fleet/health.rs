//! Who is asked, besides hosts, whether the guests of a wave are well.

use std::fmt;

use async_trait::async_trait;
use fm_api::v1::rollout::{HealthQuestion, HealthWords};
use fm_rollout::HealthWord;

/// Somebody who can be asked. The server knows where; a rollout says only whether.
#[async_trait]
pub trait HealthSource: fmt::Debug + Send + Sync {
    /// Whether everybody can be asked whom a rollout wants to be asked; else who is missing.
    fn can_ask(&self, words: &HealthWords) -> Result<(), &'static str>;

    /// Asks them. Takes no longer than some seconds, and never fails: no answer is [`HealthWord::Missing`].
    async fn ask(&self, question: &HealthQuestion) -> HealthWord;
}
