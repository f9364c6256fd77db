//! What a rollout would do, for somebody who approves it: figures first, then what it asks of people, then who is left out.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use fm_api::v1::fleet::{BuildState, CertificateSet, Digest, PageRequest};
use fm_api::v1::rollout::{PlanAction, PlanClass, RolloutPlan, RolloutSpec, TakesAt};
use fm_fleet::BuildFilter;
use serde::Deserialize;

use super::address::{BuildLink, given, given_word, guest as guest_href};
use super::ask::Asked;
use super::builds::called;
use super::frame::{Frame, Section};
use super::reply::{Reply, page as reply};
use super::visitor::Visitor;
use super::words::{Word, left_out, plan_action, short, shown, shown_or, switch};
use crate::site::Site;

/// So many builds can be chosen from.
const BUILD_COUNT: usize = 200;
/// So many classes are shown; the figures count all.
const CLASS_COUNT: usize = 100;

/// What is planned.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    build: Option<String>,
    other: Option<String>,
    certificates: Option<String>,
    at: Option<String>,
    select: Option<String>,
}

/// A build that can be chosen.
struct Choice {
    digest: String,
    text: String,
    is_first: bool,
    is_other: bool,
}

/// A wave in a table.
struct Wave {
    name: String,
    guests: u64,
}

/// Something that the judge found, and for how many.
struct Finding {
    code: String,
    subject: String,
    why: String,
    remedy: Option<String>,
    guests: u64,
}

/// Why guests are left out, and for how many.
struct Left {
    why: &'static str,
    details: Vec<String>,
    guests: u64,
    examples: Vec<(String, String)>,
}

/// Guests that are alike.
struct Class {
    action: Word,
    guests: u64,
    from: Option<BuildLink>,
    build: Option<BuildLink>,
    layout: String,
    machine: String,
    qemu: String,
    secure_boot: &'static str,
    tpm: &'static str,
    examples: Vec<(String, String)>,
}

/// A plan as it is shown.
struct Shown {
    selected: u64,
    taken: u64,
    hosts: u64,
    converted: u64,
    left_out: u64,
    asked_for_keys: u64,
    own_windows: u64,
    certificates: Option<&'static str>,
    when: &'static str,
    waves: Vec<Wave>,
    findings: Vec<Finding>,
    left: Vec<Left>,
    classes: Vec<Class>,
    more: usize,
}

#[derive(Template)]
#[template(path = "plan.html")]
struct PlanPage {
    frame: Frame,
    choices: Vec<Choice>,
    select: String,
    has_certificates: bool,
    at_reset: bool,
    plan: Option<Shown>,
}

fn examples(class: &PlanClass) -> Vec<(String, String)> {
    let guests = class.guests.iter();
    guests
        .map(|guest| {
            let name = guest.name.as_deref().unwrap_or(&guest.uuid);
            (guest_href(&guest.uuid), shown(name))
        })
        .collect()
}

impl Class {
    fn of(class: &PlanClass) -> Self {
        Self {
            action: plan_action(class.action),
            guests: class.guest_count,
            from: class.from.as_ref().map(BuildLink::to),
            build: class.build.as_ref().map(BuildLink::to),
            layout: shown_or(class.layout.as_deref(), "unknown"),
            machine: shown_or(class.machine.as_deref(), "unknown"),
            qemu: shown_or(class.qemu.as_deref(), "unknown"),
            secure_boot: switch(class.secure_boot),
            tpm: match class.tpm {
                Some(true) => "yes",
                Some(false) => "no",
                None => "unknown",
            },
            examples: examples(class),
        }
    }
}

