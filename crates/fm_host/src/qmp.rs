//! A small QMP client: one command at a time, every wait bounded, unknown events kept and harmless.
//!
//! Source of the protocol: QEMU `docs/interop/qmp-spec.rst`. What comes from QEMU is not trusted: a
//! line has a length limit, a reply a deadline, and anything that is not the protocol is an error
//! that names what was expected.

pub mod commands;
mod events;
mod words;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fm_remedy::{Failure, Remedy};
use serde_json::{Map, Value, json};

use self::commands::Command;
use self::events::Events;
pub use self::words::{MigrationStatus, RunState};

/// Longest line taken from QEMU, in bytes. `query-qmp-schema`, the largest reply, is below 1 MiB.
const MAX_LINE_BYTES: usize = 1 << 20;

/// What can go wrong between us and a QMP server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The socket cannot be opened.
    #[error("cannot connect to the QMP socket {}", socket.display())]
    Connect {
        /// The socket's path.
        socket: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The server accepted the connection and stays silent, as QEMU does while it serves another client.
    #[error("the QMP socket {} does not greet: another client seems to hold it", socket.display())]
    Busy {
        /// The socket's path.
        socket: PathBuf,
    },
    /// No reply within the time allowed.
    #[error("no reply to `{command}` from {} within {} ms", socket.display(), timeout.as_millis())]
    Timeout {
        /// The socket's path.
        socket: PathBuf,
        /// What was asked.
        command: String,
        /// How long we waited.
        timeout: Duration,
    },
    /// The connection ended, usually because QEMU did.
    #[error("QEMU at {} closed the connection during `{command}`", socket.display())]
    Closed {
        /// The socket's path.
        socket: PathBuf,
        /// What was asked.
        command: String,
    },
    /// The connection broke.
    #[error("the connection to {} broke during `{command}`", socket.display())]
    Io {
        /// The socket's path.
        socket: PathBuf,
        /// What was asked.
        command: String,
        /// The system's reason.
        source: io::Error,
    },
    /// What came is not QMP.
    #[error("{} does not speak QMP during `{command}`: {why}", socket.display())]
    Protocol {
        /// The socket's path.
        socket: PathBuf,
        /// What was asked.
        command: String,
        /// What was wrong with it.
        why: String,
    },
    /// QEMU understood the command and refused it.
    #[error("QEMU refuses `{command}`: {description}")]
    Refused {
        /// What was asked.
        command: String,
        /// QEMU's error class, such as `GenericError`.
        class: String,
        /// QEMU's own words.
        description: String,
    },
}

impl Failure for Error {
    fn remedy(&self) -> Option<Remedy> {
        Some(
            match self {
                Self::Connect { .. } => "check the path, and that you may open the socket",
                Self::Busy { .. } => {
                    "a QMP socket serves one client at a time: disconnect the other one, or give QEMU a second `-qmp` \
                     socket"
                }
                Self::Timeout { .. } => "look whether that QEMU is stopped or overloaded, then try again",
                Self::Closed { .. } | Self::Io { .. } => "look into that QEMU's log",
                Self::Protocol { .. } => {
                    "check that the socket is a QMP monitor (`-qmp`), not a human one or a serial line"
                }
                Self::Refused { .. } => return None,
            }
            .into(),
        )
    }
}

/// An asynchronous event, as QEMU sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name, such as `MIGRATION`.
    pub name: String,
    /// Its data, an empty object where it has none.
    pub data: Value,
}

impl Event {
    /// The state of the migration, if that is what it tells.
    #[must_use]
    pub fn migration_status(&self) -> Option<MigrationStatus> {
        let status = self.data.get("status").and_then(Value::as_str);
        status.filter(|_| self.name == "MIGRATION").map(Into::into)
    }
}

/// QEMU's version triple.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// First number, such as 7 of 7.2.22.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub micro: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// A connection to one QEMU's monitor, past the handshake.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    stream: UnixStream,
    buffer: Vec<u8>,
    /// Bytes at the start of `buffer` that are known to hold no line end.
    searched: usize,
    events: Events,
    timeout: Duration,
    version: Version,
    /// Whether QEMU takes commands while its main loop stands.
    out_of_band: bool,
    next_id: u64,
}

impl Client {
    /// Connects, reads the greeting and leaves negotiation mode. `timeout` bounds this and, until
    /// [`Client::set_timeout`], every later command.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Busy`] where the greeting stays away, and what [`Client::execute`] returns.
    pub fn connect(socket: &Path, timeout: Duration) -> Result<Self, Error> {
        let (mut client, _) = Self::greet(socket, timeout)?;
        client.execute("qmp_capabilities", None)?;
        Ok(client)
    }

