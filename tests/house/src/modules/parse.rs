//! Source files to modules: what each declares, imports and names. Code for tests only is left out.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::{Crate, Import, Item, Method, Module, ModuleId, ReadError};

impl Crate {
    /// The crate whose root is the file `root`, `src/lib.rs` or `src/main.rs`.
    ///
    /// # Errors
    /// If a file of it cannot be read or is no Rust.
    pub fn read(root: &Path) -> Result<Self, ReadError> {
        let mut found = Self {
            modules: vec![Module::default()],
        };
        let folder = root.parent().unwrap_or(Path::new(""));
        found.read_file(0, root, folder)?;
        Ok(found)
    }

    /// A crate of one file.
    ///
    /// # Errors
    /// If `text` is no Rust.
    pub fn parse(text: &str) -> Result<Self, ReadError> {
        let mut found = Self {
            modules: vec![Module::default()],
        };
        let path = Path::new("lib.rs");
        let file = syn::parse_file(text).map_err(|source| syntax(path, source))?;
        found.add_items(0, &file.items, path, Path::new(""))?;
        Ok(found)
    }

    /// How many modules it has, the root included.
    #[must_use]
    pub fn module_count(&self) -> usize {
        self.modules.len()
    }

    fn read_file(&mut self, module: ModuleId, path: &Path, folder: &Path) -> Result<(), ReadError> {
        let text = fs::read_to_string(path).map_err(|source| ReadError::File {
            path: path.to_owned(),
            source,
        })?;
        let file = syn::parse_file(&text).map_err(|source| syntax(path, source))?;
        self.add_items(module, &file.items, path, folder)
    }

    /// Adds what `module`, written in `file`, holds; the files of its children lie in `folder`.
    fn add_items(
        &mut self,
        module: ModuleId,
        items: &[syn::Item],
        file: &Path,
        folder: &Path,
    ) -> Result<(), ReadError> {
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            let syn::Item::Mod(child) = item else {
                let mut names = Names {
                    module: &mut self.modules[module],
                    own_type: None,
                };
                names.declare(item);
                names.visit_item(item);
                continue;
            };
            let name = child.ident.to_string();
            let id = self.add_module(module, &name);
            let folder = folder.join(&name);
            if let Some((_, items)) = &child.content {
                self.add_items(id, items, file, &folder)?;
                continue;
            }
            let places = [folder.with_extension("rs"), folder.join("mod.rs")];
            let path = places.iter().find(|path| path.exists());
            let path = path.ok_or_else(|| ReadError::NoFile {
                name,
                declared_in: file.to_owned(),
            })?;
            self.read_file(id, path, &folder)?;
        }
        Ok(())
    }

    fn add_module(&mut self, parent: ModuleId, name: &str) -> ModuleId {
        let id = self.modules.len();
        let above = &mut self.modules[parent];
        above.items.insert(name.to_owned(), Item::Module(id));
        let path = match above.path.as_str() {
            "" => name.to_owned(),
            above => format!("{above}::{name}"),
        };
        self.modules.push(Module {
            path,
            parent: Some(parent),
            ..Module::default()
        });
        id
    }
}

fn syntax(path: &Path, source: syn::Error) -> ReadError {
    ReadError::Syntax {
        path: PathBuf::from(path),
        source,
    }
}

/// Gathers the names of one item into its module.
struct Names<'a> {
    module: &'a mut Module,
    /// The type whose `impl` block this is.
    own_type: Option<Vec<String>>,
}

impl Names<'_> {
    fn declare(&mut self, item: &syn::Item) {
        let (name, kind) = match item {
            syn::Item::Fn(item) => (&item.sig.ident, Item::Function),
            syn::Item::Const(item) => (&item.ident, Item::Declaration),
            syn::Item::Enum(item) => (&item.ident, Item::Declaration),
            syn::Item::Static(item) => (&item.ident, Item::Declaration),
            syn::Item::Struct(item) => (&item.ident, Item::Declaration),
            syn::Item::Trait(item) => (&item.ident, Item::Declaration),
            syn::Item::TraitAlias(item) => (&item.ident, Item::Declaration),
            syn::Item::Type(item) => (&item.ident, Item::Declaration),
            syn::Item::Union(item) => (&item.ident, Item::Declaration),
            syn::Item::Macro(syn::ItemMacro {
                ident: Some(name), ..
            }) => (name, Item::Declaration),
            _ => return,
        };
        self.module.items.insert(name.to_string(), kind);
    }

    fn import(&mut self, tree: &syn::UseTree, path: &mut Vec<String>, is_reexport: bool) {
        let mut add = |name: Option<String>, path: Vec<String>| {
            self.module.imports.push(Import {
                name,
                path,
                is_reexport,
            });
        };
        match tree {
            syn::UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.import(&step.tree, path, is_reexport);
                path.pop();
            }
            syn::UseTree::Name(name) if name.ident == "self" => add(path.last().cloned(), path.clone()),
            syn::UseTree::Name(name) => add(Some(name.ident.to_string()), with(path, &name.ident)),
            syn::UseTree::Rename(name) if name.ident == "self" => {
                add(Some(name.rename.to_string()), path.clone());
            }
            syn::UseTree::Rename(name) => add(Some(name.rename.to_string()), with(path, &name.ident)),
            syn::UseTree::Glob(_) => add(None, path.clone()),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, path, is_reexport);
                }
            }
        }
    }

    /// Macros hold any tokens: every row of `name::name` in them is taken for a path.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.path(std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                other => {
                    self.path(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.path(path);
    }

    fn own_call(&mut self, name: &str) {
        if let Some(of) = self.own_type.clone() {
            self.module.own_calls.push(Method {
                of,
                name: name.to_owned(),
            });
        }
    }

    fn path(&mut self, path: Vec<String>) {
        if let [own, name] = path.as_slice()
            && own == "Self"
        {
            self.own_call(&name.clone());
        }
        if !path.is_empty() {
            self.module.paths.push(path);
        }
    }
}

fn with(path: &[String], name: &syn::Ident) -> Vec<String> {
    let mut path = path.to_vec();
    path.push(name.to_string());
    path
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let before = self.own_type.take();
        if let syn::Type::Path(of) = &*item.self_ty {
            let segments = of.path.segments.iter();
            let of: Vec<String> = segments.map(|segment| segment.ident.to_string()).collect();
            // The methods of a trait are called by its name, wherever they stand.
            if item.trait_.is_none() {
                let functions = item.items.iter().filter_map(|item| match item {
                    syn::ImplItem::Fn(function) if !is_for_tests(&function.attrs) => Some(function),
                    _ => None,
                });
                self.module.methods.extend(functions.map(|function| Method {
                    of: of.clone(),
                    name: function.sig.ident.to_string(),
                }));
            }
            self.own_type = Some(of);
        }
        visit::visit_item_impl(self, item);
        self.own_type = before;
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if matches!(&*call.receiver, syn::Expr::Path(receiver) if receiver.path.is_ident("self")) {
            self.own_call(&call.method.to_string());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_reexport = !matches!(item.vis, syn::Visibility::Inherited);
        self.import(&item.tree, &mut Vec::new(), is_reexport);
    }

    // `pub(super)` and `pub(in path)` are no use of that module.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter();
        self.path(segments.map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        self.tokens(call.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        visit::visit_meta_list(self, list);
        self.tokens(list.tokens.clone());
    }
}

/// `#[cfg(test)]` or `#[test]`.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Path>()
                    .is_ok_and(|path| path.is_ident("test")))
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