impl Shown {
    fn of(plan: &RolloutPlan) -> Self {
        let is_left_out = |class: &&PlanClass| class.action == PlanAction::LeaveOut;
        let taken = plan.classes.iter().filter(|class| !is_left_out(class));
        let mut findings: BTreeMap<(&str, &str, &str), (u64, Option<&str>)> = BTreeMap::new();
        for class in taken.clone() {
            for found in &class.findings {
                let key = (found.code.as_str(), found.subject.as_str(), found.why.as_str());
                let entry = findings.entry(key).or_default();
                entry.0 += class.guest_count;
                entry.1 = entry.1.or(found.remedy.as_deref());
            }
        }
        let mut left: BTreeMap<&str, Left> = BTreeMap::new();
        for class in plan.classes.iter().filter(is_left_out) {
            let why = left_out(class.reason);
            let entry = left.entry(why).or_insert_with(|| Left {
                why,
                details: Vec::new(),
                guests: 0,
                examples: examples(class),
            });
            entry.guests += class.guest_count;
            let reasons = class.refusals.iter().map(|refusal| &refusal.why);
            for detail in class.findings.iter().map(|found| &found.why).chain(reasons) {
                let detail = shown(detail);
                if !entry.details.contains(&detail) {
                    entry.details.push(detail);
                }
            }
        }
        let mut left: Vec<Left> = left.into_values().collect();
        left.sort_by_key(|left| std::cmp::Reverse(left.guests));
        let of_certificates = plan.spec.certificates.is_some();
        Self {
            selected: plan.selected_count,
            taken: plan.moved_count + plan.converted_count + plan.enrolled_count,
            hosts: plan.host_count,
            converted: plan.converted_count,
            left_out: plan.left_out_count,
            asked_for_keys: plan.asked_for_keys_count,
            own_windows: plan.own_window_count,
            certificates: plan.spec.certificates.map(CertificateSet::name),
            when: match (of_certificates, plan.spec.at) {
                (true, _) => "while they are off, and in effect at their next start",
                (false, TakesAt::Reset) => "at their own next reset, without being shut down",
                (false, _) => "when their QEMU starts next: a guest's own reboot does not start it",
            },
            waves: plan
                .waves
                .iter()
                .map(|wave| Wave {
                    name: match wave.percent {
                        None => "first, one of each kind".to_owned(),
                        Some(percent) => format!("until {percent} %"),
                    },
                    guests: wave.guest_count,
                })
                .collect(),
            findings: findings
                .into_iter()
                .map(|((code, subject, why), (guests, remedy))| Finding {
                    code: shown(code),
                    subject: shown(subject),
                    why: shown(why),
                    remedy: remedy.map(shown),
                    guests,
                })
                .collect(),
            left,
            classes: taken.clone().take(CLASS_COUNT).map(Class::of).collect(),
            more: taken.count().saturating_sub(CLASS_COUNT),
        }
    }
}

pub(super) async fn page(State(site): State<Site>, visitor: Visitor, Asked(wanted): Asked<Wanted>) -> Reply {
    let build: Option<Digest> = given("the build", wanted.build.as_deref())?;
    let other: Option<Digest> = given("the other build", wanted.other.as_deref())?;
    let certificates: Option<CertificateSet> =
        given_word("the certificates", wanted.certificates.as_deref())?;
    let at: Option<TakesAt> = given_word("when", wanted.at.as_deref())?;
    let select = wanted.select.unwrap_or_default();
    let filter = BuildFilter {
        state: Some(BuildState::Live),
    };
    let page = PageRequest {
        cursor: None,
        limit: Some(BUILD_COUNT),
    };
    let builds = site.fleet().builds(&filter, &page).await?;
    let plan = match select.trim().is_empty() || (build.is_none() && certificates.is_none()) {
        true => None,
        false => {
            let builds = match certificates {
                Some(_) => Vec::new(),
                None => build.iter().chain(&other).cloned().collect(),
            };
            let spec = RolloutSpec {
                certificates,
                at: at.unwrap_or_default(),
                ..RolloutSpec::new(builds, select.clone())
            };
            Some(Shown::of(&site.fleet().plan_rollout(&spec).await?))
        }
    };
    reply(&PlanPage {
        frame: Frame::still("What a rollout would do", Section::Rollouts, visitor.who()),
        choices: builds
            .items
            .iter()
            .map(|found| Choice {
                digest: found.build.to_string(),
                text: format!("{} {}", short(&found.build), called(found)),
                is_first: Some(&found.build) == build.as_ref(),
                is_other: Some(&found.build) == other.as_ref(),
            })
            .collect(),
        select: shown(&select),
        has_certificates: certificates.is_some(),
        at_reset: at == Some(TakesAt::Reset),
        plan,
    })
}
