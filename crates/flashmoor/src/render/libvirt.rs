//! `libvirt install`, `status`, `adopt`: as text.

use fm_agent::libvirt::{Adopt, AdoptedDomain, Installed, Status};

use super::{BAD, GOOD, Output, STRONG};

/// The first digits are enough for people.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

pub(crate) fn installed(output: &Output, done: &Installed) {
    for file in &done.files {
        output.line(format_args!("wrote {}", file.display()));
    }
    next(output, done);
}

pub(crate) fn uninstalled(output: &Output, done: &Installed) {
    if done.files.is_empty() {
        output.line("nothing of ours was there");
    }
    for file in &done.files {
        output.line(format_args!("cleaned {}", file.display()));
    }
    next(output, done);
}

fn next(output: &Output, done: &Installed) {
    for (number, step) in done.next.iter().enumerate() {
        output.line(format_args!("{STRONG}next {}{STRONG:#}: {step}", number + 1));
    }
}

pub(crate) fn status(output: &Output, status: &Status) {
    let yes = |is: bool| if is { "yes" } else { "no" };
    output.line(format_args!(
        "libvirt:  {}",
        status.libvirt.as_deref().unwrap_or("not installed")
    ));
    output.line(format_args!(
        "hook:     {} ({})",
        if status.hook.installed {
            "installed"
        } else {
            "not installed"
        },
        status.hook.path.display()
    ));
    match status.agent_pid {
        Some(pid) => output.line(format_args!("agent:    runs (pid {pid})")),
        None => output.line(format_args!(
            "agent:    does not run (unit installed: {})",
            yes(status.unit_installed)
        )),
    }
    let lines = &status.confinement;
    output.line(format_args!(
        "confined: AppArmor {}, SELinux {}",
        if lines.apparmor { "on" } else { "off" },
        if lines.selinux { "on" } else { "off" }
    ));
    for domain in status.domains.iter().flatten() {
        let build = match &domain.build {
            Some(build) if domain.stored => format!("adopted, build {}", short(build)),
            Some(build) => format!("adopted, build {} is not stored here", short(build)),
            None => "not adopted".into(),
        };
        let state = if domain.running { "running" } else { "off" };
        output.line(format_args!("domain:   {} ({state}): {build}", domain.name));
    }
    if status.problems.is_empty() {
        output.line(format_args!("{GOOD}guests' firmware follows them{GOOD:#}"));
    }
    for problem in &status.problems {
        output.line(format_args!("{BAD}to do{BAD:#}: {problem}"));
    }
}

pub(crate) fn adopted(output: &Output, done: &Adopt) {
    for domain in &done.domains {
        let build = short(&domain.build);
        match &domain.loader {
            Some(loader) => output.line(format_args!(
                "{}: held to build {build}; a cold boot uses {}",
                domain.name,
                loader.display()
            )),
            None => output.line(format_args!("{}: runs build {build}, and says so", domain.name)),
        }
    }
    rest(output, done);
}

pub(crate) fn unadopted(output: &Output, done: &Adopt) {
    for AdoptedDomain { name, loader, .. } in &done.domains {
        match loader {
            Some(loader) => output.line(format_args!("{name}: a cold boot uses {}", loader.display())),
            None => output.line(format_args!("{name}: libvirt decides what it boots from")),
        }
    }
    rest(output, done);
}

/// Puts what is to be done about each failure into the words of the command line.
pub(crate) fn advise(done: &mut Adopt) {
    for failure in &mut done.failures {
        failure.remedy = failure.advice.as_ref().map(super::remedy::text);
    }
}

fn rest(output: &Output, done: &Adopt) {
    for remark in &done.remarks {
        output.remark(remark);
    }
    for failure in &done.failures {
        output.line(format_args!("{BAD}{}{BAD:#}: {}", failure.name, failure.why));
        if let Some(remedy) = &failure.remedy {
            output.line(format_args!("  {STRONG}what to do{STRONG:#}: {remedy}"));
        }
    }
}
