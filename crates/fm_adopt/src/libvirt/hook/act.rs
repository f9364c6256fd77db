//! Carries a decision of the hook's out, step by step, and answers.

use std::fs;
use std::path::{Path, PathBuf};

use fm_libvirt::Domain;
use fm_store::{Import, NewLanding, Store};

use super::decide::{Decision, OnFailure, Outcome, PlacedCode, PlacedTemplate, Step};
use super::facts::matches_digest;
use super::{Answer, Call, Policy, Reason, marks};
use crate::Result;
use crate::libvirt::{Error, blank, packed_template, wakeup};

/// What was made on the way.
#[derive(Debug, Default)]
struct Made {
    landing: Option<PathBuf>,
    template: Option<PathBuf>,
}

/// Does what was decided.
pub(super) fn act(store: &Path, call: &Call<'_>, decision: Decision) -> Answer {
    let domain = Domain::parse(call.xml).ok();
    let mut made = Made::default();
    for step in &decision.steps {
        let done = take(store, call, domain.as_ref(), step, &mut made);
        if let Err(error) = done
            && let Some(answer) = failed(&decision.on_failure, error, call.policy)
        {
            return answer;
        }
    }
    match decision.outcome {
        Outcome::Pass => Answer::Pass,
        Outcome::Remark(reason) => Answer::Remark(reason),
        Outcome::Refuse(reason) => Answer::Refuse(reason),
        Outcome::Replace { loader, template } => replace(call.xml, loader, template, made),
    }
}

/// What libvirt is told when a step failed; nothing if that changes nothing.
fn failed(on_failure: &OnFailure, source: crate::Error, policy: Policy) -> Option<Answer> {
    let source = Box::new(source);
    let (is_refused, reason) = match on_failure {
        OnFailure::Nothing => return None,
        OnFailure::Remark => (false, Reason::StoreUnusable { source }),
        OnFailure::WithoutStore { fits: true, .. } => (false, Reason::StoreUnusable { source }),
        OnFailure::WithoutStore { domain, fits: false } => (
            true,
            Reason::NoFirmware {
                domain: domain.clone(),
                source: Box::new(Reason::StoreUnusable { source }),
            },
        ),
        OnFailure::RefuseCode { domain, path } => (
            true,
            Reason::CodeNotPutBack {
                domain: domain.clone(),
                path: path.clone(),
                source,
            },
        ),
        OnFailure::RefuseTemplate {
            domain,
            vars,
            is_leftover,
            template,
        } => (
            true,
            Reason::TemplateGone {
                domain: domain.clone(),
                vars: vars.clone(),
                is_leftover: *is_leftover,
                template: template.clone(),
            },
        ),
    };
    Some(match is_refused && policy == Policy::Refuse {
        true => Answer::Refuse(reason),
        false => Answer::Remark(reason),
    })
}

fn replace(xml: &str, loader: PlacedCode, template: Option<PlacedTemplate>, made: Made) -> Answer {
    let template = match template {
        Some(PlacedTemplate::At(path)) => Some(path),
        Some(PlacedTemplate::Made) => made.template,
        None => None,
    };
    let loader = match loader {
        PlacedCode::At(path) => Some(path),
        PlacedCode::Landing => made.landing,
    };
    let Some(loader) = loader else {
        return Answer::Pass;
    };
    match fm_libvirt::with_firmware(xml, &loader, template.as_deref()) {
        Ok(xml) => Answer::Replace(xml),
        Err(source) => Answer::Remark(Reason::NotEdited { source }),
    }
}

fn take(path: &Path, call: &Call<'_>, domain: Option<&Domain>, step: &Step, made: &mut Made) -> Result<()> {
    let uuid = domain.and_then(|domain| domain.uuid.as_deref());
    let open = || -> Result<Store> { Ok(Store::open(path)?.with_lock_timeout(call.lock_timeout())) };
    match step {
        Step::MakeLanding { build, size_bytes } => {
            let landing = open()?.create_landing(&NewLanding {
                guest_name: domain.map(|domain| domain.name.as_str()),
                guest_uuid: uuid,
                code: *build,
                size_bytes: *size_bytes,
            })?;
            made.landing = Some(landing.path);
        }
        Step::MakeBlankTemplate { vars_bytes } => {
            made.template = Some(blank::template(&open()?, *vars_bytes)?);
        }
        Step::PackTemplate { from } => {
            let raw = from.clone().or_else(|| made.template.take());
            made.template = raw.map(|raw| packed_template::of(&open()?, &raw)).transpose()?;
        }
        Step::MarkArrival => {
            if let Some(uuid) = uuid {
                marks::write(&marks::mark(path, uuid), b"arriving\n")?;
            }
        }
        Step::NoteBlankVars { vars } => {
            if let Some(uuid) = uuid {
                marks::note_blank_vars(path, uuid, vars)?;
            }
        }
        // What is not there need not go.
        Step::ClearMark => drop(uuid.map(|uuid| fs::remove_file(marks::mark(path, uuid)))),
        Step::ClearBlankNote => drop(uuid.map(|uuid| fs::remove_file(marks::note(path, uuid)))),
        Step::SettleLanding { id, build } => {
            open()?.settle_landing(id, build)?;
        }
        Step::RemoveLanding { id } => {
            open()?.remove_landing(id)?;
        }
        Step::RemoveBlankVars { vars, vars_bytes } => blank::remove(vars, *vars_bytes)?,
        Step::PutBackCode {
            from,
            path: to,
            build,
        } => {
            let code = read(from)?;
            open()?.import(&Import {
                code: &code,
                ..Import::default()
            })?;
            check(path, to, build)?;
        }
        Step::PutBackTemplate {
            code,
            from,
            path: to,
            sha256,
            vars_bytes,
        } => {
            let bytes = match from {
                Some(from) => read(from)?,
                None => blank::bytes(*vars_bytes).unwrap_or_default(),
            };
            open()?.import(&Import {
                code: &read(code)?,
                vars_template: Some(&bytes),
                ..Import::default()
            })?;
            check(path, to, sha256)?;
        }
        Step::NotifyAgent => wakeup::notify_agent(path),
    }
    Ok(())
}

fn check(store: &Path, path: &Path, digest: &fm_formats::Sha256) -> Result<()> {
    match matches_digest(store, path, digest) {
        true => Ok(()),
        false => Err(Error::NotPutBack { path: path.into() }.into()),
    }
}

/// A file that is no larger than firmware is.
fn read(path: &Path) -> Result<Vec<u8>> {
    fm_files::read_bounded(path, fm_store::MAX_FLASH_BYTES)?
        .ok_or_else(|| crate::Error::file("read", path, std::io::ErrorKind::NotFound.into()))
}
