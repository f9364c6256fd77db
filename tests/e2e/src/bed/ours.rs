//! Flashmoor on a host of the bed: installed, running, asked.

use std::fs;
use std::process::{Command, Stdio};

use fm_fixtures::Patience;
use fm_lab::PATIENCE;

use super::Host;
use crate::{document, flashmoor};

impl Host {
    /// Flashmoor on this host, with the host's store.
    #[must_use]
    pub fn flashmoor(&self) -> Command {
        let program = flashmoor();
        let mut command = self.command(program.get_program());
        command
            .env_remove("FLASHMOOR_STORE")
            .env("NO_COLOR", "1")
            .arg("--store")
            .arg(&self.store);
        command
    }

    /// Installs Flashmoor as its page says, and starts the agent if `with_agent`.
    pub fn install_flashmoor(&self, with_agent: bool) {
        let installed = self
            .flashmoor()
            // Two emulated guests beside it can keep the hook from a core for longer than a host would.
            .args(["--json", "libvirt", "install", "--deadline-ms", "60000", "--root"])
            .arg(self.root())
            .output()
            .unwrap();
        let _ = document(&installed);
        self.stop_libvirtd("-TERM");
        self.start_libvirtd();
        if with_agent {
            self.start_agent();
        }
    }

    /// Starts the agent, as systemd would, and waits until it serves.
    pub fn start_agent(&self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("agent.log"))
            .unwrap();
        let started = self
            .flashmoor()
            .args(["agent", "--interval", "1", "--connect", &self.uri()])
            .stderr(log)
            .spawn();
        // what is left of it is buried with this process
        drop(started.unwrap());
        let mut patience = Patience::new(PATIENCE);
        while self.agent_pid().is_none() {
            patience.rest(|| format!("the agent does not start: {}", self.agent_log()));
        }
    }

    /// What the agent said so far.
    #[must_use]
    pub fn agent_log(&self) -> String {
        fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }

    fn agent_pid(&self) -> Option<String> {
        let pid = fs::read_to_string(self.path(self.store.join("libvirt/agent.lock").to_str()?)).ok()?;
        let pid = pid.trim().to_owned();
        let mut probe = self.command("kill");
        probe.args(["-0", &pid]).stderr(Stdio::null());
        (!pid.is_empty() && probe.status().ok()?.success()).then_some(pid)
    }

    /// Kills the agent in the middle of whatever it does.
    pub fn kill_agent(&self) {
        let pid = self.agent_pid().unwrap();
        self.command("kill").args(["-KILL", &pid]).status().unwrap();
        // until the kernel has let go of its lock, another one is refused
        let mut patience = Patience::new(PATIENCE);
        while self.agent_pid().is_some() {
            patience.rest(|| "the agent does not end".into());
        }
    }

    /// Waits until the store has the build of this digest, and every landing the bytes it waits for.
    ///
    /// # Panics
    /// If that does not happen.
    pub fn wait_for_harvest(&self, build: &str) {
        self.wait_for_harvest_of(build, 0);
    }

    /// The same, with at most that many landings that still wait.
    ///
    /// # Panics
    /// If that does not happen.
    pub fn wait_for_harvest_of(&self, build: &str, most_waiting: usize) {
        let mut patience = Patience::new(PATIENCE);
        loop {
            let builds = self.builds();
            if builds.iter().any(|id| id == build) && self.waiting() <= most_waiting {
                return;
            }
            patience.rest(|| format!("{builds:?} {} {}", self.waiting(), self.agent_log()));
        }
    }

    /// The ids of the builds in the host's store.
    #[must_use]
    pub fn builds(&self) -> Vec<String> {
        let list = self.json(&["store", "list"]);
        let builds = list["builds"].as_array().unwrap().iter();
        builds
            .map(|build| build["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The document that Flashmoor prints here.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn json(&self, words: &[&str]) -> serde_json::Value {
        document(&self.flashmoor().arg("--json").args(words).output().unwrap())
    }

    /// One look of an agent, which is not running otherwise.
    ///
    /// # Panics
    /// If something fails in it.
    pub fn agent_once(&self, more: &[&str]) -> String {
        let mut command = self.flashmoor();
        command.args(["agent", "--once", "--connect", &self.uri()]);
        let output = command.args(more).output().unwrap();
        assert!(output.status.success(), "{}", crate::stderr(&output));
        crate::stderr(&output)
    }

    /// Removes every landing and every build that nothing names, so that the next guest needs a landing again.
    ///
    /// # Panics
    /// If a build stays.
    pub fn forget_firmware(&self) {
        for landing in self.json(&["store", "landings"])["landings"].as_array().unwrap() {
            let _ = self.json(&["store", "forget", landing["id"].as_str().unwrap()]);
        }
        for build in self.builds() {
            let _ = self.json(&["store", "unpin", &build]);
        }
        let collected = self.json(&["store", "gc"]);
        assert!(self.builds().is_empty(), "{collected}");
    }

    /// The landings of guests whose firmware has not arrived.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let landings = self.json(&["store", "landings"]);
        let landings = landings["landings"].as_array().unwrap().iter();
        landings.filter(|entry| entry["placeholder"] == true).count()
    }

    /// Adopts a domain.
    ///
    /// # Panics
    /// If Flashmoor refuses.
    pub fn adopt(&self, domain: &str) {
        let mut command = self.flashmoor();
        command.args(["--json", "libvirt", "adopt", domain, "--connect", &self.uri()]);
        let _ = document(&command.output().unwrap());
    }

    /// The CODE that a guest here really runs, as `flashmoor ps` sees it.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn running_code(&self, domain: &str) -> String {
        let output = self
            .flashmoor()
            .args(["--json", "offer", domain])
            .output()
            .unwrap();
        document(&output)["code"]["sha256"].as_str().unwrap().to_owned()
    }
}
