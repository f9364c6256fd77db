//! `flashmoor completions`.

use std::io::Write as _;

use clap::{Args, ValueEnum};
use clap_complete::env::Shells;

use super::{Result, Status};
use crate::Error;

/// The variable by which a shell asks the program itself what could come next.
pub(super) const VARIABLE: &str = "FLASHMOOR_COMPLETE";

/// zsh loads the file by its name at the first press of the key, and takes it for the function that completes.
const AUTOLOADED: &[u8] =
    b"[[ $zsh_eval_context[-1] != loadautofunc ]] || _clap_dynamic_completer_flashmoor \"$@\"\n";

/// Print what a shell needs to complete flashmoor's commands, guests, builds and variables
///
/// The script asks the program at every press of the key, so that guests, domains, builds, variables and catalogue
/// names are those of the moment. The packages put it in place by themselves.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Whose script
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    pub(crate) fn run(&self) -> Result {
        let name = match self.shell {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
        };
        let failed = |source| Error::file("write", "standard output".as_ref(), source);
        let mut script = Vec::new();
        if let Some(shell) = Shells::builtins().completer(name) {
            shell
                .write_registration(VARIABLE, "flashmoor", "flashmoor", "flashmoor", &mut script)
                .map_err(failed)?;
        }
        if matches!(self.shell, Shell::Zsh) {
            script.extend_from_slice(AUTOLOADED);
        }
        // A script is bytes for a shell: nothing in it is to be shown in another way.
        std::io::stdout().write_all(&script).map_err(failed)?;
        Ok(Status::Done)
    }
}