    /// The same, for [`Client::execute_out_of_band`].
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_out_of_band(socket: &Path, timeout: Duration) -> Result<Self, Error> {
        let (mut client, greeting) = Self::greet(socket, timeout)?;
        let offered = greeting
            .pointer("/QMP/capabilities")
            .and_then(Value::as_array)
            .is_some_and(|offered| offered.iter().any(|name| name == "oob"));
        let enable: &[&str] = if offered { &["oob"] } else { &[] };
        client.execute("qmp_capabilities", Some(json!({ "enable": enable })))?;
        client.out_of_band = offered;
        Ok(client)
    }

    /// Connects and reads the greeting.
    fn greet(socket: &Path, timeout: Duration) -> Result<(Self, Value), Error> {
        let stream = UnixStream::connect(socket).map_err(|source| Error::Connect {
            socket: socket.to_owned(),
            source,
        })?;
        let mut client = Self {
            socket: socket.to_owned(),
            stream,
            buffer: Vec::new(),
            searched: 0,
            events: Events::default(),
            timeout,
            version: Version {
                major: 0,
                minor: 0,
                micro: 0,
            },
            out_of_band: false,
            next_id: 0,
        };
        let greeting = client
            .message(Instant::now() + timeout, "greeting")
            .map_err(|error| match error {
                Error::Timeout { socket, .. } => Error::Busy { socket },
                other => other,
            })?;
        client.version = version_of(&greeting)
            .ok_or_else(|| client.protocol("greeting", "the first message has no QMP version in it"))?;
        Ok((client, greeting))
    }

    /// The version that the greeting named.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The socket this is connected to.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The connection itself, to ask the system who is at its other end.
    pub(crate) const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Bounds every later command.
    pub const fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Bounds every later command by `timeout`, if it was not bounded by less.
    pub fn limit_timeout(&mut self, timeout: Duration) {
        self.timeout = self.timeout.min(timeout);
    }

    /// Runs one command and returns its `return` value.
    ///
    /// # Errors
    /// [`Error::Refused`] with QEMU's words; the others if there was no proper reply in time.
    pub fn execute(&mut self, command: &str, arguments: Option<Value>) -> Result<Value, Error> {
        self.run("execute", command, arguments)
    }

