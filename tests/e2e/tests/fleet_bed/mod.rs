//! A server and hosts, each with a store of its own.
#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]

mod wire;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use fm_e2e::{Bench, document, flashmoor, stderr};
use fm_formats::Sha256;

pub(crate) use wire::Wire;

/// A fleet with its server's process.
pub(crate) struct Fleet {
    pub(crate) bench: Bench,
    pub(crate) url: String,
    server: Child,
    adjust: Adjust,
    administrator: PathBuf,
}

/// What is done to the server's command before it starts.
pub(crate) type Adjust = Box<dyn Fn(Command) -> Command>;

impl Fleet {
    /// Starts a server on a free port of this machine.
    pub(crate) fn start() -> Self {
        Self::start_with(Box::new(|command| command))
    }

    /// The same with another command.
    pub(crate) fn start_with(adjust: Adjust) -> Self {
        let bench = Bench::new();
        let (server, url) = serve(&bench.path("controller"), "127.0.0.1:0", &adjust);
        Self {
            administrator: bench.path("controller/server/administrator"),
            bench,
            url,
            server,
            adjust,
        }
    }

    /// Starts the server again, after its end, where it was.
    pub(crate) fn restart_server(&mut self) {
        let listen = self.url.trim_start_matches("https://").to_owned();
        let (server, url) = serve(&self.bench.path("controller"), &listen, &self.adjust);
        assert_eq!(url, self.url);
        self.server = server;
    }

    /// The administrator's identity.
    pub(crate) fn administrator(&self) -> PathBuf {
        self.administrator.clone()
    }

    /// Where the administrator's identity is from now on.
    pub(crate) fn ask_from_now_on_as(&mut self, identity: &Path) {
        self.administrator = identity.to_owned();
    }

    /// The server's process.
    pub(crate) fn server_pid(&self) -> u32 {
        self.server.id()
    }

    /// A host's.
    pub(crate) fn host_identity(&self, host: &str) -> PathBuf {
        self.bench.path(&format!("{host}/fleet"))
    }

    /// Asks as the administrator.
    pub(crate) fn ask(&self, words: &[&str]) -> Output {
        self.ask_as(&self.administrator(), words)
    }

    /// Asks as somebody.
    pub(crate) fn ask_as(&self, identity: &std::path::Path, words: &[&str]) -> Output {
        let mut command = flashmoor();
        command.arg("--store").arg(self.bench.path("nobody"));
        command.arg("fleet").args(words);
        command.arg("--identity").arg(identity).args(["--url", &self.url]);
        command.output().expect("the program runs")
    }

    /// A token, made with these options.
    pub(crate) fn token(&self, options: &[&str]) -> String {
        let made = document(&self.ask(&[&["token", "--json"], options].concat()));
        made["text"].as_str().expect("its text").to_owned()
    }

    /// The program with a host's store.
    pub(crate) fn host(&self, host: &str) -> Command {
        let mut command = flashmoor();
        command.arg("--store").arg(self.bench.path(host));
        command
    }

    /// Lets a host join with a token of its own.
    pub(crate) fn join(&self, host: &str) {
        let joined = self.try_join(host, &self.token(&[]));
        assert!(joined.status.success(), "{}", stderr(&joined));
    }

    /// Lets a host try.
    pub(crate) fn try_join(&self, host: &str, token: &str) -> Output {
        self.try_join_as(host, host, token)
    }

    /// Lets a host join a server that it reaches by another address.
    pub(crate) fn join_at(&self, host: &str, url: &str) {
        let mut command = self.host(host);
        command.args(["agent", "join", url, "--token", &self.token(&[]), "--name", host]);
        let joined = command.output().expect("the program runs");
        assert!(joined.status.success(), "{}", stderr(&joined));
    }

    /// The same under another name.
    pub(crate) fn try_join_as(&self, host: &str, name: &str, token: &str) -> Output {
        let mut command = self.host(host);
        command.args(["agent", "join", "--token", token, "--name", name]);
        command.output().expect("the program runs")
    }

    /// Lets a host look once and report.
    pub(crate) fn agent(&self, host: &str) {
        // Guests of other tests come and go, so that its status says nothing.
        let said = stderr(&self.agent_output(host));
        assert!(said.contains("knows this host"), "{said}");
    }

    /// The same, whatever comes of it.
    pub(crate) fn agent_output(&self, host: &str) -> Output {
        let mut command = self.host(host);
        // No libvirt of this machine's has to do with it.
        command.args(["agent", "--once", "--connect", "test:///default"]);
        command.output().expect("the program runs")
    }

    /// An agent of a host that goes on until it is dropped; the fleet has heard of it.
    pub(crate) fn running_agent(&self, host: &str) -> Agent {
        Self::agent_of(self.host(host))
    }

