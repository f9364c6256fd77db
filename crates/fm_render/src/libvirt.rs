//! `libvirt install`, `status`, `adopt`: as text.

use fm_adopt::libvirt::{NextStep, Outcome, PlacedCode, PlacedTemplate, Problem, Reason, Step};
use fm_api::v1::libvirt::{AdoptedDomain, HookDecision, LibvirtAdoption, LibvirtSetup, LibvirtStatus};
use fm_remedy::{Failure as _, Remedy, one_line};

use super::{BAD, GOOD, Output, STRONG, remedy};

/// The first digits are enough for people.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// What was written for libvirt, and what is left to do.
pub fn installed(output: &Output, done: &LibvirtSetup) {
    let wrote = if done.dry_run { "would write" } else { "wrote" };
    for file in &done.files {
        output.line(format_args!("{wrote} {}", file.display()));
    }
    next(output, done);
}

/// What was cleaned of it, and what is left to do.
pub fn uninstalled(output: &Output, done: &LibvirtSetup) {
    if done.files.is_empty() {
        output.line("nothing of ours was there");
    }
    let cleaned = if done.dry_run { "would clean" } else { "cleaned" };
    for file in &done.files {
        output.line(format_args!("{cleaned} {}", file.display()));
    }
    next(output, done);
}

fn next(output: &Output, done: &LibvirtSetup) {
    for (number, step) in done.next.iter().enumerate() {
        output.line(format_args!("{STRONG}next {}{STRONG:#}: {step}", number + 1));
    }
}

/// What is left to do after an install or uninstall.
pub fn next_step(step: &NextStep) -> String {
    let paths = |paths: &[std::path::PathBuf]| {
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        paths.join(" ")
    };
    match step {
        NextStep::AddHookLine { file, line } => format!(
            "add this line to {}, which is not ours, where nothing has read standard input yet and before anything is \
             printed: {line}",
            file.display()
        ),
        NextStep::RemoveHookLine { file, line } => {
            format!("take this line out of {}: {line}", file.display())
        }
        NextStep::StartAgent => "systemctl daemon-reload && systemctl enable --now flashmoor-agent".into(),
        NextStep::StopAgent => "systemctl disable --now flashmoor-agent; systemctl daemon-reload".into(),
        NextStep::RestartDaemon => {
            "restart libvirtd (or virtqemud) once: it looks for hooks when it starts; guests go on".into()
        }
        NextStep::ReloadProfiles(profiles) => {
            format!("if AppArmor is on: apparmor_parser -r {}", paths(profiles))
        }
        NextStep::LoadContexts { file, store } => {
            format!("if SELinux is on: semodule -i {} && restorecon -R {store}", file.display())
        }
        NextStep::UnloadContexts => "if SELinux is on: semodule -r flashmoor".into(),
        NextStep::AdoptDomains => "flashmoor libvirt adopt --all".into(),
        NextStep::UnadoptDomains => {
            "adopted domains go on using the stored builds; `flashmoor libvirt unadopt --all` gives their definitions \
             back as they were"
                .into()
        }
    }
}

/// A problem with what to do about it, in one line.
pub fn problem(problem: &Problem) -> String {
    with_remedy(problem.what.clone(), problem.remedy.as_ref())
}

/// Why the hook cannot help, in one line: libvirt shows it to whoever moves or starts the guest.
pub fn reason(reason: &Reason) -> String {
    with_remedy(one_line(reason), reason.remedy().as_ref())
}

fn with_remedy(what: String, todo: Option<&Remedy>) -> String {
    match todo {
        Some(todo) => format!("{what}; {}", remedy::text(todo)),
        None => what,
    }
}

