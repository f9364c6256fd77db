//! Which files a command line puts into the flash units, through drives and the block graph.

use serde_json::Value;

use super::keyval::{Options, is_on};

/// Filters and formats stand on one another; QEMU's own limits are far below this.
const MAX_GRAPH_DEPTH_COUNT: usize = 32;

/// A flash unit as the command line describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlashArgument {
    /// 0 is CODE, 1 is VARS.
    pub unit: u32,
    /// The path of its file, if it lies in one.
    pub path: Option<String>,
    /// Where it lies, in words, for whatever is no file: `rbd:pool/image`.
    pub location: String,
    /// The format, if the command line says one; QEMU probes otherwise.
    pub format: Option<String>,
    /// Whether the guest can't write to it.
    pub read_only: bool,
    /// Whether what the guest writes to it is dropped when QEMU ends (`snapshot=on`, `-snapshot`).
    pub is_snapshot: bool,
    /// The drive's id or the block node's name.
    pub node: String,
}

impl FlashArgument {
    fn lies_in(&mut self, path: &str) {
        self.path = Some(path.to_owned());
        path.clone_into(&mut self.location);
    }
}

/// Everything on a command line that can become flash.
#[derive(Debug, Default)]
pub(super) struct FlashSources {
    drives: Vec<Options>,
    nodes: Vec<Value>,
    /// `-snapshot`, which goes for drives and not for nodes.
    pub(super) snapshot: bool,
}

impl FlashSources {
    /// `-drive` or a `[drive]` section.
    pub(super) fn drive(&mut self, options: Options) {
        self.drives.push(options);
    }

    /// `-pflash FILE`: the whole text is the file's name, commas and all.
    pub(super) fn pflash(&mut self, file: &str) {
        let mut options = Options::default();
        options.push("if", "pflash");
        options.push("file", file);
        self.drives.push(options);
    }

    /// `-blockdev`, in JSON or as options.
    pub(super) fn blockdev(&mut self, text: &str) {
        if text.trim_start().starts_with('{') {
            self.nodes.extend(serde_json::from_str::<Value>(text));
        } else {
            self.nodes.push(Options::parse(text, Some("driver")).to_object());
        }
    }

    /// The units, ascending. A unit named twice is kept once: QEMU would have refused it.
    pub(super) fn resolve(&self, machine: &Options) -> Vec<FlashArgument> {
        let mut units: Vec<FlashArgument> = Vec::new();
        let flash_drives = self
            .drives
            .iter()
            .filter(|drive| drive.get("if") == Some("pflash"));
        for drive in flash_drives {
            let written = drive.get("unit").or_else(|| drive.get("index"));
            let unit = match written {
                Some(unit) => unit.parse().ok(),
                None => (0u32..).find(|unit| units.iter().all(|taken| taken.unit != *unit)),
            };
            if let Some(unit) = unit {
                let fallback = format!("pflash{unit}");
                let node = drive.get("id").or_else(|| drive.get("node-name"));
                units.push(self.driven(drive, unit, node.unwrap_or(&fallback)));
            }
        }
        for (key, node) in machine.iter() {
            let Some(unit) = key.strip_prefix("pflash").and_then(|unit| unit.parse().ok()) else {
                continue;
            };
            units.retain(|known| known.unit != unit);
            units.push(self.named(node, unit));
        }
        units.sort_by_key(|unit| unit.unit);
        units.dedup_by_key(|unit| unit.unit);
        units
    }

    /// `pflash0=NAME`: a node of `-blockdev`, or a `-drive if=none` of that id.
    fn named(&self, name: &str, unit: u32) -> FlashArgument {
        let drive = self
            .drives
            .iter()
            .find(|drive| drive.get("id") == Some(name) || (drive.get("node-name") == Some(name)));
        match drive {
            Some(drive) => self.driven(drive, unit, name),
            None => self.follow(&Value::String(name.to_owned()), unit, name),
        }
    }

