//! Who is asked, besides hosts, whether the guests of a rollout's wave are well: a webhook, and Prometheus.
//!
//! Whatever is no clear answer is none, and pauses the rollout: a service that cannot be reached, takes too long, answers
//! something else, or a query that finds nothing.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use fm_api::v1::rollout::{HealthAnswer, HealthQuestion, HealthWords};
use fm_client::Service;
use fm_fleet::{HealthSource, HealthWord};
use fm_remedy::one_line;
use serde::Deserialize;

use crate::pki::read;
use crate::{Error, Result};

/// The longest that one of them may take.
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER_BYTES: u64 = 64 << 10;
/// Where Debian, and most others, keep the authorities that everybody trusts.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Where to ask.
#[derive(Debug, Clone, Default)]
pub struct HealthOptions {
    /// A webhook's address.
    pub webhook: Option<String>,
    /// Prometheus' address, or that of something that answers its queries.
    pub prometheus: Option<String>,
    /// Authorities that sign their certificates, in PEM; the system's if nothing is said.
    pub ca: Option<PathBuf>,
}

/// Those who are asked.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    webhook: Option<Service>,
    prometheus: Option<Service>,
}

impl Health {
    /// Nothing if nobody is to be asked.
    pub(crate) fn new(options: &HealthOptions) -> Result<Option<Self>> {
        let urls = [&options.webhook, &options.prometheus];
        if urls.iter().all(|url| url.is_none()) {
            return Ok(None);
        }
        let is_encrypted =
            |url: &&&Option<String>| url.as_deref().is_some_and(|url| url.starts_with("https:"));
        let ca = match urls.iter().any(|url| is_encrypted(&url)) {
            false => String::new(),
            true => {
                let path = options.ca.clone().unwrap_or_else(|| SYSTEM_CA.into());
                String::from_utf8(read(&path)?).map_err(|error| Error::bad(&path, error))?
            }
        };
        let service = |url: &Option<String>| {
            let service = url.as_deref().map(|url| Service::new(url, &ca, TIMEOUT));
            service.transpose()
        };
        Ok(Some(Self {
            webhook: service(&options.webhook)?,
            prometheus: service(&options.prometheus)?,
        }))
    }
}

#[async_trait]
impl HealthSource for Health {
    fn can_ask(&self, words: &HealthWords) -> Result<(), &'static str> {
        if words.webhook && self.webhook.is_none() {
            return Err("webhook");
        }
        if words.query.is_some() && self.prometheus.is_none() {
            return Err("Prometheus");
        }
        Ok(())
    }

    async fn ask(&self, question: &HealthQuestion) -> HealthWord {
        let (health, question) = (self.clone(), question.clone());
        let said = tokio::task::spawn_blocking(move || health.ask_all(&question)).await;
        said.unwrap_or_else(|_| missing("the question was broken off"))
    }
}

fn missing(why: impl Into<String>) -> HealthWord {
    HealthWord::Missing { why: why.into() }
}

impl Health {
    fn ask_all(&self, question: &HealthQuestion) -> HealthWord {
        let words = &question.spec.health;
        let mut said = Vec::new();
        if words.webhook {
            said.push(match &self.webhook {
                Some(service) => by_webhook(service, question),
                None => missing("there is no webhook"),
            });
        }
        if let Some(query) = &words.query {
            said.push(match &self.prometheus {
                Some(service) => by_query(service, query),
                None => missing("there is no Prometheus"),
            });
        }
        // Who says that guests are not well outweighs who says nothing, and that who says that they are.
        let rank = |word: &HealthWord| match word {
            HealthWord::Well => 0,
            HealthWord::Missing { .. } => 1,
            HealthWord::Ill { .. } => 2,
        };
        said.into_iter()
            .max_by_key(rank)
            .unwrap_or_else(|| missing("nobody was asked"))
    }
}

fn by_webhook(service: &Service, question: &HealthQuestion) -> HealthWord {
    let document = match serde_json::to_vec(question) {
        Ok(document) => document,
        Err(error) => return missing(format!("the webhook: {error}")),
    };
    let answer = match service.post_json(&document, MAX_ANSWER_BYTES) {
        Ok(answer) => answer,
        Err(error) => return missing(format!("the webhook: {}", one_line(&error))),
    };
    match serde_json::from_slice::<HealthAnswer>(&answer) {
        Err(error) => missing(format!("the webhook's answer cannot be read: {error}")),
        Ok(HealthAnswer { healthy: true, .. }) => HealthWord::Well,
        Ok(HealthAnswer { why, .. }) => HealthWord::Ill {
            why: match why {
                Some(why) => format!("the webhook: {why}"),
                None => "the webhook says so, and not why".into(),
            },
        },
    }
}

/// Prometheus' answer to an instant query (`prometheus.io/docs/prometheus/latest/querying/api`).
#[derive(Debug, Deserialize)]
struct Answer {
    data: Option<Data>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", tag = "resultType", content = "result")]
enum Data {
    Vector(Vec<Sample>),
    Scalar((serde_json::Value, String)),
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
struct Sample {
    value: (serde_json::Value, String),
}

fn by_query(service: &Service, query: &str) -> HealthWord {
    let answer = service.post_form("/api/v1/query", &[("query", query)], MAX_ANSWER_BYTES);
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return missing(format!("the query: {}", one_line(&error))),
    };
    let values: Vec<String> = match serde_json::from_slice::<Answer>(&answer) {
        Err(error) => return missing(format!("the query's answer cannot be read: {error}")),
        Ok(Answer {
            data: Some(Data::Vector(samples)),
        }) => samples.into_iter().map(|sample| sample.value.1).collect(),
        Ok(Answer {
            data: Some(Data::Scalar((_, value))),
        }) => vec![value],
        Ok(_) => return missing("the query gives no vector and no number"),
    };
    judged(&values)
}

/// Every value has to say 1. What is neither 1 nor 0 was no comparison, and may mean anything.
fn judged(values: &[String]) -> HealthWord {
    let odd = values.iter().find(|value| *value != "0" && *value != "1");
    if let Some(odd) = odd {
        return missing(format!(
            "the query gives {odd:?}, which is neither 1 nor 0: compare with `bool`, as in `ERRORS < bool 0.01`"
        ));
    }
    if values.is_empty() {
        return missing("the query finds nothing");
    }
    match values.iter().filter(|value| *value == "0").count() {
        0 => HealthWord::Well,
        count => HealthWord::Ill {
            why: format!("the query gives 0 for {count} of {}", values.len()),
        },
    }
}

#[cfg(test)]
mod tests;