/// One thing that the hook would do.
pub fn step(step: &Step) -> String {
    match step {
        Step::MakeLanding { build, size_bytes } => {
            format!("make a landing of {size_bytes} bytes for build {build}")
        }
        Step::MakeBlankTemplate { vars_bytes } => {
            format!("make a template of {vars_bytes} bytes that holds an empty variable store")
        }
        Step::MarkArrival => "note that the guest is on its way".into(),
        Step::PackTemplate { .. } => "pack the template in qcow2, as its variables are".into(),
        Step::NoteBlankVars { vars } => {
            format!("note that {} is made from the empty template", vars.display())
        }
        Step::ClearMark => "forget that the guest is on its way".into(),
        Step::ClearBlankNote => "forget that its variables were made from the empty template".into(),
        Step::SettleLanding { id, build } => format!("give landing {id} the stored build {build}"),
        Step::RemoveLanding { id } => format!("remove landing {id}: nothing arrived in it"),
        Step::RemoveBlankVars { vars, .. } => {
            format!(
                "remove {}: it is empty, and made for an arrival that never came",
                vars.display()
            )
        }
        Step::PutBackCode { from, path, .. } => {
            format!("put {} back from {}", path.display(), from.display())
        }
        Step::PutBackTemplate {
            from: Some(from),
            path,
            ..
        } => format!("put {} back from {}", path.display(), from.display()),
        Step::PutBackTemplate { path, .. } => format!("make {} again: it is empty", path.display()),
        Step::NotifyAgent => "wake the agent".into(),
    }
}

/// What the hook would do and answer.
pub fn decision(output: &Output, document: &HookDecision, outcome: &Outcome) {
    for step in &document.steps {
        output.line(format_args!("would {step}"));
    }
    let why = document.reason.as_deref().unwrap_or_default();
    match outcome {
        Outcome::Pass => output.line("libvirt goes on"),
        Outcome::Remark(_) => output.line(format_args!("libvirt goes on; its log says: {why}")),
        Outcome::Refuse(_) => output.line(format_args!("{BAD}refused{BAD:#}: {why}")),
        Outcome::Replace { loader, template } => {
            let loader = match loader {
                PlacedCode::At(path) => path.display().to_string(),
                PlacedCode::Landing => "the landing".into(),
            };
            let template = match template {
                Some(PlacedTemplate::At(path)) => format!(", the template {}", path.display()),
                Some(PlacedTemplate::Made) => ", the template that was made".into(),
                None => String::new(),
            };
            output.line(format_args!("libvirt goes on with the loader {loader}{template}"));
        }
    }
}

/// How each domain gets its firmware.
pub fn status(output: &Output, status: &LibvirtStatus) {
    let found = &status.host;
    let yes = |is: bool| if is { "yes" } else { "no" };
    output.line(format_args!(
        "libvirt:  {}",
        found.libvirt.as_deref().unwrap_or("not installed")
    ));
    output.line(format_args!(
        "hook:     {} ({})",
        if found.hook.installed {
            "installed"
        } else {
            "not installed"
        },
        found.hook.path.display()
    ));
    match found.agent_pid {
        Some(pid) => output.line(format_args!("agent:    runs (pid {pid})")),
        None => output.line(format_args!(
            "agent:    does not run (unit installed: {})",
            yes(found.unit_installed)
        )),
    }
    let lines = &found.confinement;
    output.line(format_args!(
        "confined: AppArmor {}, SELinux {}",
        if lines.apparmor { "on" } else { "off" },
        if lines.selinux { "on" } else { "off" }
    ));
    for domain in found.domains.iter().flatten() {
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

/// Which domains get their firmware from the store now.
pub fn adopted(output: &Output, done: &LibvirtAdoption) {
    for domain in &done.domains {
        let build = short(&domain.build);
        match &domain.loader {
            Some(loader) => output.line(format_args!(
                "{}: {} build {build}; a cold boot {} {}",
                domain.name,
                if done.dry_run {
                    "would be held to"
                } else {
                    "held to"
                },
                if done.dry_run { "would use" } else { "uses" },
                loader.display()
            )),
            None if done.dry_run => output.line(format_args!(
                "{}: runs build {build}, and would say so",
                domain.name
            )),
            None => output.line(format_args!("{}: runs build {build}, and says so", domain.name)),
        }
    }
    rest(output, done);
}

/// Which domains get their firmware as before again.
pub fn unadopted(output: &Output, done: &LibvirtAdoption) {
    for AdoptedDomain { name, loader, .. } in &done.domains {
        match loader {
            Some(loader) => {
                let uses = if done.dry_run { "would use" } else { "uses" };
                output.line(format_args!("{name}: a cold boot {uses} {}", loader.display()));
            }
            None => output.line(format_args!("{name}: libvirt decides what it boots from")),
        }
    }
    rest(output, done);
}

fn rest(output: &Output, done: &LibvirtAdoption) {
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
