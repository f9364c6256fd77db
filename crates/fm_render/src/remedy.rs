//! Remedies as the command line tells them: the advice, and the commands and options that carry it out.

use fm_check::Wording;
use fm_files::quote;
use fm_judge::{Contradiction, Evidence};
use fm_remedy::{Action, ConvertTarget, DomainSubject, Input, PaddedSize, PieceKey, Remedy, Setting};

/// How the command line words what the judge gives as data.
pub const WORDING: Wording = Wording {
    remedy: text,
    evidence,
};

/// The advice with its commands behind it: `advice: command, command`.
pub fn text(remedy: &Remedy) -> String {
    let mut text = remedy.advice.to_string();
    let mut before: Option<&Action> = None;
    for action in &remedy.actions {
        text.push_str(match (before, action) {
            (None, _) => ": ",
            // An offer is made on one host, and prepared for on the other.
            (Some(Action::MakeOffer { .. } | Action::OfferSaved { .. }), Action::Prepare { .. }) => {
                ", then there: "
            }
            _ => ", ",
        });
        text.push_str(&command(action));
        before = Some(action);
    }
    text
}

/// Where a value was read, with the option by its name where the user gave it.
pub fn evidence(evidence: &Evidence) -> String {
    evidence.display_with(|input| {
        let option = option(input);
        format!("the option {}", option.split(' ').next().unwrap_or(&option))
    })
}

/// Why `error` came about, from the outermost cause to the first. Sources that contradict each other are named as the
/// user gave them.
pub fn causes(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(error.source(), |cause| cause.source())
        .map(|cause| match cause.downcast_ref::<Contradiction>() {
            None => cause.to_string(),
            Some(found) => format!(
                "{} is {} according to {}, but {} according to {}",
                found.subject,
                found.one,
                evidence(&found.one_evidence),
                found.other,
                evidence(&found.other_evidence)
            ),
        })
        .collect()
}

/// A subject as a word of a shell, or the placeholder that stands for it.
fn word(subject: Option<&String>, placeholder: &str) -> String {
    subject.map_or_else(|| placeholder.to_owned(), |subject| quote(subject))
}

/// What to type for `action`.
pub fn command(action: &Action) -> String {
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
        Action::MigrateWithUpdate => "flashmoor migrate SOURCE DESTINATION --update BUILD".into(),
        Action::UpdateStatus => "flashmoor update --status".into(),
        Action::ConvertVars { vars: of, target } => {
            let into = match target {
                None => "--layout LAYOUT".into(),
                Some(ConvertTarget::Layout(layout)) => format!("--layout {}", quote(layout)),
                Some(ConvertTarget::For(code)) => format!("--for {}", word(code.as_ref(), "CODE")),
            };
            format!("flashmoor vars convert {} {into} --output NEW", vars(of))
        }
        Action::RepairVars { vars: of } => format!("flashmoor vars repair {}", vars(of)),
        Action::RestoreVars { vars: of } => format!("flashmoor vars restore {}", vars(of)),
        Action::ListBackups { vars: of } => format!("flashmoor vars backups {}", vars(of)),
        Action::ListVars { vars: of } => format!("flashmoor vars list {}", vars(of)),
        Action::DeleteVars { vars: of } => format!("flashmoor vars delete {} NAME", vars(of)),
        Action::ImportVars => "flashmoor vars import VARS --from SOURCE".into(),
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
        Action::ExportBuild => "flashmoor store export BUILD TO".into(),
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
        Action::Configure(setting) => qemu_options(setting),
        Action::ShutDown { guest: of } => format!("virsh shutdown {}", guest(of)),
        Action::ConvertImage { image, format } => {
            format!("qemu-img convert -O {format} {} NEW", file(image))
        }
        Action::PadCopy(PaddedSize::Bytes(size_bytes)) => format!("truncate -s {size_bytes} COPY"),
        Action::PadCopy(PaddedSize::MultipleOf(size_bytes)) => format!("truncate -s %{size_bytes} COPY"),
        Action::CopyTemplate { template, vars: of } => {
            format!("cp {} {}", word(template.as_ref(), "TEMPLATE"), vars(of))
        }
        Action::CopyVars { to } => format!("cp VARS {}", word(to.as_ref(), "LANDING")),
        Action::ListMachineTypes => "qemu-system-x86_64 -machine help".into(),
        Action::ShowQemuVersion => "qemu-system-x86_64 -version".into(),
        Action::SuspendBitLocker => "manage-bde -protectors -disable C:".into(),
        Action::ListLuksKeys => "systemd-cryptenroll DEVICE".into(),
    }
}

