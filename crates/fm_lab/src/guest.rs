//! A running guest: its process, its monitors, its UEFI shell.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fm_host::qmp;
use serde_json::json;

use crate::failure::{GuestError as Error, GuestResult as Result};
use crate::machine::serial_pipes;
use crate::{Machine, PATIENCE, Serial};

/// A QEMU process of the lab; dropping it kills the process.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    dir: PathBuf,
    monitor: qmp::Client,
    /// The guest's serial line.
    pub serial: Serial,
}

impl Guest {
    /// Starts `machine` with its sockets and log in the empty or absent folder `dir`.
    ///
    /// # Errors
    /// If QEMU cannot be started or ends at once, with its own words.
    pub fn start(machine: &Machine, dir: &Path) -> Result<Self> {
        let file = |path: &Path, source| Error::File {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(dir).map_err(|source| file(dir, source))?;
        let log = dir.join("stderr");
        let stderr = File::create(&log).map_err(|source| file(&log, source))?;
        let serial = Serial::create(&serial_pipes(dir))?;
        // `setpriv` (util-linux) lets the kernel end QEMU with us, however we end.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&machine.emulator.program)
            .args(machine.arguments(dir))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .map_err(|source| Error::Start {
                program: machine.emulator.program.clone(),
                source,
            })?;
        let connected = wait_for(&mut child, &log, || {
            qmp::Client::connect(&dir.join("lab"), PATIENCE).ok()
        });
        match connected {
            Ok(monitor) => Ok(Self {
                child,
                dir: dir.to_owned(),
                monitor,
                serial,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The monitor socket that the lab leaves alone.
    #[must_use]
    pub fn qmp_socket(&self) -> PathBuf {
        self.dir.join("qmp")
    }

    /// The lab's own monitor.
    pub fn monitor(&mut self) -> &mut qmp::Client {
        &mut self.monitor
    }

    /// What QEMU wrote to its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.dir.join("stderr")).unwrap_or_default()
    }

    /// The run state that QEMU reports, such as `running` or `inmigrate`.
    ///
    /// # Errors
    /// If the monitor fails.
    pub fn status(&mut self) -> Result<String> {
        let reply = self.monitor.execute("query-status", None)?;
        Ok(reply
            .get("status")
            .and_then(|status| status.as_str())
            .unwrap_or_default()
            .to_owned())
    }

    /// Waits for the firmware to start its built-in shell.
    ///
    /// # Errors
    /// If it does not.
    pub fn boot_to_shell(&mut self) -> Result<()> {
        match self.serial.boot_once()? {
            true => Ok(()),
            false => Err(Error::NoShell),
        }
    }

    /// Waits for the firmware's built-in shell to count down to the script on the guest's disk.
    ///
    /// # Errors
    /// If it does not.
    pub fn boot_to_script(&mut self) -> Result<()> {
        match self.serial.script_once()? {
            true => Ok(()),
            false => Err(Error::NoShell),
        }
    }

    /// Runs one command in the UEFI shell and returns what it printed, the command's echo left out.
    ///
    /// # Errors
    /// If the prompt does not come back.
    pub fn shell(&mut self, command: &str) -> Result<String> {
        self.serial.shell(command)
    }

    /// Resets the machine without ending the QEMU process, as a guest's own reboot does.
    ///
    /// # Errors
    /// If the monitor fails.
    pub fn reset(&mut self) -> Result<()> {
        self.monitor.execute("system_reset", None)?;
        Ok(())
    }

    /// Guest-physical memory as QEMU itself reads it.
    ///
    /// # Errors
    /// If the monitor or the file between fails.
    pub fn read_physical(&mut self, address: u64, len_bytes: u64) -> Result<Vec<u8>> {
        let path = self.dir.join("pmemsave");
        let arguments = json!({ "val": address, "size": len_bytes, "filename": path });
        self.monitor.execute("pmemsave", Some(arguments))?;
        let bytes = fs::read(&path).map_err(|source| Error::File {
            path: path.clone(),
            source,
        });
        let _ = fs::remove_file(&path);
        bytes
    }

    /// Ends QEMU in an orderly way, so that its files are complete.
    ///
    /// # Errors
    /// If it does not end.
    pub fn quit(mut self) -> Result<()> {
        match self.monitor.execute("quit", None) {
            Ok(_) | Err(qmp::Error::Closed { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.wait_for_end().map(drop)
    }

    /// Waits until QEMU has ended by itself; returns its exit status in words.
    ///
    /// # Errors
    /// If it goes on.
    pub fn wait_for_end(&mut self) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ok(status.to_string());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(Error::Waited {
            what: "QEMU to end".into(),
            seen: self.stderr(),
        })
    }

    /// Whether QEMU still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills QEMU at once, as a host's power failure would.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.end();
    }
}

/// Tries `attempt` until it succeeds, QEMU ends, or patience does.
fn wait_for<T>(child: &mut Child, log: &Path, mut attempt: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return Ok(value);
        }
        if let Ok(Some(status)) = child.try_wait() {
            let said = fs::read_to_string(log).unwrap_or_default();
            return Err(Error::Ended {
                status: status.to_string(),
                stderr: said.trim().to_owned(),
            });
        }
        if Instant::now() > deadline {
            return Err(Error::Waited {
                what: "QEMU's sockets".into(),
                seen: String::new(),
            });
        }
        thread::sleep(Duration::from_millis(2));
    }
}
