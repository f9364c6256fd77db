//! Rollouts, one of them, and the forms that pause one, let it go on, end it or take it back.

use askama::Template;
use axum::extract::{Path, Request, State};
use fm_api::v1::fleet::{CertificateSet, OldVariables, ProgressState};
use fm_api::v1::rollout::{MemberView, RolloutState, RolloutView, TakesAt};
use fm_fleet::RolloutCommand;
use serde::Deserialize;

use super::address::BuildLink;
use super::forms;
use super::frame::{Frame, Section};
use super::reply::{Reply, page as reply, secret_page, see};
use super::visitor::Visitor;
use super::words::{Word, progress, rollout_state, shown};
use crate::site::Site;
use fm_access::Problem;
use fm_access::request::part;

/// So many rollouts are listed, the newest.
const ROW_COUNT: usize = 100;

/// A rollout in a table.
struct Row {
    href: String,
    id: String,
    state: Word,
    build: Option<BuildLink>,
    certificates: Option<&'static str>,
    wave: u32,
    waves: usize,
    healthy: u64,
    failed: u64,
    guests: u64,
    by: String,
    select: String,
    started: String,
}

impl Row {
    fn of(rollout: &RolloutView) -> Self {
        let healthy = rollout
            .waves
            .iter()
            .filter_map(|wave| wave.states.get(&ProgressState::Healthy));
        Self {
            href: format!("/rollouts/{}", rollout.id),
            id: rollout.id.clone(),
            state: rollout_state(rollout.state),
            build: rollout.spec.builds.first().map(BuildLink::to),
            certificates: rollout.spec.certificates.map(CertificateSet::name),
            wave: rollout.wave,
            waves: rollout.waves.len().saturating_sub(1),
            healthy: healthy.sum(),
            failed: rollout.failed_count,
            guests: rollout.waves.iter().map(|wave| wave.guest_count).sum(),
            by: shown(&rollout.by),
            select: shown(&rollout.spec.select),
            started: shown(&rollout.started),
        }
    }
}

#[derive(Template)]
#[template(path = "rollouts.html")]
struct ListPage {
    frame: Frame,
    rows: Vec<Row>,
    more: usize,
}

pub(super) async fn list(State(site): State<Site>, visitor: Visitor) -> Reply {
    let (rollouts, _) = site.fleet().rollouts().await?;
    reply(&ListPage {
        frame: Frame::live("Rollouts", Section::Rollouts, visitor.who()),
        rows: rollouts.iter().take(ROW_COUNT).map(Row::of).collect(),
        more: rollouts.len().saturating_sub(ROW_COUNT),
    })
}

/// A wave in a table.
struct Wave {
    name: String,
    is_here: bool,
    guests: u64,
    states: Vec<(Word, u64)>,
}

/// A guest that did not get through.
struct Trouble {
    href: String,
    guest: String,
    host: String,
    state: Word,
    evidence: String,
    written: Vec<String>,
}

impl Trouble {
    fn of(member: &MemberView) -> Self {
        Self {
            href: super::address::guest(&member.guest),
            guest: shown(member.name.as_deref().unwrap_or(&member.guest)),
            host: member.host.to_string(),
            state: progress(member.state),
            evidence: shown(member.evidence.as_deref().unwrap_or("its host did not say why")),
            written: member.written.iter().map(|name| shown(name)).collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "rollout.html")]
struct OnePage {
    frame: Frame,
    row: Row,
    why: Option<String>,
    budget: u64,
    soak_s: u64,
    health_timeout_s: u64,
    per_host: u64,
    at_reset: bool,
    asks_webhook: bool,
    query: Option<String>,
    advance: u32,
    waves: Vec<Wave>,
    troubles: Vec<Trouble>,
    actions: Vec<(&'static str, &'static str)>,
}

/// What a person may do with a rollout that stands so: the address and what it is called.
fn actions(state: RolloutState) -> Vec<(&'static str, &'static str)> {
    VERBS
        .iter()
        .filter(|verb| fm_rollout::next(state, verb.command).is_ok())
        .map(|verb| (verb.name, verb.label))
        .collect()
}

pub(super) async fn one(State(site): State<Site>, visitor: Visitor, Path(id): Path<String>) -> Reply {
    let rollout = site.fleet().rollout(&id).await?;
    let waves = rollout.waves.iter().enumerate().map(|(number, wave)| Wave {
        name: match wave.percent {
            None => "first".to_owned(),
            Some(percent) => format!("until {percent} %"),
        },
        is_here: number == rollout.wave as usize,
        guests: wave.guest_count,
        states: wave
            .states
            .iter()
            .map(|(state, count)| (progress(*state), *count))
            .collect(),
    });
    let spec = &rollout.spec;
    reply(&OnePage {
        frame: Frame::live(
            format!("Rollout {}", rollout.id),
            Section::Rollouts,
            visitor.who(),
        ),
        row: Row::of(&rollout),
        why: rollout.why.as_deref().map(shown),
        budget: spec.error_budget,
        soak_s: spec.soak_s,
        health_timeout_s: spec.health_timeout_s,
        per_host: spec.max_per_host,
        at_reset: spec.at == TakesAt::Reset,
        asks_webhook: spec.health.webhook,
        query: spec.health.query.as_deref().map(shown),
        advance: spec.advance_percent,
        waves: waves.collect(),
        troubles: rollout.troubles.iter().map(Trouble::of).collect(),
        actions: match visitor.is_operator() {
            true => actions(rollout.state),
            false => Vec::new(),
        },
    })
}

/// What a form does, and what it says first.
struct Verb {
    name: &'static str,
    label: &'static str,
    command: RolloutCommand,
    means: &'static [&'static str],
    /// Whether it asks what becomes of variables.
    asks: bool,
}