    fn driven(&self, drive: &Options, unit: u32, node: &str) -> FlashArgument {
        let mut object = drive.to_object();
        if let Some(file) = drive.get("file") {
            object["file"] = filename_to_node(file);
        }
        let mut flash = self.follow(&object, unit, node);
        flash.format = drive
            .get("format")
            .or_else(|| drive.get("driver"))
            .map(str::to_owned)
            // without a word QEMU probes what the file holds
            .or(flash
                .format
                .filter(|format| drive.get("file").is_none() && format != "raw"));
        flash.read_only = drive.is_on("readonly") || drive.is_on("read-only");
        flash.is_snapshot = match drive.get("snapshot") {
            Some(_) => drive.is_on("snapshot"),
            None => self.snapshot,
        };
        flash
    }

    /// Follows a node down to what stores it. The first driver that is a format names the format.
    fn follow(&self, start: &Value, unit: u32, name: &str) -> FlashArgument {
        let mut flash = FlashArgument {
            unit,
            path: None,
            location: name.to_owned(),
            format: None,
            read_only: false,
            is_snapshot: false,
            node: name.to_owned(),
        };
        let mut at = start;
        for _ in 0..MAX_GRAPH_DEPTH_COUNT {
            if let Value::String(name) = at {
                let named = |node: &&Value| node["node-name"] == name.as_str();
                match self.nodes.iter().find(named) {
                    Some(node) => at = node,
                    None => break,
                }
                continue;
            }
            flash.read_only |= match &at["read-only"] {
                Value::Bool(on) => *on,
                Value::String(text) => is_on(text),
                _ => false,
            };
            let driver = at["driver"].as_str().unwrap_or_default();
            match driver {
                "throttle" | "copy-on-read" | "compress" | "preallocate" | "snapshot-access" => {}
                "file" | "host_device" => {
                    flash.format.get_or_insert_with(|| "raw".to_owned());
                    if let Some(path) = at["filename"].as_str() {
                        flash.lies_in(path);
                    }
                    break;
                }
                // a name without a driver is what `file=` takes (QEMU `block.c`, `bdrv_fill_options`)
                "" if at["file"].is_null() && at["filename"].is_string() => {
                    let node = filename_to_node(at["filename"].as_str().unwrap_or_default());
                    match node["filename"].as_str() {
                        Some(path) => flash.lies_in(path),
                        None => flash.location = remote(node["driver"].as_str().unwrap_or_default(), &node),
                    }
                    break;
                }
                _ if at["file"].is_null() => {
                    flash.location = remote(driver, at);
                    break;
                }
                "" => {}
                format => {
                    flash.format.get_or_insert_with(|| format.to_owned());
                }
            }
            at = &at["file"];
        }
        flash
    }
}

/// What `file=` of a drive means: a path, `file:PATH`, `json:{…}`, or a protocol of QEMU's.
fn filename_to_node(file: &str) -> Value {
    if let Some(json) = file.strip_prefix("json:") {
        return serde_json::from_str(json).unwrap_or(Value::Null);
    }
    let path = file.strip_prefix("file:").unwrap_or(file);
    let protocol = path
        .split_once(':')
        .map(|(protocol, _)| protocol)
        .filter(|protocol| !protocol.is_empty() && !protocol.contains('/'));
    match protocol {
        Some(protocol) => serde_json::json!({ "driver": protocol, "uri": path }),
        None => serde_json::json!({ "driver": "file", "filename": path }),
    }
}

fn remote(driver: &str, node: &Value) -> String {
    let part = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
    match (driver, node["uri"].as_str()) {
        (_, Some(uri)) => uri.to_owned(),
        ("rbd", None) => format!("rbd:{}/{}", part("pool"), part("image")),
        ("", None) => "nowhere that the command line says".to_owned(),
        (driver, None) => format!("{driver}:{}", part("path")),
    }
}
