//! The commands that remedies name are commands of ours.

use clap::error::ErrorKind;
use fm_remedy::{Action, ConvertTarget, DomainSubject};
use fm_render::remedy::command;

use super::*;

fn subject() -> Option<String> {
    Some("/tmp/a file".into())
}

/// Each action of ours with its subject and without.
fn actions() -> Vec<Action> {
    let mut actions = vec![
        Action::ListGuests,
        Action::FindText,
        Action::Migrate,
        Action::ImportVars,
        Action::SecureBootKeys,
        Action::ExportBuild,
        Action::ShowBuild,
        Action::ListBuilds,
        Action::ListLandings,
        Action::VerifyStore,
        Action::SavedFormats,
        Action::InstallLibvirtHook,
        Action::AdoptDomain(DomainSubject::All),
        Action::UnadoptDomain(DomainSubject::Named("a domain".into())),
        Action::LibvirtStatus,
        Action::ListCatalogue,
        Action::RecordAtlas,
        Action::Explain { code: None },
        Action::Explain { code: Some("FM-SMM") },
    ];
    for path in [None, subject()] {
        let target = [
            None,
            Some(ConvertTarget::Layout("4M".into())),
            Some(ConvertTarget::For(path.clone())),
        ];
        actions.extend(target.map(|target| Action::ConvertVars {
            vars: path.clone(),
            target,
        }));
        for given in [false, true] {
            actions.push(Action::Prepare {
                offer: path.clone(),
                with_vars: given,
            });
            actions.push(Action::ImportBuild {
                code: path.clone(),
                with_template: given,
            });
        }
        for part in [None, Some("code"), Some("vars"), Some("block")] {
            actions.push(Action::ExtractSaved {
                file: path.clone(),
                part,
            });
        }
        actions.extend([
            Action::Inspect { path: path.clone() },
            Action::InspectTree { path: path.clone() },
            Action::MakeOffer { guest: path.clone() },
            Action::Capture { guest: path.clone() },
            Action::Harvest { guest: path.clone() },
            Action::RepairVars { vars: path.clone() },
            Action::RestoreVars { vars: path.clone() },
            Action::ListBackups { vars: path.clone() },
            Action::ListVars { vars: path.clone() },
            Action::DeleteVars { vars: path.clone() },
            Action::DiffVars {
                from: path.clone(),
                to: path.clone(),
            },
            Action::EnableSecureBoot { vars: path.clone() },
            Action::AdoptSaved { file: path.clone() },
            Action::PlanRestore { file: path.clone() },
            Action::OfferSaved { file: path },
        ]);
    }
    actions
}

#[test]
fn every_command_that_is_told_is_one_that_we_take() {
    for action in actions() {
        let told = command(&action);
        // A layout is a word of ours, and what is behind `>` is the shell's.
        let told = told.replace("LAYOUT", "4M").replace("'/tmp/a file'", "/tmp/file");
        let words = told
            .split_once(" >")
            .map_or(told.as_str(), |(command, _)| command);
        let words = words.replace("'a domain'", "domain");
        if let Err(error) = Cli::try_parse_from(words.split(' ')) {
            assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{words}: {error}");
        }
    }
}
