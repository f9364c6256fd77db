//! `flashmoor vars` as a whole process, on a copy of a store in a folder of its own.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_flashmoor");
pub(crate) const SHIM: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";

pub(crate) fn flashmoor(words: &[&str]) -> std::process::Output {
    // Wide enough that nothing that is looked for is on two lines.
    let mut command = Command::new(PROGRAM);
    command.env("COLUMNS", "1000").arg("vars").args(words);
    command.output().unwrap()
}

pub(crate) fn vars(words: &[&str]) -> String {
    let output = flashmoor(words);
    assert!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error and exit status of a command that must fail.
pub(crate) fn refused(words: &[&str]) -> (String, i32) {
    let output = flashmoor(words);
    assert!(!output.status.success(), "{words:?} succeeded");
    (
        String::from_utf8(output.stderr).unwrap(),
        output.status.code().unwrap(),
    )
}

pub(crate) fn json(words: &[&str]) -> Value {
    serde_json::from_str(&vars(&[&["--json"], words].concat())).unwrap()
}

pub(crate) fn fixture(name: &str) -> String {
    fm_fixtures::path(name).to_str().unwrap().to_owned()
}

pub(crate) fn identical(left: &str, right: &str) -> bool {
    json(&["diff", left, right])["identical"] == true
}

pub(crate) fn none() -> Value {
    Value::Array(Vec::new())
}

/// A folder of its own with a copy of a fixture in it.
pub(crate) struct Case {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) file: PathBuf,
}

pub(crate) fn case(name: &str) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vars.fd");
    fs::write(&file, fm_fixtures::bytes(name)).unwrap();
    Case { folder, file }
}

impl Case {
    pub(crate) fn name(&self) -> &str {
        self.file.to_str().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Text without what differs from run to run.
    pub(crate) fn plain(&self, text: &str) -> String {
        let fixtures = fm_fixtures::folder().to_str().unwrap();
        text.replace(self.folder.path().to_str().unwrap(), "[DIR]")
            .replace(fixtures, "[FIXTURES]")
    }

    /// The exit status of a command that must fail, and all that it says.
    pub(crate) fn refusal(&self, words: &[&str]) -> String {
        let (error, status) = refused(words);
        format!("status {status}\n{}", self.plain(&error))
    }

    /// What a change notes.
    pub(crate) fn notes(&self, change: &Value) -> String {
        let notes = change["notes"].as_array().unwrap().iter();
        let notes: Vec<_> = notes.map(|note| self.plain(note.as_str().unwrap())).collect();
        notes.join("\n")
    }

    pub(crate) fn files(&self) -> usize {
        fs::read_dir(self.folder.path()).unwrap().count()
    }

    pub(crate) fn backups(&self) -> Vec<String> {
        let mut found: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
            .filter(|path| path.contains("vars.fd.flashmoor-backup-"))
            .collect();
        found.sort();
        found
    }
}
