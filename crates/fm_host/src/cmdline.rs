//! QEMU command lines in every form that people and management stacks write them.
//!
//! Only what firmware needs is kept: the machine, the flash units, the name and uuid, where QMP
//! listens. Sources: QEMU `system/vl.c` (`qemu_init`), `qemu-options.def`, `blockdev.c` (`drive_new`).

mod config;
mod encryption;
mod flash;
mod keyval;
mod uefi_vars;

use keyval::Options;

pub use encryption::Encryption;
pub use flash::FlashArgument;
pub use uefi_vars::UefiVars;

/// Options that stand alone; every other one takes the argument behind it.
const FLAGS: &[&str] = &[
    "S",
    "s",
    "h",
    "help",
    "version",
    "audio-help",
    "nodefaults",
    "nodefconfig",
    "no-user-config",
    "daemonize",
    "nographic",
    "snapshot",
    "no-reboot",
    "no-shutdown",
    "no-acpi",
    "no-hpet",
    "no-kvm",
    "no-quit",
    "no-frame",
    "usb",
    "full-screen",
    "portrait",
    "curses",
    "sdl",
    "alt-grab",
    "ctrl-grab",
    "no-fd-bootchk",
    "win2k-hack",
    "mem-prealloc",
    "only-migratable",
    "singlestep",
    "preconfig",
    "enable-kvm",
    "enable-hax",
    "enable-sync-profile",
    "async-teardown",
    "xen-attach",
    "xen-domid-restrict",
    "semihosting",
    "old-param",
    "localtime",
];

/// At most this many configuration files are read for one command line.
const MAX_CONFIG_FILE_COUNT: usize = 16;

/// Where QMP listens, as the command line says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QmpArgument {
    /// A Unix socket at a path.
    Path(String),
    /// A descriptor that the process inherited, as libvirt hands it over.
    Descriptor(u32),
}

/// What a command line says about a guest and its firmware.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The program as it was called.
    pub program: String,
    /// `-name`.
    pub name: Option<String>,
    /// `-uuid`, or the system uuid of `-smbios type=1`.
    pub uuid: Option<String>,
    /// The machine type as written: `q35`, `pc-q35-7.2`.
    pub machine: Option<String>,
    /// The accelerators in the order in which QEMU tries them.
    pub accels: Vec<String>,
    /// `-bios`.
    pub bios: Option<String>,
    /// The device that keeps variables outside of flash.
    pub uefi_vars: Option<UefiVars>,
    /// The flash units, ascending.
    pub flash: Vec<FlashArgument>,
    /// Whether flash answers to system management mode only (`cfi.pflash01.secure=on`).
    pub secure_flash: bool,
    /// System management mode as written (`-machine smm=`); nothing if it is left to QEMU.
    pub smm: Option<bool>,
    /// Whether suspend to RAM is switched off: `disable_s3=1` of the power management that this machine has.
    pub s3_off: bool,
    /// Whether there is a TPM (`-tpmdev`).
    pub tpm: bool,
    /// Whether and how the guest's memory is encrypted (`-machine confidential-guest-support=ID`).
    pub encryption: Option<Encryption>,
    /// Where QMP listens.
    pub qmp: Vec<QmpArgument>,
    /// Whether QEMU leaves its root after it has opened its files (`-chroot`).
    pub chroot: bool,
    /// Whether a configuration file could not be read, so that anything may be missing here.
    pub config_unread: bool,
    /// Whether the guest was to wait for `cont`: `-S`.
    pub stopped: bool,
    /// `-incoming`.
    pub incoming: Option<String>,
    /// What could not be followed, in words.
    pub remarks: Vec<String>,
}

/// Gathers options until all are known: what refers to what is only clear at the end.
#[derive(Debug, Default)]
struct Gathered {
    found: CommandLine,
    machine: Options,
    sources: flash::FlashSources,
    chardevs: Vec<(String, Options)>,
    /// By id: what encrypts a guest is an object that the machine refers to.
    objects: Vec<Options>,
    control_monitors: Vec<String>,
    smbios_uuid: Option<String>,
    /// `disable_s3=1` of what a q35 has, and of what a pc has.
    s3_off: S3Off,
    configs_read: usize,
}

/// Which power management is told not to suspend to RAM; a machine has one of them, and the other's property is nothing to
/// it.
#[derive(Debug, Default)]
struct S3Off {
    ich9: bool,
    piix4: bool,
}

