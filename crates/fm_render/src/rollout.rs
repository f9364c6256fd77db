//! Rollouts as text.

use fm_api::v1::fleet::ProgressState;
use fm_api::v1::rollout::{
    GuestPins, LeaveReason, MemberView, PlanAction, PlanClass, RolloutGuests, RolloutPlan, RolloutState,
    RolloutView, Rollouts,
};

use super::table::{Cell, Column, Table};
use super::{BAD, CARE, GOOD, Output, STRONG, plain};

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn known(text: Option<&str>) -> Cell {
    Cell::from(text.unwrap_or("-"))
}

/// What a rollout would do.
pub fn plan(output: &Output, plan: &RolloutPlan) {
    match plan.spec.certificates {
        Some(certificates) => output.line(format_args!(
            "{STRONG}{}{STRONG:#} guests are selected: the keys of {} gain the certificates of {} on {} hosts, while they \
             are off; {} are left out",
            plan.selected_count,
            plan.enrolled_count,
            certificates.name(),
            plan.host_count,
            plan.left_out_count
        )),
        None => output.line(format_args!(
            "{STRONG}{}{STRONG:#} guests are selected: {} get the build on {} hosts, {} of them with their variables \
             converted; {} are left out",
            plan.selected_count,
            plan.moved_count + plan.converted_count,
            plan.host_count,
            plan.converted_count,
            plan.left_out_count
        )),
    }
    if plan.asked_for_keys_count > 0 {
        output.line(format_args!(
            "{CARE}{}{CARE:#} of them are asked for a recovery key where disk encryption is bound to their TPM",
            plan.asked_for_keys_count
        ));
    }
    if plan.own_window_count > 0 {
        output.line(format_args!(
            "{} of them are restarted in hours that their owners have chosen",
            plan.own_window_count
        ));
    }
    if plan.classes.is_empty() {
        return;
    }
    let mut rows = Table::new([
        Column::new("GUESTS").right(),
        Column::new("WHAT"),
        Column::new("FROM").drops(1),
        Column::new("BUILD"),
        Column::new("LAYOUT"),
        Column::new("MACHINE").drops(2),
        Column::new("QEMU").drops(3),
        Column::new("FOR EXAMPLE").drops(4),
    ]);
    for class in &plan.classes {
        rows.row([
            Cell::from(class.guest_count.to_string()),
            Cell::from(what(class)),
            known(class.from.as_ref().map(|build| short(build.as_str()))),
            known(class.build.as_ref().map(|build| short(build.as_str()))),
            known(class.layout.as_deref()),
            known(class.machine.as_deref()),
            known(class.qemu.as_deref()),
            known(
                class
                    .guests
                    .first()
                    .map(|guest| guest.name.as_deref().unwrap_or(&guest.uuid)),
            ),
        ]);
    }
    output.table(&rows);
    for (said, guest_count) in remarks(&plan.classes) {
        let (code, text) = said;
        output.line(format_args!(
            "{CARE}{}{CARE:#} {}: {}",
            plain(&code),
            counted(guest_count),
            plain(&text)
        ));
    }
    let waves: Vec<String> = plan
        .waves
        .iter()
        .map(|wave| match wave.percent {
            None => format!("{} first", wave.guest_count),
            Some(percent) => format!("{} until {percent} %", wave.guest_count),
        })
        .collect();
    output.line(format_args!("{STRONG}waves{STRONG:#}: {}", waves.join(", ")));
}

/// What is to be said of classes, by its code, and of how many guests: classes of which the same is to be said are told
/// together.
fn remarks(classes: &[PlanClass]) -> Vec<((String, String), u64)> {
    let mut remarks: Vec<((String, String), u64)> = Vec::new();
    for class in classes {
        let refusals = class
            .refusals
            .iter()
            .map(|refusal| (refusal.reason.to_string(), refusal.why.clone()));
        let findings = class.findings.iter().map(|finding| {
            let text = format!("{}: {}", finding.subject, finding.why);
            (finding.code.clone(), text)
        });
        for said in refusals.chain(findings) {
            match remarks.iter_mut().find(|(other, _)| *other == said) {
                Some((_, guest_count)) => *guest_count += class.guest_count,
                None => remarks.push((said, class.guest_count)),
            }
        }
    }
    remarks
}

fn counted(count: u64) -> String {
    match count {
        1 => "1 guest".into(),
        _ => format!("{count} guests"),
    }
}

