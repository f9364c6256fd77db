//! Three real etcd processes on loopback.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Three members and their folder; they end with it.
pub(crate) struct Cluster {
    members: Vec<Member>,
    peers: String,
    folder: tempfile::TempDir,
}

struct Member {
    name: String,
    client: u16,
    peer: u16,
    process: Option<Child>,
}

fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
        .collect();
    held.iter()
        .map(|listener| listener.local_addr().expect("an address").port())
        .collect()
}

impl Cluster {
    /// Starts three members and waits until each serves.
    pub(crate) fn start() -> Self {
        let ports = free_ports(6);
        let members: Vec<Member> = (0..3)
            .map(|number| Member {
                name: format!("m{number}"),
                client: ports[number * 2],
                peer: ports[number * 2 + 1],
                process: None,
            })
            .collect();
        let peers: Vec<String> = members
            .iter()
            .map(|member| format!("{}=http://127.0.0.1:{}", member.name, member.peer))
            .collect();
        let mut cluster = Self {
            members,
            peers: peers.join(","),
            folder: tempfile::tempdir().expect("a folder"),
        };
        // None serves before two are there.
        let waits: Vec<_> = (0..3).map(|number| cluster.spawn(number, "new")).collect();
        waits.into_iter().for_each(serves);
        cluster
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|member| format!("http://127.0.0.1:{}", member.client))
            .collect()
    }

    /// Kills a member without a warning.
    pub(crate) fn kill(&mut self, number: usize) {
        if let Some(mut process) = self.members[number].process.take() {
            process.kill().expect("killed");
            process.wait().expect("ended");
        }
    }

    /// Starts a member that was killed, on what it had written.
    pub(crate) fn restart(&mut self, number: usize) {
        serves(self.spawn(number, "existing"));
    }

    fn spawn(&mut self, number: usize, state: &str) -> BufReader<std::process::ChildStderr> {
        let data: PathBuf = self.folder.path().join(&self.members[number].name);
        let member = &mut self.members[number];
        let client = format!("http://127.0.0.1:{}", member.client);
        let peer = format!("http://127.0.0.1:{}", member.peer);
        let mut process = Command::new("etcd")
            .args(["--name", &member.name, "--data-dir"])
            .arg(data)
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &self.peers, "--initial-cluster-state", state])
            .args([
                "--logger",
                "zap",
                "--log-outputs",
                "stderr",
                "--snapshot-count",
                "10000",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("etcd starts; Debian's package is etcd-server");
        let log = process.stderr.take().expect("its log");
        member.process = Some(process);
        BufReader::new(log)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for number in 0..self.members.len() {
            self.kill(number);
        }
    }
}

/// Reads a member's log until it serves, and the rest of it on a thread, so that it never blocks.
fn serves(log: BufReader<std::process::ChildStderr>) {
    let mut lines = log.lines();
    let mut seen = String::new();
    loop {
        let Some(Ok(line)) = lines.next() else {
            panic!("etcd ended before it served:\n{seen}");
        };
        if line.contains("serving client") || line.contains("serving insecure client") {
            break;
        }
        seen.push_str(&line);
        seen.push('\n');
    }
    std::thread::spawn(move || lines.for_each(drop));
}
