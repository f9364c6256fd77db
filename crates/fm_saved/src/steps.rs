//! The steps of a restore, in words that QEMU, its monitor and `virsh` take as they are.

use std::path::Path;

use fm_files::quote;
use fm_stream::{Block, BlockKind};

use crate::snapshot::holds_vars;
use crate::stream::{Container, Gathered};

/// What to run, in order: `code` and `vars` are in place.
pub(super) fn steps(gathered: &Gathered, path: &Path, code: &Path, vars: Option<&Path>) -> Vec<String> {
    let path_word = path.display().to_string();
    let quoted = quote(&path_word);
    match &gathered.container {
        Container::SaveImage { .. } => vec![
            format!("flashmoor saved adopt {quoted}"),
            format!("virsh restore {quoted}"),
        ],
        Container::Snapshot { chosen, .. } => {
            let name = quote(&chosen.name);
            let own = gathered
                .first_of(BlockKind::Vars)
                .filter(|index| holds_vars(gathered, *index))
                .map(|_| path_word);
            // Every writable drive must have the snapshot, so VARS gets one that says just what is in it.
            let made = vars.map(|vars| format!("{}.qcow2", vars.display()));
            let mut steps = Vec::new();
            if let (Some(vars), Some(made)) = (vars, &made) {
                let vars = quote(&vars.display().to_string());
                let made = quote(made);
                steps.push(format!("qemu-img convert -f raw -O qcow2 {vars} {made}"));
                steps.push(format!("qemu-img snapshot -c {name} {made}"));
            }
            let vars = own.or(made).map(|vars| drive(1, "qcow2", &vars));
            let first = match steps.is_empty() {
                true => ",",
                false => ", its disk before the flash,",
            };
            let words = words(gathered, code, vars, &format!("-loadvm {name}"));
            steps.push(format!(
                "start QEMU as the guest was started{first} with: {words}"
            ));
            steps
        }
        Container::Stream if !gathered.channels.is_empty() => {
            let mut steps = incoming(gathered, code, vars, None);
            steps.push(
                "replay the channels to it as they were captured: QEMU reads multifd from sockets only"
                    .into(),
            );
            steps
        }
        Container::Stream if gathered.facts.blocks.iter().any(is_mapped) => {
            let offset = match gathered.offset {
                0 => String::new(),
                offset => format!(",offset={offset}"),
            };
            incoming(gathered, code, vars, Some(format!("file:{path_word}{offset}")))
        }
        Container::Stream => {
            let read = match gathered.offset {
                0 => "cat".to_owned(),
                offset => format!("tail -c +{}", offset + 1),
            };
            incoming(gathered, code, vars, Some(format!("exec:{read} {quoted}")))
        }
        Container::Compressed(program) => {
            incoming(gathered, code, vars, Some(format!("exec:{program} -dc {quoted}")))
        }
    }
}

/// Starts QEMU and has it read the stream from `uri`, with the capabilities that the stream was made with.
fn incoming(gathered: &Gathered, code: &Path, vars: Option<&Path>, uri: Option<String>) -> Vec<String> {
    let facts = &gathered.facts;
    let shared: Vec<&str> = facts
        .blocks
        .iter()
        .filter(|block| block.guest_address.is_some() && block.pages == <_>::default())
        .map(|block| block.name.as_str())
        .collect();
    let capabilities = [
        ("mapped-ram", facts.blocks.iter().any(is_mapped)),
        (
            "x-ignore-shared",
            facts.blocks.iter().any(|block| block.guest_address.is_some()),
        ),
        ("postcopy-ram", facts.postcopy),
        ("multifd", !gathered.channels.is_empty()),
    ];
    let needed: Vec<&str> = capabilities
        .into_iter()
        .filter_map(|(name, is_needed)| is_needed.then_some(name))
        .collect();
    let vars = vars.map(|vars| drive(1, "raw", &vars.display().to_string()));
    let start = match shared.as_slice() {
        [] => "start QEMU as the guest was started, with: ".to_owned(),
        shared => format!(
            "start QEMU as the guest was started, on the same file of shared memory ({}), with: ",
            shared.join(", ")
        ),
    };
    if let (Some(uri), []) = (&uri, needed.as_slice()) {
        let words = words(gathered, code, vars, &format!("-incoming {}", quote(uri)));
        return vec![start + &words];
    }
    let mut steps = vec![start + &words(gathered, code, vars, "-incoming defer")];
    let monitor = |command: String| format!("in its monitor: {command}");
    steps.extend(
        needed
            .iter()
            .map(|name| monitor(format!("migrate_set_capability {name} on"))),
    );
    steps.extend(uri.map(|uri| monitor(format!("migrate_incoming {}", monitor_word(&uri)))));
    steps
}

fn words(gathered: &Gathered, code: &Path, vars: Option<String>, last: &str) -> String {
    let facts = &gathered.facts;
    let machine = facts.machine.as_deref().unwrap_or("MACHINE");
    let mut words = vec!["-machine".into(), quote(machine)];
    // Of a guest with memory backends, `-m` is the sum of them, and more has to be said about each.
    let memory = facts
        .blocks
        .iter()
        .find(|block| block.kind == BlockKind::Memory && is_main_memory(&block.name));
    if let Some(memory) = memory {
        words.push(match memory.size_bytes % (1 << 20) {
            0 => format!("-m {}M", memory.size_bytes >> 20),
            _ => format!("-m {}B", memory.size_bytes),
        });
    }
    match facts.blocks.iter().any(|block| block.kind == BlockKind::Code) {
        true => {
            let code = quote(&doubled(&code.display().to_string()));
            words.push(format!(
                "-drive if=pflash,format=raw,unit=0,readonly=on,file={code}"
            ));
        }
        false => words.push(format!("-bios {}", quote(&code.display().to_string()))),
    }
    words.extend(vars);
    words.push(last.to_owned());
    words.join(" ")
}

/// Names that machines give the memory that `-m` asks for: `pc.ram`, `mach-virt.ram`, `riscv_virt_board.ram`.
fn is_main_memory(name: &str) -> bool {
    name.ends_with(".ram") && !name.contains('/')
}

fn is_mapped(block: &Block) -> bool {
    block.pages_offset.is_some()
}

fn drive(unit: u32, format: &str, path: &str) -> String {
    let path = quote(&doubled(path));
    format!("-drive if=pflash,format={format},unit={unit},file={path}")
}

/// A comma in a value of a QEMU option.
fn doubled(path: &str) -> String {
    path.replace(',', ",,")
}

/// A word for QEMU's monitor. Source: QEMU `monitor/hmp.c:get_str`.
fn monitor_word(word: &str) -> String {
    if !word.contains(|character: char| character.is_whitespace() || "\"\\'".contains(character)) {
        return word.to_owned();
    }
    format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::monitor_word;

    #[test]
    fn words_reach_the_monitor_as_they_are() {
        assert_eq!(monitor_word("file:/a"), "file:/a");
        assert_eq!(monitor_word("exec:cat '/a b'"), "\"exec:cat '/a b'\"");
        assert_eq!(monitor_word(r#"a"\"#), r#""a\"\\""#);
    }
}