impl CommandLine {
    /// Reads `arguments`, the program's name first. `read_config` gives the text of a `-readconfig`
    /// file, or why it could not be read, in words.
    pub fn parse(arguments: &[String], read_config: &mut dyn FnMut(&str) -> Result<String, String>) -> Self {
        let mut gathered = Gathered::default();
        let mut arguments = arguments.iter();
        if let Some(program) = arguments.next() {
            gathered.found.program.clone_from(program);
        }
        gathered.found.chroot = changes_root(arguments.as_slice());
        while let Some(argument) = arguments.next() {
            let Some(option) = argument.strip_prefix('-') else {
                continue; // a disk image
            };
            let option = option.strip_prefix('-').unwrap_or(option);
            if FLAGS.contains(&option) {
                gathered.flag(option);
            } else if let Some(value) = arguments.next() {
                gathered.option(option, value, read_config);
            }
        }
        gathered.finish()
    }
}

/// Whether these arguments make QEMU change its root: `-chroot DIR`, or `-run-with chroot=DIR` (8.1+).
pub(crate) fn changes_root(arguments: &[String]) -> bool {
    arguments.windows(2).any(|pair| match pair {
        [option, value] => match option.trim_start_matches('-') {
            "chroot" => option.starts_with('-'),
            "run-with" => Options::parse(value, None).get("chroot").is_some(),
            _ => false,
        },
        _ => false,
    })
}

impl Gathered {
    fn flag(&mut self, flag: &str) {
        match flag {
            "S" => self.found.stopped = true,
            "snapshot" => self.sources.snapshot = true,
            "enable-kvm" => self.found.accels.push("kvm".to_owned()),
            _ => {}
        }
    }

    fn option(
        &mut self,
        option: &str,
        value: &str,
        read_config: &mut dyn FnMut(&str) -> Result<String, String>,
    ) {
        match option {
            "machine" | "M" => self.machine.extend(Options::parse(value, Some("type"))),
            "accel" => self.accel(&Options::parse(value, Some("accel"))),
            "name" => self.name(&Options::parse(value, Some("guest"))),
            "uuid" => self.found.uuid = Some(value.to_owned()),
            "smbios" => self.smbios(&Options::parse(value, None)),
            "bios" => self.found.bios = Some(value.to_owned()),
            "pflash" => self.sources.pflash(value),
            "drive" => self.sources.drive(Options::parse(value, None)),
            "blockdev" => self.sources.blockdev(value),
            "global" => self.global(value),
            "qmp" | "qmp-pretty" => self.qmp(value),
            "mon" => self.monitor(&Options::parse(value, Some("chardev"))),
            "chardev" => self.chardev(Options::parse(value, Some("backend"))),
            "object" => self.objects.extend(encryption::object(value)),
            "incoming" => self.found.incoming = Some(value.to_owned()),
            "readconfig" => self.config(value, read_config),
            "tpmdev" => self.found.tpm = true,
            "device" => {
                let device = uefi_vars::of(value);
                self.found.uefi_vars = device.or_else(|| self.found.uefi_vars.take());
            }
            _ => {}
        }
    }

    fn accel(&mut self, options: &Options) {
        self.found.accels.extend(options.get("accel").map(str::to_owned));
    }

    fn name(&mut self, options: &Options) {
        if let Some(name) = options.get("guest") {
            self.found.name = Some(name.to_owned());
        }
    }

    fn smbios(&mut self, options: &Options) {
        if let (Some("1"), Some(uuid)) = (options.get("type"), options.get("uuid")) {
            self.smbios_uuid = Some(uuid.to_owned());
        }
    }

    /// `-global DRIVER.PROPERTY=VALUE`, or the long form with `driver=`, `property=`, `value=`.
    fn global(&mut self, value: &str) {
        let options = Options::parse(value, None);
        self.property(
            options.get("driver"),
            options.get("property"),
            options.get("value"),
        );
        let short = value.split_once('=').and_then(|(left, value)| {
            let (driver, property) = left.rsplit_once('.')?;
            Some((driver, property, value))
        });
        if let Some((driver, property, value)) = short {
            self.property(Some(driver), Some(property), Some(value));
        }
    }

