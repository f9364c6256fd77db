//! `flashmoor rollout plan` and `start`.

use clap::{Args, ValueEnum};
use fm_api::v1::fleet::{CertificateSet, RestartWindow};
use fm_api::v1::rollout::{HealthWords, RolloutPlan, RolloutSpec, RolloutView, TakesAt};
use fm_client::{Client, Precondition};

use super::super::fleet::{Access, find_build};
use super::super::{Context, Result, Status};
use fm_render::rollout as render;

const MINUTES_AN_HOUR: u32 = 60;

/// Which guests get which build, and how carefully
#[derive(Debug, Args)]
struct Spec {
    /// The build that guests get: its digest, or the first digits of it. Given twice, a guest gets the first that lays
    /// variables out as its own does
    #[arg(long, value_name = "BUILD", required_unless_present = "certificates")]
    build: Vec<String>,
    /// Instead of a build: Microsoft's certificates that guests' Secure Boot keys gain while they are off. --select has to
    /// name the guests
    #[arg(long, value_name = "GENERATION", conflicts_with_all = ["build", "at"])]
    certificates: Option<Generation>,
    /// Only guests that run this build
    #[arg(long, value_name = "BUILD")]
    from: Option<String>,
    /// Which guests: terms such as host=a, name~web, layout=2M, machine~q35, build=DIGITS, label:rack=r7, or all, joined by
    /// and, or, not, commas and parentheses
    #[arg(long, value_name = "EXPR")]
    select: String,
    /// How many percent of the guests have had their turn by the end of each wave
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_values_t = [1, 10, 50, 100])]
    waves: Vec<u32>,
    /// At most so many guests of one host on their way at once; 0: no limit
    #[arg(long, value_name = "N", default_value_t = 10)]
    per_host: u64,
    /// At most so many of hosts with the same label `rack`; 0: no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    per_rack: u64,
    /// How long nothing else happens after a wave
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    soak: u64,
    /// How long a guest may take to boot the build
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    health_timeout: u64,
    /// So many guests may fail before it pauses; of those that go first, none
    #[arg(long, value_name = "N", default_value_t = 0)]
    error_budget: u64,
    /// The next wave begins when so many percent of those before it have booted the build
    #[arg(long, value_name = "PERCENT", default_value_t = 100)]
    advance: u32,
    /// When a guest takes the build: when its QEMU starts next, or at its own next reset, by an update of its memory. A
    /// guest whose reset cannot bring it is left out
    #[arg(long, value_name = "WHEN", default_value = "start")]
    at: When,
    /// Ask the server's webhook whether guests are well, before the next wave begins; no answer pauses
    #[arg(long)]
    health_webhook: bool,
    /// Ask the server's Prometheus the same: the value is to be 1 where guests are well, and 0 where they are not, as
    /// with `sum(rate(errors_total[5m])) < bool 0.1`; nothing found pauses
    #[arg(long, value_name = "PROMQL")]
    health_query: Option<String>,
    /// Let hosts shut guests down and start them again, in these hours of the day in UTC
    #[arg(long, value_name = "HH:MM-HH:MM", value_parser = window)]
    restart: Option<(u32, u32)>,
    /// How long a guest may take to shut down; after that it is left alone
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "restart")]
    shutdown_timeout: u64,
    #[command(flatten)]
    access: Access,
}

/// Microsoft's generations that can be rolled out.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Generation {
    #[value(name = "2023")]
    Only2023,
}

/// When a guest takes a build.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum When {
    Start,
    Reset,
}

/// `22:00-04:30` as minutes of the day.
fn window(text: &str) -> std::result::Result<(u32, u32), String> {
    let wrong = || "a window is HH:MM-HH:MM, such as 22:00-04:30".to_owned();
    let minute = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
        (hours < 24 && minutes < MINUTES_AN_HOUR).then_some(hours * MINUTES_AN_HOUR + minutes)
    };
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    match (minute(from), minute(to)) {
        (Some(from), Some(to)) => Ok((from, to)),
        _ => Err(wrong()),
    }
}

impl Spec {
    fn spec(&self, client: &Client) -> Result<RolloutSpec> {
        let builds = self.build.iter().map(|text| find_build(client, text));
        let mut spec = RolloutSpec::new(builds.collect::<Result<_>>()?, self.select.clone());
        spec.certificates = self.certificates.map(|generation| match generation {
            Generation::Only2023 => CertificateSet::Microsoft2023,
        });
        spec.at = match self.at {
            When::Start => TakesAt::Start,
            When::Reset => TakesAt::Reset,
        };
        spec.health = HealthWords {
            webhook: self.health_webhook,
            query: self.health_query.clone(),
        };
        spec.from = self
            .from
            .as_deref()
            .map(|text| find_build(client, text))
            .transpose()?;
        spec.waves.clone_from(&self.waves);
        spec.max_per_host = self.per_host;
        spec.max_per_rack = self.per_rack;
        spec.soak_s = self.soak;
        spec.health_timeout_s = self.health_timeout;
        spec.error_budget = self.error_budget;
        spec.advance_percent = self.advance;
        spec.restart = self.restart.map(|(from_minute, to_minute)| RestartWindow {
            from_minute,
            to_minute,
            shutdown_timeout_s: self.shutdown_timeout,
        });
        Ok(spec)
    }
}

/// Show what a rollout would do to whom, and who is left out and why; touches nothing
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    spec: Spec,
}

impl Plan {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.spec.access.client(context)?;
        let spec = self.spec.spec(&client)?;
        let plan: RolloutPlan = client.write("POST", "/api/v1/rollouts/plan", &spec, Precondition::None)?;
        context.output.document(&plan, render::plan);
        Ok(Status::Done)
    }
}

/// Begin a rollout
///
/// Look at the plan first: what is begun is what the plan with the same options shows.
#[derive(Debug, Args)]
pub(crate) struct Start {
    #[command(flatten)]
    spec: Spec,
}

impl Start {
    pub(crate) fn run(&self, context: &Context) -> Result {
        let client = self.spec.access.client(context)?;
        let spec = self.spec.spec(&client)?;
        let view: RolloutView = client.write("POST", "/api/v1/rollouts", &spec, Precondition::None)?;
        context.output.document(&view, render::one);
        Ok(Status::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::window;

    #[test]
    fn a_window_is_two_times_of_day() {
        assert_eq!(window("22:00-04:30"), Ok((1320, 270)));
        for wrong in ["", "22-4", "22:00", "24:00-01:00", "01:60-02:00", "a:b-c:d"] {
            assert!(window(wrong).is_err(), "{wrong}");
        }
    }
}
