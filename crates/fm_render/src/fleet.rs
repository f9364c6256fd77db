//! The fleet's documents as text.

use fm_agent::fleet::FleetEvent;
use fm_api::v1::enrolment::{IssuedCertificates, NewToken};
use fm_api::v1::fleet::{BuildState, Certificates, Event, HostState, ObstacleKind, UseReason, Why};
use fm_api::v1::fleet_lists::{FleetBuilds, FleetEvents, FleetGuests, FleetHosts, FleetInit, FleetStatus};
use fm_api::v1::membership::FleetMembership;
use fm_api::v1::trust::{TrustActor, TrustPage};
use fm_server::ServerEvent;

use super::table::{Cell, Column, Table};
use super::{BAD, CARE, GOOD, Output, STRONG, plain};

/// So many digits tell builds apart for people.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn known(text: Option<&str>) -> Cell {
    Cell::from(text.unwrap_or("-"))
}

/// The files of a fleet's CA that were made.
pub fn made(output: &Output, made: &FleetInit) {
    output.line(format_args!(
        "{GOOD}made{GOOD:#} a fleet in {}",
        plain(&made.folder)
    ));
    output.line(format_args!("  CA             sha256 {}", made.ca));
    output.line(format_args!("  server         {}", plain(&made.names.join(", "))));
    output.line(format_args!("  administrator  {}", plain(&made.administrator)));
}

/// A token that was made, and how it is used.
pub fn token(output: &Output, token: &NewToken) {
    output.line(token.text.as_deref().unwrap_or(&token.secret));
    let whom = token.name.as_deref().map(|name| format!(" for {}", plain(name)));
    output.remark(format_args!(
        "role {}{}, until {}; it is shown this once",
        token.role.name(),
        whom.unwrap_or_default(),
        token.expires
    ));
}

/// The fleet that this host has joined, and as what.
pub fn joined(output: &Output, membership: &FleetMembership) {
    output.line(format_args!(
        "{GOOD}joined{GOOD:#} as {}: {}",
        plain(&membership.host),
        plain(&membership.urls.join(", "))
    ));
}

/// The certificates that the CA has signed.
pub fn keys(output: &Output, list: &IssuedCertificates) {
    if list.certificates.is_empty() {
        output.remark("no certificate was issued yet");
        return;
    }
    let mut rows = Table::new([
        Column::new("NAME"),
        Column::new("ROLE"),
        Column::new("SERIAL"),
        Column::new("EXPIRES").drops(1),
        Column::new("REVOKED").drops(2),
    ]);
    for key in &list.certificates {
        rows.row([
            Cell::from(&key.name),
            key.role.name().into(),
            Cell::from(&key.serial),
            Cell::from(day(&key.expires)),
            known(key.revoked.as_deref().map(day)),
        ]);
    }
    output.table(&rows);
}

fn day(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}

/// How the fleet stands.
pub fn status(output: &Output, status: &FleetStatus) {
    let line = |head: &str, text: String| output.line(format_args!("{head:<10} {text}"));
    line(
        "fleet",
        format!("{}, server {}", plain(&status.fleet), plain(&status.version)),
    );
    line(
        "hosts",
        format!("{}, {} silent", status.host_count, status.silent_hosts.len()),
    );
    line("guests", status.guest_count.to_string());
    line(
        "builds",
        format!(
            "{} stored, {} missing, {} condemned",
            status.live_build_count, status.missing_build_count, status.condemned_build_count
        ),
    );
    for host in &status.silent_hosts {
        output.line(format_args!(
            "{CARE}silent{CARE:#}     {}: until it reports, it needs everything",
            plain(host)
        ));
    }
}