const VERBS: [Verb; 4] = [
    Verb {
        name: "pause",
        label: "Pause",
        command: RolloutCommand::Pause,
        means: &[
            "Nobody is given the build any more, and whoever has not started with it yet does not.",
            "Guests that run it go on, and are watched.",
        ],
        asks: false,
    },
    Verb {
        name: "resume",
        label: "Go on",
        command: RolloutCommand::Resume,
        means: &["It goes on where it stopped. What has failed so far does not stop it again."],
        asks: false,
    },
    Verb {
        name: "abort",
        label: "End it here",
        command: RolloutCommand::Abort,
        means: &[
            "Whoever has the build keeps it, and nobody else gets it.",
            "It can still be taken back afterwards.",
        ],
        asks: false,
    },
    Verb {
        name: "rollback",
        label: "Take it back",
        command: RolloutCommand::RollBack,
        means: &[
            "Everybody who got the build has the old one at the next start, and the variables of before.",
            "A guest that wrote variables since waits until it is said what becomes of them.",
        ],
        asks: true,
    },
];

fn verb(name: &str) -> Result<&'static Verb, Problem> {
    let found = VERBS.iter().find(|verb| verb.name == name);
    found.ok_or_else(|| Problem::not_found("a rollout has no such page"))
}

#[derive(Template)]
#[template(path = "rollout_change.html")]
struct ChangePage {
    frame: Frame,
    row: Row,
    label: &'static str,
    means: &'static [&'static str],
    asks: bool,
    action: String,
    token: String,
    revision: u64,
}

pub(super) async fn ask_change(
    State(site): State<Site>,
    visitor: Visitor,
    Path((id, name)): Path<(String, String)>,
) -> Reply {
    forms::require_operator(&visitor)?;
    let verb = verb(&name)?;
    let rollout = site.fleet().rollout(&id).await?;
    let action = format!("/rollouts/{}/{}", rollout.id, verb.name);
    secret_page(&ChangePage {
        frame: Frame::still(
            format!("{}: rollout {}", verb.label, rollout.id),
            Section::Rollouts,
            visitor.who(),
        ),
        token: forms::token(&visitor, &action)?,
        label: verb.label,
        means: verb.means,
        asks: verb.asks,
        action,
        revision: rollout.revision,
        row: Row::of(&rollout),
    })
}

#[derive(Debug, Deserialize)]
struct Change {
    revision: String,
    variables: Option<String>,
}

pub(super) async fn change(
    State(site): State<Site>,
    visitor: Visitor,
    Path((id, name)): Path<(String, String)>,
    request: Request,
) -> Reply {
    let form: Change = forms::read_guarded(&visitor, request).await?;
    let verb = verb(&name)?;
    let revision = part(&form.revision)?;
    let variables = verb.asks.then_some(match form.variables.as_deref() {
        Some("keep") => OldVariables::Keep,
        Some("old") => OldVariables::Old,
        _ => OldVariables::Ask,
    });
    site.fleet()
        .change_rollout(
            &id,
            verb.command,
            variables,
            &visitor.principal.name,
            Some(revision),
        )
        .await?;
    see(&format!("/rollouts/{id}"))
}
