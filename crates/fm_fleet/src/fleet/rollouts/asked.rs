//! A question whether the guests of a wave are well, which is asked while the planner goes on.

use std::sync::Arc;

use fm_api::v1::rollout::HealthQuestion;
use fm_rollout::HealthWord;
use tokio::task::JoinHandle;

use super::super::check;
use super::super::health::HealthSource;

/// A question that was asked.
#[derive(Debug)]
pub(super) struct Asked {
    wave: u32,
    answer: JoinHandle<HealthWord>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        // Nobody waits for it any more.
        self.answer.abort();
    }
}

impl Asked {
    /// Asks; nobody can be if this server knows nobody.
    pub(super) fn ask(source: Option<Arc<dyn HealthSource>>, question: HealthQuestion) -> Self {
        let wave = question.wave;
        let answer = tokio::spawn(async move {
            let missing = |who: &str| HealthWord::Missing {
                why: format!("this server knows no {who} to ask"),
            };
            match source {
                None => missing("webhook and no Prometheus"),
                Some(source) => match source.can_ask(&question.spec.health) {
                    Ok(()) => source.ask(&question).await,
                    Err(who) => missing(who),
                },
            }
        });
        Self { wave, answer }
    }

    /// Whether it was about this wave.
    pub(super) fn is_about(&self, wave: u32) -> bool {
        self.wave == wave
    }

    /// What was said, if something was.
    pub(super) async fn answer(&mut self) -> Option<HealthWord> {
        if !self.answer.is_finished() {
            return None;
        }
        let said = (&mut self.answer).await;
        let said = said.unwrap_or_else(|_| HealthWord::Missing {
            why: "the question was broken off".into(),
        });
        Some(match said {
            HealthWord::Well => HealthWord::Well,
            HealthWord::Ill { why } => HealthWord::Ill { why: short(why) },
            HealthWord::Missing { why } => HealthWord::Missing { why: short(why) },
        })
    }
}

fn short(mut why: String) -> String {
    check::word(&mut why);
    why
}