/// The hosts, one a line.
pub fn hosts(output: &Output, list: &FleetHosts) {
    if list.hosts.is_empty() {
        output.remark("no such host");
        return;
    }
    let mut rows = Table::new([
        Column::new("HOST"),
        Column::new("STATE"),
        Column::new("GUESTS").right(),
        Column::new("NEEDS").right().drops(3),
        Column::new("HOLDS").right().drops(2),
        Column::new("REPORTED").drops(1),
    ]);
    for host in &list.hosts {
        let (state, style) = match (host.state, host.alive) {
            (HostState::Retired, _) => ("retired", CARE),
            (HostState::Active, true) => ("alive", GOOD),
            (HostState::Active, false) => ("silent", BAD),
            (HostState::Unknown, _) => ("unknown", CARE),
        };
        rows.row([
            Cell::from(host.host.as_str()),
            Cell::styled(state, style),
            host.guest_count.to_string().into(),
            host.use_count.to_string().into(),
            host.build_count.to_string().into(),
            known(host.reported.as_deref()),
        ]);
    }
    output.table(&rows);
}

/// The guests, one a line.
pub fn guests(output: &Output, list: &FleetGuests) {
    if list.guests.is_empty() {
        output.remark("no such guest");
        return;
    }
    let mut rows = Table::new([
        Column::new("HOST"),
        Column::new("NAME"),
        Column::new("BUILD"),
        Column::new("NEXT BOOT"),
        Column::new("LAYOUT").drops(3),
        Column::new("SECURE BOOT").drops(2),
        Column::new("UUID").drops(1),
    ]);
    for view in &list.guests {
        let guest = &view.guest;
        let digest = |digest: &Option<fm_api::v1::fleet::Digest>| {
            digest.as_ref().map(|digest| short(digest.as_str()).to_owned())
        };
        rows.row([
            Cell::from(view.host.as_str()),
            known(guest.name.as_deref()),
            known(digest(&guest.build).as_deref()),
            match digest(&guest.next_build) {
                Some(next) => Cell::styled(next, CARE),
                None => "same".into(),
            },
            known(guest.layout.as_deref()),
            known(guest.secure_boot.map(on)),
            Cell::from(&guest.uuid),
        ]);
    }
    output.table(&rows);
}

fn on(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

/// Which guests trust which certificates of Microsoft.
pub fn certificates(output: &Output, page: &TrustPage) {
    if page.guests.is_empty() {
        output.remark("no such guest");
        return;
    }
    let mut rows = Table::new([
        Column::new("HOST"),
        Column::new("NAME"),
        Column::new("SECURE BOOT"),
        Column::new("PK").drops(1),
        Column::new("KEK"),
        Column::new("DB"),
        Column::new("TO ACT"),
    ]);
    for guest in &page.guests {
        let keys = guest.certificates.as_ref();
        let list = |of: fn(&Certificates) -> &Vec<String>| match keys {
            Some(keys) if of(keys).is_empty() => Cell::from("none"),
            Some(keys) => Cell::from(of(keys).join("+")),
            None => known(None),
        };
        rows.row([
            Cell::from(guest.host.as_str()),
            known(guest.name.as_deref()),
            known(guest.secure_boot.map(on)),
            list(|keys| &keys.pk),
            list(|keys| &keys.kek),
            list(|keys| &keys.db),
            Cell::from(actor(guest.actor)),
        ]);
    }
    output.table(&rows);
    let actors = [
        TrustActor::Nobody,
        TrustActor::Guest,
        TrustActor::Host,
        TrustActor::Unknown,
    ];
    let counts = actors.map(|of| {
        let count = page.guests.iter().filter(|guest| guest.actor == of).count();
        format!("{} {count}", actor(of))
    });
    output.line(format_args!("{STRONG}to act{STRONG:#}: {}", counts.join(", ")));
}

fn actor(actor: TrustActor) -> &'static str {
    match actor {
        TrustActor::Nobody => "nobody",
        TrustActor::Guest => "guest",
        TrustActor::Host => "host",
        TrustActor::Unknown => "unknown",
    }
}

