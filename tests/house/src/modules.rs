//! The modules of a crate and which of them use which, read from the source text, so that circles can be refused.
//!
//! Names are followed, and of methods those that a type calls on itself: what stands in an `impl` block of a type may be
//! in another module than the type, and then `self.method()` and `Self::method()` are uses of that module. Of any other
//! method call the text alone does not say which type it is of.

mod circle;
mod parse;
mod resolve;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use circle::Circle;

/// A source file that the checker could not follow.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file of a module cannot be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The file is no Rust.
    #[error("cannot parse {path}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser met.
        source: syn::Error,
    },
    /// A module is declared, and neither of its two files exists.
    #[error("module {name}, declared in {declared_in}, has no file")]
    NoFile {
        /// The module.
        name: String,
        /// The file that declares it.
        declared_in: PathBuf,
    },
}

/// The modules of one crate; the first is its root.
#[derive(Debug)]
pub struct Crate {
    modules: Vec<Module>,
}

/// Number of a module in its crate.
type ModuleId = usize;

#[derive(Debug, Default)]
struct Module {
    /// `stream::qcow2`; empty for the root.
    path: String,
    parent: Option<ModuleId>,
    /// Everything named here except imports.
    items: BTreeMap<String, Item>,
    imports: Vec<Import>,
    /// All paths written in this module's own text.
    paths: Vec<Vec<String>>,
    /// What is declared in `impl Type` blocks here.
    methods: Vec<Method>,
    /// What a type calls on itself, in its blocks here.
    own_calls: Vec<Method>,
}

/// A method or associated function.
#[derive(Debug, Clone)]
struct Method {
    /// The type, as it is written here.
    of: Vec<String>,
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Module(ModuleId),
    Function,
    /// A type, trait, constant or macro.
    Declaration,
}

#[derive(Debug)]
struct Import {
    /// The name it has here; nothing for `*`.
    name: Option<String>,
    path: Vec<String>,
    /// `pub use`, `pub(crate) use`, …: the module passes the item on.
    is_reexport: bool,
}

/// One module using another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    from: ModuleId,
    to: ModuleId,
    /// What is used: the item, or the module.
    name: String,
    calls_function: bool,
}
