//! The actions of a remedy as documents have them.

use fm_api::v1::remedy as api;
use fm_remedy::{Action, ConvertTarget, DomainSubject, Input, PaddedSize, PieceKey, Setting};

/// One thing to do.
pub(super) fn action(from: &Action) -> api::Action {
    match from {
        Action::Give(of) => api::Action::Give(input(of)),
        Action::ListGuests => api::Action::ListGuests,
        Action::Inspect { path } => api::Action::Inspect { path: path.clone() },
        Action::InspectTree { path } => api::Action::InspectTree { path: path.clone() },
        Action::FindText => api::Action::FindText,
        Action::MakeOffer { guest } => api::Action::MakeOffer { guest: guest.clone() },
        Action::Prepare { offer, with_vars } => api::Action::Prepare {
            offer: offer.clone(),
            with_vars: *with_vars,
        },
        Action::Capture { guest } => api::Action::Capture { guest: guest.clone() },
        Action::Harvest { guest } => api::Action::Harvest { guest: guest.clone() },
        Action::Migrate => api::Action::Migrate,
        Action::MigrateWithUpdate => api::Action::MigrateWithUpdate,
        Action::UpdateStatus => api::Action::UpdateStatus,
        Action::ConvertVars { vars, target } => api::Action::ConvertVars {
            vars: vars.clone(),
            target: target.as_ref().map(convert_target),
        },
        Action::RepairVars { vars } => api::Action::RepairVars { vars: vars.clone() },
        Action::RestoreVars { vars } => api::Action::RestoreVars { vars: vars.clone() },
        Action::ListBackups { vars } => api::Action::ListBackups { vars: vars.clone() },
        Action::ListVars { vars } => api::Action::ListVars { vars: vars.clone() },
        Action::DeleteVars { vars } => api::Action::DeleteVars { vars: vars.clone() },
        Action::ImportVars => api::Action::ImportVars,
        Action::DiffVars { from, to } => api::Action::DiffVars {
            from: from.clone(),
            to: to.clone(),
        },
        Action::EnableSecureBoot { vars } => api::Action::EnableSecureBoot { vars: vars.clone() },
        Action::SecureBootKeys => api::Action::SecureBootKeys,
        Action::ImportBuild { code, with_template } => api::Action::ImportBuild {
            code: code.clone(),
            with_template: *with_template,
        },
        Action::ExportBuild => api::Action::ExportBuild,
        Action::ShowBuild => api::Action::ShowBuild,
        Action::ListBuilds => api::Action::ListBuilds,
        Action::ListLandings => api::Action::ListLandings,
        Action::VerifyStore => api::Action::VerifyStore,
        Action::ExtractSaved { file, part } => api::Action::ExtractSaved {
            file: file.clone(),
            part: part.map(str::to_owned),
        },
        Action::AdoptSaved { file } => api::Action::AdoptSaved { file: file.clone() },
        Action::PlanRestore { file } => api::Action::PlanRestore { file: file.clone() },
        Action::OfferSaved { file } => api::Action::OfferSaved { file: file.clone() },
        Action::SavedFormats => api::Action::SavedFormats,
        Action::InstallLibvirtHook => api::Action::InstallLibvirtHook,
        Action::AdoptDomain(of) => api::Action::AdoptDomain(domain(of)),
        Action::UnadoptDomain(of) => api::Action::UnadoptDomain(domain(of)),
        Action::LibvirtStatus => api::Action::LibvirtStatus,
        Action::EnableAgent => api::Action::EnableAgent,
        Action::ListCatalogue => api::Action::ListCatalogue,
        Action::Explain { code } => api::Action::Explain {
            code: code.map(str::to_owned),
        },
        Action::RecordAtlas => api::Action::RecordAtlas,
        Action::Configure(of) => api::Action::Configure(setting(of)),
        Action::ShutDown { guest } => api::Action::ShutDown { guest: guest.clone() },
        Action::ConvertImage { image, format } => api::Action::ConvertImage {
            image: image.clone(),
            format: (*format).to_owned(),
        },
        Action::PadCopy(of) => api::Action::PadCopy(padded_size(*of)),
        Action::CopyTemplate { template, vars } => api::Action::CopyTemplate {
            template: template.clone(),
            vars: vars.clone(),
        },
        Action::CopyVars { to } => api::Action::CopyVars { to: to.clone() },
        Action::ListMachineTypes => api::Action::ListMachineTypes,
        Action::ShowQemuVersion => api::Action::ShowQemuVersion,
        Action::SuspendBitLocker => api::Action::SuspendBitLocker,
        Action::ListLuksKeys => api::Action::ListLuksKeys,
    }
}