/// The same as a table for a spreadsheet.
pub fn certificates_csv(output: &Output, page: &TrustPage) {
    output.line("host,uuid,name,secure_boot,pk,kek,db,dbx,to_act");
    for guest in &page.guests {
        let keys = guest.certificates.clone().unwrap_or_default();
        let fields = [
            guest.host.to_string(),
            guest.uuid.clone(),
            guest.name.clone().unwrap_or_default(),
            guest.secure_boot.map(on).unwrap_or_default().to_owned(),
            keys.pk.join("+"),
            keys.kek.join("+"),
            keys.db.join("+"),
            keys.dbx.join("+"),
            actor(guest.actor).to_owned(),
        ];
        output.line(fields.map(|field| csv(&field)).join(","));
    }
}

/// RFC 4180; and what a spreadsheet would take for a formula is text.
fn csv(field: &str) -> String {
    let field = plain(field);
    let field = match field.starts_with(['=', '+', '-', '@']) {
        true => format!("'{field}"),
        false => field,
    };
    match field.contains([',', '"']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field,
    }
}

/// The builds, one a line.
pub fn builds(output: &Output, list: &FleetBuilds) {
    if list.builds.is_empty() {
        output.remark("no such build");
        return;
    }
    let mut rows = Table::new([
        Column::new("BUILD"),
        Column::new("STATE"),
        Column::new("HOSTS").right(),
        Column::new("PINS").right().drops(2),
        Column::new("NAME"),
        Column::new("VERSION").drops(1),
    ]);
    for build in &list.builds {
        rows.row([
            Cell::from(short(build.build.as_str())),
            Cell::from(state(build.state)),
            build.user_count.to_string().into(),
            build.pins.len().to_string().into(),
            known(build.name.as_deref()),
            known(build.version.as_deref()),
        ]);
    }
    output.table(&rows);
}

fn state(state: BuildState) -> &'static str {
    match state {
        BuildState::Missing => "missing",
        BuildState::Live => "live",
        BuildState::Condemned => "condemned",
        BuildState::Deleting => "deleting",
        BuildState::Purged => "purged",
        BuildState::Unknown => "unknown",
    }
}

/// Why a build stays.
pub fn why(output: &Output, why: &Why) {
    output.line(format_args!(
        "{STRONG}{}{STRONG:#}: {}, at revision {}",
        short(why.build.as_str()),
        state(why.state),
        why.revision
    ));
    for need in &why.needed_by {
        let guest = need.guest.as_deref().map(|guest| format!(" {}", plain(guest)));
        output.line(format_args!(
            "  needed by {}{}: {} (revision {})",
            need.host,
            guest.unwrap_or_default(),
            reason(need.reason),
            need.revision
        ));
    }
    rest(output, why.need_count, why.needed_by.len());
    for obstacle in &why.blocked_by {
        let what = match (&obstacle.host, &obstacle.pin) {
            (Some(host), _) => format!("{host}: "),
            (None, Some(pin)) => format!("{}: ", plain(pin)),
            (None, None) => String::new(),
        };
        let left = obstacle
            .remaining_ms
            .map(|left| format!(", {} s to go", left / 1000));
        output.line(format_args!(
            "  {CARE}kept by{CARE:#} {what}{}{}",
            obstacle_text(obstacle.kind),
            left.unwrap_or_default()
        ));
    }
    rest(output, why.obstacle_count, why.blocked_by.len());
    if why.needed_by.is_empty() && why.blocked_by.is_empty() {
        output.line("  nobody needs it, and nothing stands in the way of its removal");
    }
}

fn rest(output: &Output, all: u64, shown: usize) {
    let more = all.saturating_sub(shown as u64);
    if more > 0 {
        output.line(format_args!("  and {more} more"));
    }
}

fn reason(reason: UseReason) -> &'static str {
    match reason {
        UseReason::Runs => "runs it",
        UseReason::NextBoot => "boots it next",
        UseReason::Saved => "is saved with it",
        UseReason::Landing => "is arriving with it",
        UseReason::Departing => "has left with it",
        UseReason::Pinned => "keeps it by hand",
        UseReason::Installed => "has it installed",
        UseReason::Unknown => "needs it",
    }
}