fn what(class: &PlanClass) -> &'static str {
    match (class.action, class.reason) {
        (PlanAction::Move, _) if class.asks_for_keys => "moved, asks for recovery keys",
        (PlanAction::Move, _) => "moved",
        (PlanAction::Convert, _) if class.asks_for_keys => "converted, asks for recovery keys",
        (PlanAction::Convert, _) => "converted",
        (PlanAction::Enroll, _) if class.asks_for_keys => "gains certificates, asks for recovery keys",
        (PlanAction::Enroll, _) => "gains certificates",
        (PlanAction::LeaveOut, reason) => match reason {
            Some(LeaveReason::SameBuild) => "has the build",
            Some(LeaveReason::Pinned) => "left out: pinned",
            Some(LeaveReason::PinnedByOwner) => "left out: pinned by its owner",
            Some(LeaveReason::NotAtReset) => "left out: not at a reset",
            Some(LeaveReason::SameCertificates) => "has the certificates",
            Some(LeaveReason::SecureBootOff) => "left out: Secure Boot is off",
            Some(LeaveReason::OwnKeys) => "left out: its owner's keys",
            Some(LeaveReason::UnknownKeys) => "left out: its keys are not known",
            Some(LeaveReason::OtherRollout) => "left out: in another rollout",
            Some(LeaveReason::NotAdopted) => "left out: not adopted",
            Some(LeaveReason::UnknownBuild) => "left out: its build is not known",
            Some(LeaveReason::Moving) => "left out: between two hosts",
            Some(LeaveReason::Incompatible) => "left out: incompatible",
            Some(LeaveReason::Unknown) | None => "left out: nobody knows",
        },
    }
}

/// The rollouts, one a line.
pub fn list(output: &Output, list: &Rollouts) {
    if list.rollouts.is_empty() {
        output.remark("no rollout was begun yet");
        return;
    }
    let mut rows = Table::new([
        Column::new("ID"),
        Column::new("STATE"),
        Column::new("BUILD"),
        Column::new("WAVE").right(),
        Column::new("HEALTHY").right(),
        Column::new("FAILED").right(),
        Column::new("GUESTS").right().drops(1),
        Column::new("BY").drops(2),
        Column::new("SELECT").drops(3),
    ]);
    for rollout in &list.rollouts {
        let count = |state| -> u64 {
            let waves = rollout.waves.iter();
            waves.filter_map(|wave| wave.states.get(&state)).sum()
        };
        let all: u64 = rollout.waves.iter().map(|wave| wave.guest_count).sum();
        rows.row([
            Cell::from(&rollout.id),
            Cell::from(state(rollout.state)),
            known(what_of(rollout).as_deref()),
            rollout.wave.to_string().into(),
            count(ProgressState::Healthy).to_string().into(),
            rollout.failed_count.to_string().into(),
            all.to_string().into(),
            Cell::from(&rollout.by),
            Cell::from(&rollout.spec.select),
        ]);
    }
    output.table(&rows);
}

/// The build that a rollout brings, or the certificates.
fn what_of(rollout: &RolloutView) -> Option<String> {
    match rollout.spec.certificates {
        Some(certificates) => Some(format!("certificates {}", certificates.name())),
        None => rollout
            .spec
            .builds
            .first()
            .map(|build| short(build.as_str()).to_owned()),
    }
}

fn state(state: RolloutState) -> &'static str {
    match state {
        RolloutState::Planned => "planned",
        RolloutState::Running => "running",
        RolloutState::Paused => "paused",
        RolloutState::Aborted => "aborted",
        RolloutState::RollingBack => "rolling back",
        RolloutState::RolledBack => "rolled back",
        RolloutState::Done => "done",
        RolloutState::Unknown => "unknown",
    }
}

fn progress(state: ProgressState) -> &'static str {
    match state {
        ProgressState::Planned => "planned",
        ProgressState::Waiting => "waiting",
        ProgressState::Armed => "armed",
        ProgressState::Booting => "booting",
        ProgressState::Healthy => "healthy",
        ProgressState::Failed => "failed",
        ProgressState::Refused => "refused",
        ProgressState::Reverting => "going back",
        ProgressState::Reverted => "went back",
        ProgressState::Undecided => "undecided",
        ProgressState::Unknown => "unknown",
    }
}