/// What QEMU's command line says for `setting`.
fn qemu_options(setting: &Setting) -> String {
    match setting {
        Setting::MachineType(name) => format!("-machine {}", quote(name)),
        Setting::Q35WithSmm => "-machine q35,smm=on".into(),
        Setting::SecureFlash(is_on) => format!(
            "-global driver=cfi.pflash01,property=secure,value={}",
            if *is_on { "on" } else { "off" }
        ),
        Setting::NoS3 => "-global ICH9-LPC.disable_s3=1".into(),
        Setting::FlashDevices => "-drive if=pflash,unit=0,format=raw,readonly=on,file=CODE \
             -drive if=pflash,unit=1,format=raw,file=VARS"
            .into(),
        Setting::VarsDevice => "-drive if=pflash,unit=1,format=raw,file=VARS".into(),
        Setting::Bios => "-bios FILE".into(),
        Setting::FileFormat(format) => format!("format={format}"),
        Setting::RomFile => "-device …,romfile=FILE".into(),
        Setting::DeviceAddress(address) => format!("-device …,addr={address}"),
        Setting::AwaitMigration => "-incoming defer".into(),
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
        Input::SourceBios => "--from-bios FILE".into(),
        Input::DestinationBios => "--to-bios FILE".into(),
        Input::DestinationRoms => "--to-roms DIR".into(),
        Input::MachineType(example) => {
            format!("--machine {}", example.as_deref().unwrap_or("pc-q35-7.2"))
        }
        Input::SourceMachine => "--machine-from MACHINE".into(),
        Input::DestinationMachine => "--machine-to MACHINE".into(),
        Input::SourceQemu => "--qemu-from VERSION".into(),
        Input::DestinationQemu => "--qemu-to VERSION".into(),
        Input::Smm(value) => format!("--smm {value}"),
        Input::SecureFlash(value) => format!("--secure-flash {value}"),
        Input::S3(value) => format!("--s3 {value}"),
        Input::Tpm(value) => format!("--tpm {value}"),
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
        Input::Monitor => "--monitor SOCKET".into(),
        Input::HasBooted => "--has-booted".into(),
        Input::NeverSuspends => "--never-suspends".into(),
        Input::Wait => "--wait".into(),
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

    fn subject() -> Option<String> {
        Some("/tmp/a file".into())
    }

    #[test]
    fn evidence_names_the_option_that_gave_a_value() {
        for (input, option) in [
            (Input::SourceQemu, "the option --qemu-from"),
            (Input::DestinationMachine, "the option --machine-to"),
            (Input::MachineType(None), "the option --machine"),
            (Input::NoVars, "the option --no-vars"),
            (Input::Smm("on"), "the option --smm"),
            (Input::Confidential, "the option --confidential"),
        ] {
            assert_eq!(evidence(&Evidence::Input(input)), option);
        }
    }

    #[test]
    fn an_offer_is_made_here_and_prepared_for_there() {
        let landing =
            Remedy::new("make a landing", Action::MakeOffer { guest: subject() }).then(Action::Prepare {
                offer: None,
                with_vars: false,
            });
        assert_eq!(
            text(&landing),
            "make a landing: flashmoor offer '/tmp/a file' >offer.json, then there: flashmoor prepare offer.json"
        );
    }

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
