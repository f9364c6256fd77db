//! Remedies as the command line tells them: the advice, and the commands and options that carry it out.

use fm_remedy::{Action, ConvertTarget, DomainSubject, Input, PieceKey, Remedy};

/// The advice with its commands behind it: `advice: command, command`.
pub(crate) fn text(remedy: &Remedy) -> String {
    let commands: Vec<String> = remedy.actions.iter().map(command).collect();
    if commands.is_empty() {
        return remedy.advice.to_string();
    }
    format!("{}: {}", remedy.advice, commands.join(", "))
}

/// A subject as a word of a shell, or the placeholder that stands for it.
fn word(subject: Option<&String>, placeholder: &str) -> String {
    subject.map_or_else(|| placeholder.to_owned(), |subject| quote(subject))
}

/// `text` as one word for a shell: bare where nothing in it means anything to one.
fn quote(text: &str) -> String {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@%,=".contains(letter);
    if !text.is_empty() && text.chars().all(is_bare) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What to type for `action`.
fn command(action: &Action) -> String {
    let file = |subject: &Option<String>| word(subject.as_ref(), "FILE");
    let guest = |subject: &Option<String>| word(subject.as_ref(), "GUEST");
    let vars = |subject: &Option<String>| word(subject.as_ref(), "VARS");
    match action {
        Action::Give(input) => option(input),
        Action::ListGuests => "flashmoor ps".into(),
        Action::Inspect { path } => format!("flashmoor inspect {}", file(path)),
        Action::InspectTree { path } => format!("flashmoor inspect --tree {}", file(path)),
        Action::FindText => "flashmoor find FILE TEXT".into(),
        Action::MakeOffer { guest: of } => format!("flashmoor offer {} >offer.json", guest(of)),
        Action::Prepare { offer, with_vars } => format!(
            "flashmoor prepare {}{}",
            word(offer.as_ref(), "offer.json"),
            if *with_vars { " --vars FILE" } else { "" }
        ),
        Action::Capture { guest: of } => format!("flashmoor capture {}", guest(of)),
        Action::Harvest { guest: of } => format!("flashmoor harvest {}", guest(of)),
        Action::Migrate => "flashmoor migrate SOURCE DESTINATION".into(),
        Action::ConvertVars { vars: of, target } => {
            let into = match target {
                None => "--layout LAYOUT".into(),
                Some(ConvertTarget::Layout(layout)) => format!("--layout {}", quote(layout)),
                Some(ConvertTarget::For(code)) => format!("--for {}", word(code.as_ref(), "CODE")),
            };
            format!("flashmoor vars convert {} {into} --output NEW", vars(of))
        }
        Action::RepairVars { vars: of } => format!("flashmoor vars repair {}", vars(of)),
        Action::ListVars { vars: of } => format!("flashmoor vars list {}", vars(of)),
        Action::DeleteVars { vars: of } => format!("flashmoor vars delete {} NAME", vars(of)),
        Action::ImportVars => "flashmoor vars import".into(),
        Action::DiffVars { from, to } => format!("flashmoor vars diff {} {}", vars(from), vars(to)),
        Action::EnableSecureBoot { vars: of } => {
            format!("flashmoor vars set {} SecureBootEnable --hex 01", vars(of))
        }
        Action::SecureBootKeys => "flashmoor vars secure-boot --help".into(),
        Action::ImportBuild { code, with_template } => format!(
            "flashmoor store import {}{}",
            word(code.as_ref(), "CODE"),
            if *with_template {
                " --vars-template FILE"
            } else {
                ""
            }
        ),
        Action::ExportBuild => "flashmoor store export BUILD".into(),
        Action::ShowBuild => "flashmoor store show BUILD".into(),
        Action::ListBuilds => "flashmoor store list".into(),
        Action::ListLandings => "flashmoor store landings".into(),
        Action::VerifyStore => "flashmoor store verify".into(),
        Action::ExtractSaved { file: of, part } => match part {
            Some("block") => format!("flashmoor saved extract {} --block NAME=OUT", file(of)),
            Some(part) => format!("flashmoor saved extract {} --{part} OUT", file(of)),
            None => format!("flashmoor saved extract {}", file(of)),
        },
        Action::AdoptSaved { file: of } => format!("flashmoor saved adopt {}", file(of)),
        Action::PlanRestore { file: of } => format!("flashmoor saved restore-plan {}", file(of)),
        Action::OfferSaved { file: of } => format!("flashmoor saved offer {} >offer.json", file(of)),
        Action::SavedFormats => "flashmoor saved --help".into(),
        Action::InstallLibvirtHook => "flashmoor libvirt install".into(),
        Action::AdoptDomain(subject) => format!("flashmoor libvirt adopt {}", domain(subject)),
        Action::UnadoptDomain(subject) => format!("flashmoor libvirt unadopt {}", domain(subject)),
        Action::LibvirtStatus => "flashmoor libvirt status".into(),
        Action::EnableAgent => "systemctl enable --now flashmoor-agent".into(),
        Action::ListCatalogue => "flashmoor catalogue list".into(),
        Action::Explain { code } => format!("flashmoor explain {}", code.unwrap_or("CODE")),
        Action::RecordAtlas => "flashmoor atlas run --output DIR".into(),
    }
}

fn domain(subject: &DomainSubject) -> String {
    match subject {
        DomainSubject::Named(name) => quote(name),
        DomainSubject::All => "--all".into(),
    }
}

/// The option that takes `input`.
fn option(input: &Input) -> String {
    match input {
        Input::Guest => "GUEST".into(),
        Input::SourceCode => "--from-code FILE".into(),
        Input::DestinationCode => "--to-code FILE".into(),
        Input::SourceVars => "--from-vars FILE".into(),
        Input::DestinationVars => "--to-vars FILE".into(),
        Input::NoVars => "--no-vars".into(),
        Input::DestinationFirmwareFolder => "--to-host-firmware DIR".into(),
        Input::DestinationGuest => "--to-guest GUEST".into(),
        Input::DestinationOffer => "--to-offer OFFER".into(),
        Input::DestinationBios => "--to-bios FILE".into(),
        Input::DestinationRoms => "--to-roms DIR".into(),
        Input::MachineType(example) => {
            format!("--machine {}", example.as_deref().unwrap_or("pc-q35-7.2"))
        }
        Input::SourceQemu => "--qemu-from VERSION".into(),
        Input::DestinationQemu => "--qemu-to VERSION".into(),
        Input::Smm(value) => format!("--smm {value}"),
        Input::SecureFlash(value) => format!("--secure-flash {value}"),
        Input::S3(value) => format!("--s3 {value}"),
        Input::Confidential => "--confidential sev|sev-es|sev-snp|tdx".into(),
        Input::VarsPath => "--vars PATH".into(),
        Input::Replace => "--replace".into(),
        Input::Output => "--output FILE".into(),
        Input::Layout => "--layout LAYOUT".into(),
        Input::Like => "--like FILE".into(),
        Input::Guid => "--guid GUID".into(),
        Input::Attributes => "--attributes nv,bs,rt".into(),
        Input::Backup => "--backup FILE".into(),
        Input::EvenIfInUse => "--even-if-in-use".into(),
        Input::Keys => "--microsoft, --microsoft-dbx, --pk, --kek, --db or --dbx".into(),
        Input::Nth(Some(count)) => format!("--nth 1 to {count}"),
        Input::Nth(None) => "--nth N".into(),
        Input::Channels => "--channel FILE".into(),
        Input::Snapshot => "--snapshot NAME".into(),
        Input::StoreFolder => "--store DIR".into(),
        Input::MigrationUri => "--uri tcp:HOST:PORT or --uri unix:/PATH".into(),
        Input::StopFirst => "--stop-first".into(),
        Input::ExpectedDigest => "--expect SHA256".into(),
        Input::QemuProgram => "--qemu PROGRAM".into(),
        Input::FirmwareFolder => "--firmware DIR".into(),
        Input::BuildName => "--name NAME --build-version VERSION".into(),
        Input::SystemRoot => "--root DIR".into(),
        Input::Blocking => "--block".into(),
        Input::VarsTemplate => "--vars-template FILE".into(),
        Input::Force => "--force".into(),
        Input::LayoutTag => "DIR:TAG".into(),
        Input::Piece { by, value, about } => {
            let name = match by {
                PieceKey::File => "--guid",
                PieceKey::Volume => "--volume",
                PieceKey::Nth => "--nth",
            };
            let about = about.as_ref().map(|about| format!(" ({about})"));
            format!("{name} {}{}", quote(value), about.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_is_its_advice_with_the_commands_behind_it() {
        let remedy = Remedy::new(
            "convert the store first, nothing is lost",
            Action::ConvertVars {
                vars: Some("/var/lib/my vm.fd".into()),
                target: Some(ConvertTarget::Layout("4M".into())),
            },
        );
        assert_eq!(
            text(&remedy),
            "convert the store first, nothing is lost: \
             flashmoor vars convert '/var/lib/my vm.fd' --layout 4M --output NEW"
        );
        let remedy = Remedy::give("name the firmware", [Input::SourceCode, Input::DestinationCode]);
        assert_eq!(
            text(&remedy),
            "name the firmware: --from-code FILE, --to-code FILE"
        );
        assert_eq!(text(&"name a QEMU process".into()), "name a QEMU process");
    }
}