/// How one rollout stands.
pub fn one(output: &Output, rollout: &RolloutView) {
    let style = match rollout.state {
        RolloutState::Running | RolloutState::Done | RolloutState::Planned => GOOD,
        RolloutState::Paused | RolloutState::Aborted | RolloutState::RollingBack => CARE,
        RolloutState::RolledBack | RolloutState::Unknown => BAD,
    };
    let why = rollout.why.as_deref().map(|why| format!(": {}", plain(why)));
    output.line(format_args!(
        "rollout {} is {style}{}{style:#}{}",
        plain(&rollout.id),
        state(rollout.state),
        why.unwrap_or_default()
    ));
    let mut rows = Table::new([
        Column::new("WAVE"),
        Column::new("GUESTS").right(),
        Column::new("HOW THEY STAND"),
    ]);
    for (number, wave) in rollout.waves.iter().enumerate() {
        let states: Vec<String> = wave
            .states
            .iter()
            .map(|(state, count)| format!("{count} {}", progress(*state)))
            .collect();
        let name = match wave.percent {
            None => "first".to_owned(),
            Some(percent) => format!("until {percent} %"),
        };
        let here = if number == rollout.wave as usize { " <" } else { "" };
        rows.row([
            Cell::from(format!("{name}{here}")),
            wave.guest_count.to_string().into(),
            states.join(", ").into(),
        ]);
    }
    output.table(&rows);
    for member in &rollout.troubles {
        trouble(output, member);
    }
}

fn trouble(output: &Output, member: &MemberView) {
    output.line(format_args!(
        "{BAD}{}{BAD:#} {} on {}: {}",
        progress(member.state),
        plain(member.name.as_deref().unwrap_or(&member.guest)),
        member.host,
        plain(member.evidence.as_deref().unwrap_or("its host did not say why"))
    ));
    for variable in &member.written {
        output.line(format_args!("  wrote {}", plain(variable)));
    }
}

/// How its guests stand, one a line.
pub fn guests(output: &Output, list: &RolloutGuests) {
    if list.guests.is_empty() {
        output.remark("no such guest");
        return;
    }
    let mut rows = Table::new([
        Column::new("HOST"),
        Column::new("NAME"),
        Column::new("WAVE").right(),
        Column::new("STATE"),
        Column::new("UUID").drops(1),
        Column::new("EVIDENCE").drops(2),
    ]);
    for guest in &list.guests {
        rows.row([
            Cell::from(guest.host.as_str()),
            known(guest.name.as_deref()),
            guest.wave.to_string().into(),
            Cell::from(progress(guest.state)),
            Cell::from(&guest.guest),
            known(guest.evidence.as_deref()),
        ]);
    }
    output.table(&rows);
}

/// The guests that rollouts leave out.
pub fn pins(output: &Output, pins: &GuestPins) {
    if pins.pins.is_empty() {
        output.remark("no guest is left out");
        return;
    }
    let mut rows = Table::new([
        Column::new("GUEST"),
        Column::new("BY").drops(1),
        Column::new("WHY"),
    ]);
    for pin in &pins.pins {
        rows.row([
            Cell::from(&pin.guest),
            Cell::from(&pin.by),
            Cell::from(&pin.reason),
        ]);
    }
    output.table(&rows);
}

#[cfg(test)]
mod tests {
    use fm_api::v1::rollout::PlanClass;
    use serde_json::json;

    use super::{counted, remarks};

    fn class(guest_count: u64, whys: &[&str]) -> PlanClass {
        let findings: Vec<_> = whys
            .iter()
            .map(|why| json!({ "code": "FM-SECURE-BOOT", "outcome": "caution", "subject": "Secure Boot", "why": why }))
            .collect();
        serde_json::from_value(json!({
            "action": "move", "asks_for_keys": false, "outcome": "caution", "findings": findings,
            "guest_count": guest_count, "guests": [],
        }))
        .unwrap()
    }

    #[test]
    fn what_is_said_of_several_classes_is_told_once_of_all_their_guests() {
        let classes = [
            class(2, &["off"]),
            class(1, &["no keys"]),
            class(3, &["off", "no keys"]),
        ];
        let told: Vec<_> = remarks(&classes)
            .into_iter()
            .map(|((_, text), guest_count)| (text, guest_count))
            .collect();
        let expected = [("Secure Boot: off", 5), ("Secure Boot: no keys", 4)];
        assert_eq!(told, expected.map(|(text, count)| (text.to_owned(), count)));
        assert_eq!([counted(1), counted(2)], ["1 guest", "2 guests"]);
    }
}