/// How QEMU starts a guest.
fn setting(from: &Setting) -> api::GuestSetting {
    match from {
        Setting::MachineType(of) => api::GuestSetting::MachineType(of.clone()),
        Setting::Q35WithSmm => api::GuestSetting::Q35WithSmm,
        Setting::SecureFlash(of) => api::GuestSetting::SecureFlash(*of),
        Setting::NoS3 => api::GuestSetting::NoS3,
        Setting::FlashDevices => api::GuestSetting::FlashDevices,
        Setting::VarsDevice => api::GuestSetting::VarsDevice,
        Setting::Bios => api::GuestSetting::Bios,
        Setting::FileFormat(of) => api::GuestSetting::FileFormat((*of).to_owned()),
        Setting::RomFile => api::GuestSetting::RomFile,
        Setting::DeviceAddress(of) => api::GuestSetting::DeviceAddress(of.clone()),
        Setting::AwaitMigration => api::GuestSetting::AwaitMigration,
    }
}

/// What a file is padded to.
fn padded_size(from: PaddedSize) -> api::PaddedSize {
    match from {
        PaddedSize::Bytes(of) => api::PaddedSize::Bytes(of),
        PaddedSize::MultipleOf(of) => api::PaddedSize::MultipleOf(of),
    }
}

/// What a variable store is converted to.
fn convert_target(from: &ConvertTarget) -> api::ConvertTarget {
    match from {
        ConvertTarget::Layout(of) => api::ConvertTarget::Layout(of.clone()),
        ConvertTarget::For(of) => api::ConvertTarget::For(of.clone()),
    }
}

/// Which libvirt domains.
fn domain(from: &DomainSubject) -> api::DomainSubject {
    match from {
        DomainSubject::Named(of) => api::DomainSubject::Named(of.clone()),
        DomainSubject::All => api::DomainSubject::All,
    }
}

/// What a request can be told.
fn input(from: &Input) -> api::Input {
    match from {
        Input::Guest => api::Input::Guest,
        Input::SourceCode => api::Input::SourceCode,
        Input::DestinationCode => api::Input::DestinationCode,
        Input::SourceVars => api::Input::SourceVars,
        Input::DestinationVars => api::Input::DestinationVars,
        Input::NoVars => api::Input::NoVars,
        Input::DestinationFirmwareFolder => api::Input::DestinationFirmwareFolder,
        Input::DestinationGuest => api::Input::DestinationGuest,
        Input::DestinationOffer => api::Input::DestinationOffer,
        Input::SourceBios => api::Input::SourceBios,
        Input::DestinationBios => api::Input::DestinationBios,
        Input::DestinationRoms => api::Input::DestinationRoms,
        Input::MachineType(of) => api::Input::MachineType(of.clone()),
        Input::SourceMachine => api::Input::SourceMachine,
        Input::DestinationMachine => api::Input::DestinationMachine,
        Input::SourceQemu => api::Input::SourceQemu,
        Input::DestinationQemu => api::Input::DestinationQemu,
        Input::Smm(of) => api::Input::Smm((*of).to_owned()),
        Input::SecureFlash(of) => api::Input::SecureFlash((*of).to_owned()),
        Input::S3(of) => api::Input::S3((*of).to_owned()),
        Input::Tpm(of) => api::Input::Tpm((*of).to_owned()),
        Input::Confidential => api::Input::Confidential,
        Input::VarsPath => api::Input::VarsPath,
        Input::Replace => api::Input::Replace,
        Input::Output => api::Input::Output,
        Input::Layout => api::Input::Layout,
        Input::Like => api::Input::Like,
        Input::Guid => api::Input::Guid,
        Input::Attributes => api::Input::Attributes,
        Input::Backup => api::Input::Backup,
        Input::EvenIfInUse => api::Input::EvenIfInUse,
        Input::Keys => api::Input::Keys,
        Input::Nth(of) => api::Input::Nth(*of),
        Input::Channels => api::Input::Channels,
        Input::Snapshot => api::Input::Snapshot,
        Input::StoreFolder => api::Input::StoreFolder,
        Input::MigrationUri => api::Input::MigrationUri,
        Input::StopFirst => api::Input::StopFirst,
        Input::ExpectedDigest => api::Input::ExpectedDigest,
        Input::QemuProgram => api::Input::QemuProgram,
        Input::FirmwareFolder => api::Input::FirmwareFolder,
        Input::BuildName => api::Input::BuildName,
        Input::SystemRoot => api::Input::SystemRoot,
        Input::Blocking => api::Input::Blocking,
        Input::VarsTemplate => api::Input::VarsTemplate,
        Input::Force => api::Input::Force,
        Input::NeverSuspends => api::Input::NeverSuspends,
        Input::HasBooted => api::Input::HasBooted,
        Input::Monitor => api::Input::Monitor,
        Input::Wait => api::Input::Wait,
        Input::LayoutTag => api::Input::LayoutTag,
        Input::Piece { by, value, about } => api::Input::Piece {
            by: piece_key(*by),
            value: value.clone(),
            about: about.clone(),
        },
    }
}

/// What a piece of an image is told apart by.
fn piece_key(from: PieceKey) -> api::PieceKey {
    match from {
        PieceKey::File => api::PieceKey::File,
        PieceKey::Volume => api::PieceKey::Volume,
        PieceKey::Nth => api::PieceKey::Nth,
    }
}