    /// The same of a command that says only whose it is.
    pub(crate) fn agent_of(mut command: Command) -> Agent {
        command.args(["agent", "--connect", "test:///default", "--interval", "1"]);
        let mut agent = Agent(command.stderr(Stdio::piped()).spawn().expect("the agent starts"));
        let mut said = BufReader::new(agent.0.stderr.take().expect("its log"));
        let mut line = String::new();
        while !line.contains("knows this host") {
            line.clear();
            let read = said.read_line(&mut line).expect("its log");
            assert!(read > 0, "the agent ended");
        }
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        agent
    }

    /// The same of an agent that gives builds to other hosts, and where.
    pub(crate) fn giving_agent(&self, host: &str) -> (Agent, String) {
        let mut command = self.host(host);
        command.args([
            "agent",
            "--connect",
            "test:///default",
            "--peers-listen",
            "127.0.0.1:0",
        ]);
        let mut agent = Agent(command.stderr(Stdio::piped()).spawn().expect("the agent starts"));
        let mut said = BufReader::new(agent.0.stderr.take().expect("its log"));
        let address = loop {
            let mut line = String::new();
            let read = said.read_line(&mut line).expect("its log");
            assert!(read > 0, "the agent ended");
            if let Some((_, at)) = line.split_once("https://") {
                break at.trim().to_owned();
            }
        };
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        (agent, address)
    }

    /// Runs the program with a host's store.
    pub(crate) fn flashmoor(&self, host: &str, words: &[&str]) -> Output {
        self.host(host).args(words).output().expect("the program runs")
    }

    /// What libvirt's hook answers on a host.
    pub(crate) fn hook(&self, host: &str, operation: &str, xml: &str) -> String {
        let file = self.bench.path("domain.xml");
        std::fs::write(&file, xml).expect("written");
        let mut command = self.host(host);
        command.args([
            "libvirt",
            "hook",
            "--deadline-ms",
            "60000",
            "web",
            operation,
            "begin",
            "-",
        ]);
        let done = command.stdin(std::fs::File::open(file).expect("read")).output();
        let done = done.expect("the program runs");
        assert!(done.status.success(), "{}", stderr(&done));
        String::from_utf8(done.stdout).expect("text")
    }

    /// Ends the server, as a power cut would.
    pub(crate) fn end_server(&mut self) {
        self.server.kill().expect("killed");
        self.server.wait().expect("ended");
    }

    /// A build that no guest of another test runs: its own mark is where firmware has nothing.
    pub(crate) fn own_build(&self, name: &str) -> (PathBuf, Sha256) {
        let mut code = fm_fixtures::bytes("bookworm/OVMF_CODE.fd");
        let path = self.bench.path(name);
        let mark = path.display().to_string();
        let is_free = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0xff);
        let free = code.windows(512).position(is_free).expect("padding") + 64;
        code[free..free + mark.len()].copy_from_slice(mark.as_bytes());
        std::fs::write(&path, &code).expect("written");
        (path, Sha256::of(&code))
    }

    /// A blob of the server's layout.
    pub(crate) fn server_blob(&self, digest: &str) -> Vec<u8> {
        let path = format!("controller/server/builds/blobs/sha256/{digest}");
        std::fs::read(self.bench.path(&path)).expect("the blob")
    }

    /// Lets a host claim to be another one.
    pub(crate) fn rename_identity(&self, host: &str, name: &str) {
        let path = self.host_identity(host).join("fleet.json");
        let text = std::fs::read_to_string(&path).expect("its identity");
        let mut identity: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        identity["name"] = name.into();
        std::fs::write(&path, identity.to_string()).expect("written");
    }
}

/// A command of a host that nothing runs on: it sees no process of this machine's.
pub(crate) fn alone(inner: &Command) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    command.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Starts a server, and waits until it says where it listens.
pub(crate) fn serve(store: &Path, listen: &str, adjust: &Adjust) -> (Child, String) {
    let mut command = flashmoor();
    command
        .arg("--store")
        .arg(store)
        .args(["serve", "--listen", listen]);
    let mut server = adjust(command)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut said = BufReader::new(server.stderr.take().expect("its log"));
    let address = loop {
        let mut line = String::new();
        let read = said.read_line(&mut line).expect("its log");
        assert!(read > 0, "the server ended");
        if let Some(at) = line.find("https://") {
            break line[at..].trim().to_owned();
        }
    };
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    (server, address)
}

/// An agent that runs, or a second server.
pub(crate) struct Agent(Child);

impl Agent {
    pub(crate) fn of(process: Child) -> Self {
        Self(process)
    }

    /// Ends it, as a power cut would.
    pub(crate) fn end(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("ended");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The XML of an adopted domain with this build.
pub(crate) fn arrival(build: &str, code_bytes: usize, loader: &std::path::Path) -> String {
    format!(
        "<domain><name>web</name><uuid>6d2b0f4e-33f1-4a51-9a43-2f2a3b8f1c03</uuid><metadata><f:firmware \
         xmlns:f='https://github.com/flashmoor/flashmoor/libvirt/1' build='sha256:{build}' \
         code-bytes='{code_bytes}'/></metadata><resource><partition>/machine</partition></resource><os>\
         <loader type='pflash'>{}</loader></os></domain>",
        loader.display()
    )
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
