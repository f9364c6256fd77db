//! Libraries name no command of ours and no flag: a remedy is data, and `fm_render` says it as a command.

use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// Flags of other programs that messages may speak of.
const OF_OTHERS: &[&str] = &["--version", "--all"];

/// Files that start other programs: a literal that is nothing but a flag is theirs there.
const STARTS_OTHERS: &[&str] = &[
    "agent/events.rs",
    "catalogue.rs",
    "guard/packages.rs",
    "fm_libvirt/src/virsh.rs",
    "fm_incus/src/tool.rs",
    "fm_lab/src/guest.rs",
    "fm_pve/src/adopt.rs",
    "fm_update/src/monitor.rs",
];

/// Files whose text is a command line because that is what they make: hooks and units that call the program, the plan
/// that is typed by hand, the demo, and the page of claims.
const MAKES_COMMANDS: &[&str] = &[
    "fm_adopt/src/libvirt/install.rs",
    "fm_agent/src/guard/hook.rs",
    "fm_agent/src/guard/hook/apt.rs",
    "fm_agent/src/guard/hook/words.rs",
    "fm_agent/src/guard/hook/dnf.rs",
    "fm_saved/src/steps.rs",
    "fm_lab/src/demo/steps.rs",
    "fm_lab/src/atlas/claims.rs",
];

/// The program and what it shows: they speak of its own commands and options.
const PROGRAM: &[&str] = &["flashmoor", "fm_render"];

/// The verbs of the program.
const VERBS: &[&str] = &[
    "agent",
    "atlas",
    "capture",
    "catalogue",
    "check",
    "completions",
    "config",
    "demo",
    "diff",
    "explain",
    "extract",
    "find",
    "fleet",
    "guard",
    "harvest",
    "incus",
    "inspect",
    "kubevirt",
    "libvirt",
    "migrate",
    "offer",
    "prepare",
    "ps",
    "pve",
    "rollout",
    "saved",
    "schema",
    "serve",
    "store",
    "update",
    "vars",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().is_some_and(|name| name != "tests.rs")
        {
            found.push(path);
        }
    }
}

/// Gathers string literals outside tests, attributes and documentation.
struct Literals(Vec<String>);

impl<'ast> Visit<'ast> for Literals {
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.ident != "tests" {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.0.push(literal.value());
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
    }
}

impl Literals {
    fn tokens(&mut self, tokens: proc_macro2::TokenStream) {
        for token in tokens {
            match token {
                proc_macro2::TokenTree::Group(group) => self.tokens(group.stream()),
                proc_macro2::TokenTree::Literal(literal) => {
                    if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                        self.0.push(text.value());
                    }
                }
                _ => {}
            }
        }
    }
}

/// The command or flag of ours that `text` names.
fn named(text: &str) -> Option<String> {
    let mut words = text
        .split(|c: char| c.is_whitespace() || "`'\",;()".contains(c))
        .peekable();
    while let Some(word) = words.next() {
        let flag = word.split(['=', '.', ':']).next().unwrap_or(word);
        if flag.len() > 3
            && flag.starts_with("--")
            && flag[2..]
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
            && !OF_OTHERS.contains(&flag)
        {
            return Some(flag.to_owned());
        }
        if word == "flashmoor" && words.peek().is_some_and(|verb| VERBS.contains(verb)) {
            return words.next().map(|verb| format!("flashmoor {verb}"));
        }
    }
    None
}

#[test]
fn libraries_name_no_command_and_no_flag_of_ours() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates");
    let mut told = String::new();
    for entry in fs::read_dir(crates).expect("a readable folder") {
        let entry = entry.expect("a readable entry");
        if PROGRAM.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let mut files = Vec::new();
        sources(&entry.path().join("src"), &mut files);
        for path in files {
            if MAKES_COMMANDS.iter().any(|file| path.ends_with(file)) {
                continue;
            }
            let text = fs::read_to_string(&path).expect("readable");
            let file = syn::parse_file(&text).expect("Rust");
            let mut literals = Literals(Vec::new());
            literals.visit_file(&file);
            let starts_others = STARTS_OTHERS.iter().any(|file| path.ends_with(file));
            for literal in literals.0 {
                if starts_others && !literal.contains(char::is_whitespace) {
                    continue;
                }
                if let Some(name) = named(&literal) {
                    told.push_str(&format!("\n{}: {name} in {literal:?}", path.display()));
                }
            }
        }
    }
    assert!(told.is_empty(), "a remedy is data, not a command line:{told}");
}

#[test]
fn our_commands_are_told_from_those_of_others() {
    for (text, expected) in [
        (
            "try it: flashmoor migrate SOURCE DESTINATION",
            Some("flashmoor migrate"),
        ),
        ("name it: --qemu-from VERSION", Some("--qemu-from")),
        ("`--to-code=FILE`", Some("--to-code")),
        ("flashmoor keeps it", None),
        ("a -- b", None),
        ("-machine help", None),
    ] {
        assert_eq!(named(text).as_deref(), expected, "{text}");
    }
}