    fn property(&mut self, driver: Option<&str>, property: Option<&str>, value: Option<&str>) {
        match (driver, property) {
            (Some("cfi.pflash01"), Some("secure")) => {
                self.found.secure_flash = value.is_some_and(keyval::is_on);
            }
            (Some("ICH9-LPC"), Some("disable_s3")) => self.s3_off.ich9 = value == Some("1"),
            (Some("PIIX4_PM"), Some("disable_s3")) => self.s3_off.piix4 = value == Some("1"),
            _ => {}
        }
    }

    /// `-qmp unix:PATH,server=on`, or `-qmp chardev:ID`.
    fn qmp(&mut self, value: &str) {
        let options = Options::parse(value, Some("backend"));
        match options.get("backend").and_then(|backend| backend.split_once(':')) {
            Some(("unix", path)) => self.found.qmp.push(QmpArgument::Path(path.to_owned())),
            Some(("chardev", id)) => self.control_monitors.push(id.to_owned()),
            _ => {}
        }
    }

    fn monitor(&mut self, options: &Options) {
        if let (Some("control"), Some(chardev)) = (options.get("mode"), options.get("chardev")) {
            self.control_monitors.push(chardev.to_owned());
        }
    }

    fn chardev(&mut self, options: Options) {
        if let Some(id) = options.get("id").map(str::to_owned) {
            self.chardevs.push((id, options));
        }
    }

    fn config(&mut self, path: &str, read_config: &mut dyn FnMut(&str) -> Result<String, String>) {
        self.configs_read = self.configs_read.saturating_add(1);
        if self.configs_read > MAX_CONFIG_FILE_COUNT {
            let remark = format!("-readconfig {path}: more than {MAX_CONFIG_FILE_COUNT} files, not read");
            self.found.remarks.push(remark);
            self.found.config_unread = true;
            return;
        }
        let text = match read_config(path) {
            Ok(text) => text,
            Err(why) => {
                self.found.config_unread = true;
                self.found.remarks.push(format!("-readconfig {path}: {why}"));
                return;
            }
        };
        for section in config::parse(&text) {
            let mut options = section.options;
            if let Some(id) = &section.id {
                options.push("id", id);
            }
            match section.group.as_str() {
                "machine" => self.machine.extend(options),
                "accel" => self.accel(&options),
                "name" => self.name(&options),
                "smbios" => self.smbios(&options),
                "drive" => self.sources.drive(options),
                "mon" => self.monitor(&options),
                "chardev" => self.chardev(options),
                "object" => self.objects.push(options),
                "tpmdev" => self.found.tpm = true,
                "device" => {
                    let device = uefi_vars::of_options(&options);
                    self.found.uefi_vars = device.or_else(|| self.found.uefi_vars.take());
                }
                "global" => {
                    self.property(
                        options.get("driver"),
                        options.get("property"),
                        options.get("value"),
                    );
                }
                _ => {}
            }
        }
    }

    fn finish(mut self) -> CommandLine {
        let mut found = self.found;
        found.flash = self.sources.resolve(&self.machine);
        found.machine = self.machine.get("type").map(str::to_owned);
        // QEMU's default is a pc; every alias and vendor's type of a q35 says so.
        found.s3_off = match found
            .machine
            .as_deref()
            .is_some_and(|machine| machine.contains("q35"))
        {
            true => self.s3_off.ich9,
            false => self.s3_off.piix4,
        };
        let smm = self.machine.get("smm").filter(|smm| *smm != "auto");
        found.smm = smm.map(keyval::is_on);
        found.encryption = encryption::of(&self.machine, &self.objects);
        if found.bios.is_none() {
            found.bios = self.machine.get("firmware").map(str::to_owned);
        }
        if found.accels.is_empty() {
            let listed = self.machine.get("accel").into_iter();
            found.accels = listed
                .flat_map(|list| list.split(':'))
                .map(str::to_owned)
                .collect();
        }
        if found.uuid.is_none() {
            found.uuid = self.smbios_uuid.take();
        }
        for monitor in &self.control_monitors {
            let chardev = self.chardevs.iter().find(|(id, _)| id == monitor);
            let Some((_, options)) = chardev.filter(|(_, options)| options.get("backend") == Some("socket"))
            else {
                continue;
            };
            if let Some(path) = options.get("path") {
                found.qmp.push(QmpArgument::Path(path.to_owned()));
            } else if let Some(fd) = options.get("fd").and_then(|fd| fd.parse().ok()) {
                found.qmp.push(QmpArgument::Descriptor(fd));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