fn obstacle_text(kind: ObstacleKind) -> &'static str {
    match kind {
        ObstacleKind::Pinned => "pinned",
        ObstacleKind::NotCondemned => "the planner has not come to it",
        ObstacleKind::NoPlanner => "no planner is elected",
        ObstacleKind::SilentHost => "silent; it needs everything",
        ObstacleKind::AwaitedHost => "has not answered yet",
        ObstacleKind::Grace => "the grace period lasts",
        ObstacleKind::NewEpoch => "has not reported since the records were set back",
        ObstacleKind::Unknown => "something that this version has no word for",
    }
}

/// What happened, one event a line.
pub fn events(output: &Output, list: &FleetEvents) {
    if list.events.is_empty() {
        output.remark("nothing happened");
    }
    list.events.iter().for_each(|one| event(output, one));
}

/// One event, in a line.
pub fn event(output: &Output, event: &Event) {
    // The kind by the name that documents have for it.
    let kind = serde_json::to_value(event.kind).ok();
    let kind = kind
        .as_ref()
        .and_then(serde_json::Value::as_str)
        .unwrap_or("unknown");
    let parts = [
        event.host.as_ref().map(ToString::to_string),
        event.guest.as_deref().map(plain),
        event.build.as_ref().map(|build| short(build.as_str()).to_owned()),
        event.by.as_deref().map(|by| format!("by {}", plain(by))),
        event.why.as_deref().map(plain),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    output.line(format_args!(
        "{} {} {STRONG}{kind}{STRONG:#} {}",
        event.id,
        plain(&event.time),
        parts.join(" ")
    ));
}

/// What a server tells whoever runs it, in one line.
pub fn server_event(output: &Output, event: &ServerEvent) {
    let (number, text) = match event {
        ServerEvent::Listening { address } => (6, format!("serving https://{address}")),
        ServerEvent::Refused {
            kind,
            from,
            request,
            detail,
        } => {
            let request = request.as_deref().map(|request| format!(" {request}"));
            let request = request.unwrap_or_default();
            (5, format!("refused ({kind}) {from}{request}: {detail}"))
        }
        ServerEvent::Failed { why } => (4, why.clone()),
        ServerEvent::Planner { leads: true } => (6, "this server is the planner".into()),
        ServerEvent::Planner { leads: false } => (6, "this server is not the planner any more".into()),
        ServerEvent::Purged { build } => (5, format!("build {build} was removed: nobody needs it")),
    };
    // The journal takes a line's priority from its first characters.
    let priority = match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => format!("<{number}>"),
        None => String::new(),
    };
    output.remark(format_args!("{priority}{}", plain(&text)));
}

/// What the agent tells of its fleet: a priority, and a line.
pub fn agent_event(event: &FleetEvent) -> (u8, String) {
    match event {
        FleetEvent::Reached { host } => (6, format!("the fleet knows this host as {host}")),
        FleetEvent::Lost { why } => (4, format!("the fleet is not reached: {why}")),
        FleetEvent::Uploaded { build } => (5, format!("build {build} was brought to the fleet")),
        FleetEvent::Fetched { build, peer: None } => (5, format!("build {build} came from the fleet")),
        FleetEvent::Fetched {
            build,
            peer: Some(peer),
        } => (
            5,
            format!("build {build} came from {peer}, the guest's host before"),
        ),
        FleetEvent::NotFetched { build, why } => {
            (4, format!("build {build} could not be had from the fleet: {why}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::csv;

    #[test]
    fn no_field_becomes_two_or_a_formula() {
        assert_eq!(csv("a,b\"c"), "\"a,b\"\"c\"");
        assert_eq!(csv("=1+1"), "'=1+1");
        assert_eq!(csv("a\nb"), "a\\nb");
    }
}