    /// Runs a command that QEMU also takes while its main loop stands, as it may when a page of memory is awaited;
    /// in turn with the others where that was not agreed on. Source: QEMU `docs/interop/qmp-spec.rst`.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub fn execute_out_of_band(&mut self, command: &str, arguments: Option<Value>) -> Result<Value, Error> {
        let how = if self.out_of_band { "exec-oob" } else { "execute" };
        self.run(how, command, arguments)
    }

    /// Gives a command whose arguments and reply are typed.
    ///
    /// # Errors
    /// As [`Client::execute`], and [`Error::Protocol`] for a reply of another form.
    pub fn ask<C: Command>(&mut self, command: &C) -> Result<C::Reply, Error> {
        self.run_typed("execute", command)
    }

    /// The same as [`Client::execute_out_of_band`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_out_of_band<C: Command>(&mut self, command: &C) -> Result<C::Reply, Error> {
        let how = if self.out_of_band { "exec-oob" } else { "execute" };
        self.run_typed(how, command)
    }

    fn run_typed<C: Command>(&mut self, how: &str, command: &C) -> Result<C::Reply, Error> {
        let arguments = serde_json::to_value(command)
            .map_err(|error| self.protocol(C::NAME, &format!("the arguments cannot be written: {error}")))?;
        let reply = self.run(how, C::NAME, (!arguments.is_null()).then_some(arguments))?;
        serde_json::from_value(reply)
            .map_err(|error| self.protocol(C::NAME, &format!("the reply is of another form: {error}")))
    }

    fn run(&mut self, how: &str, command: &str, arguments: Option<Value>) -> Result<Value, Error> {
        self.next_id = self.next_id.wrapping_add(1);
        let id = json!(self.next_id);
        let mut request = Map::new();
        request.insert(how.into(), command.into());
        if let Some(arguments) = arguments {
            request.insert("arguments".into(), arguments);
        }
        request.insert("id".into(), id.clone());
        let deadline = Instant::now() + self.timeout;
        self.send(&Value::Object(request), command, deadline)?;
        loop {
            let mut reply = self.message(deadline, command)?;
            // A reply to an earlier command that timed out may still arrive; its id tells it apart.
            if reply.get("id").is_some_and(|other| *other != id) {
                continue;
            }
            if let Some(error) = reply.get("error") {
                let text = |key: &str| {
                    error
                        .get(key)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                return Err(Error::Refused {
                    command: command.to_owned(),
                    class: text("class"),
                    description: text("desc"),
                });
            }
            match reply.get_mut("return") {
                Some(value) => return Ok(value.take()),
                None => return Err(self.protocol(command, "the message is neither reply, error nor event")),
            }
        }
    }

    /// Runs a command of the human monitor and returns what it prints.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub fn human(&mut self, command_line: &str) -> Result<String, Error> {
        let reply = self.execute(
            "human-monitor-command",
            Some(json!({ "command-line": command_line })),
        )?;
        reply
            .as_str()
            .map(ToOwned::to_owned)
            .ok_or_else(|| self.protocol("human-monitor-command", "the reply is not text"))
    }

    /// The next event, waiting for one until `deadline`; nothing if none came.
    ///
    /// # Errors
    /// If the connection ends or speaks no QMP.
    pub fn event(&mut self, deadline: Instant) -> Result<Option<Event>, Error> {
        while self.events.is_empty() {
            match self.message(deadline, "events") {
                Ok(_) => {} // the late reply of a command that timed out
                Err(Error::Timeout { .. }) => return Ok(None),
                // `message` keeps events and goes on, so it returns here only with replies
                Err(other) => return Err(other),
            }
        }
        Ok(self.events.next())
    }

    /// The events that have arrived so far, without waiting.
    pub fn drain_events(&mut self) -> Vec<Event> {
        self.events.drain()
    }

    fn send(&mut self, request: &Value, command: &str, deadline: Instant) -> Result<(), Error> {
        let mut line = request.to_string().into_bytes();
        line.push(b'\n');
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        let written = self
            .stream
            .set_write_timeout(Some(left))
            .and_then(|()| self.stream.write_all(&line));
        written.map_err(|source| match source.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => self.closed(command),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.timed_out(command),
            _ => Error::Io {
                socket: self.socket.clone(),
                command: command.to_owned(),
                source,
            },
        })
    }

    /// The next message that is no event; events on the way are kept. Returns early when called for
    /// `events` and one has been kept.
    fn message(&mut self, deadline: Instant, command: &str) -> Result<Value, Error> {
        loop {
            let line = self.line(deadline, command)?;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let mut message: Value = serde_json::from_slice(&line)
                .map_err(|error| self.protocol(command, &format!("malformed JSON: {error}")))?;
            if !message.is_object() {
                return Err(self.protocol(command, "the message is not an object"));
            }
            let Some(name) = message.get("event").and_then(Value::as_str) else {
                return Ok(message);
            };
            let name = name.to_owned();
            let data = message.get_mut("data").map_or_else(|| json!({}), Value::take);
            self.events.keep(Event { name, data }, line.len());
            if command == "events" {
                return Ok(Value::Null);
            }
        }
    }

    /// The next line without its end.
    fn line(&mut self, deadline: Instant, command: &str) -> Result<Vec<u8>, Error> {
        loop {
            let fresh = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=self.searched + at).collect();
                line.pop();
                self.searched = 0;
                return Ok(line);
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > MAX_LINE_BYTES {
                let why = format!("a line is longer than {MAX_LINE_BYTES} bytes");
                return Err(self.protocol(command, &why));
            }
            self.fill(deadline, command)?;
        }
    }

    fn fill(&mut self, deadline: Instant, command: &str) -> Result<(), Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.timed_out(command));
        }
        let mut chunk = [0; 16 << 10];
        let read = self
            .stream
            .set_read_timeout(Some(left))
            .and_then(|()| self.stream.read(&mut chunk));
        match read {
            Ok(0) => Err(self.closed(command)),
            Ok(len) => {
                self.buffer
                    .extend_from_slice(chunk.get(..len).unwrap_or_default());
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err(self.timed_out(command)),
                io::ErrorKind::ConnectionReset => Err(self.closed(command)),
                _ => Err(Error::Io {
                    socket: self.socket.clone(),
                    command: command.to_owned(),
                    source: error,
                }),
            },
        }
    }

    fn timed_out(&self, command: &str) -> Error {
        Error::Timeout {
            socket: self.socket.clone(),
            command: command.to_owned(),
            timeout: self.timeout,
        }
    }

    fn closed(&self, command: &str) -> Error {
        Error::Closed {
            socket: self.socket.clone(),
            command: command.to_owned(),
        }
    }

    fn protocol(&self, command: &str, why: &str) -> Error {
        Error::Protocol {
            socket: self.socket.clone(),
            command: command.to_owned(),
            why: why.to_owned(),
        }
    }
}

fn version_of(greeting: &Value) -> Option<Version> {
    let numbers = greeting.get("QMP")?.get("version")?.get("qemu")?;
    let number = |key: &str| u32::try_from(numbers.get(key)?.as_u64()?).ok();
    Some(Version {
        major: number("major")?,
        minor: number("minor")?,
        micro: number("micro")?,
    })
}

#[cfg(test)]
mod tests;
