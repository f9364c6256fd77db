//! Names to the modules that declare them: a re-export is followed to where the item really stands.

use std::collections::{BTreeMap, BTreeSet};

use super::{Crate, Item, Method, ModuleId, Use};

/// Imports that lead to imports: more than any house has, fewer than a circle of them.
const MAX_IMPORT_DEPTH_COUNT: usize = 16;

/// Where a path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    module: ModuleId,
    /// How many segments of the path lead to it; what follows names a variant or an associated item.
    segment_count: usize,
    /// What it is there; nothing for the module itself.
    item: Option<Item>,
}

impl Crate {
    /// Every use of one module by another, each once.
    pub(super) fn uses(&self) -> Vec<Use> {
        let mut uses = BTreeSet::new();
        for (from, module) in self.modules.iter().enumerate() {
            let imports = module.imports.iter();
            // What is only passed on is used by whoever asks for it here, if it comes from below.
            let imports = imports.map(|import| (&import.path, import.is_reexport));
            let written = module.paths.iter().map(|path| (path, false));
            for (path, is_reexport) in imports.chain(written) {
                let Some(place) = self.resolve(from, path, 0) else {
                    continue;
                };
                let to = place.module;
                if to == from || (is_reexport && self.is_below(to, from)) {
                    continue;
                }
                // The module itself is named on the way to something in it, which is another path.
                if place.item.is_none() && self.is_below(from, to) {
                    continue;
                }
                uses.insert(Use {
                    from,
                    to,
                    name: path[place.segment_count - 1].clone(),
                    calls_function: place.item == Some(Item::Function),
                });
            }
        }
        uses.extend(self.method_uses());
        uses.into_iter().collect()
    }

    /// What types call on themselves that stands in another module than the call. As a parent lends its children a type,
    /// it lends them that type's methods: they count as declarations.
    fn method_uses(&self) -> Vec<Use> {
        let mut declared: BTreeMap<(ModuleId, &str, &str), BTreeSet<ModuleId>> = BTreeMap::new();
        for (module, here) in self.modules.iter().enumerate() {
            for method in &here.methods {
                if let Some((owner, of)) = self.type_of(module, method) {
                    let places = declared.entry((owner, of, &method.name)).or_default();
                    places.insert(module);
                }
            }
        }
        let mut uses = Vec::new();
        for (from, here) in self.modules.iter().enumerate() {
            for call in &here.own_calls {
                let places = self
                    .type_of(from, call)
                    .and_then(|(owner, of)| declared.get(&(owner, of, call.name.as_str())));
                let Some(places) = places.filter(|places| !places.contains(&from)) else {
                    continue;
                };
                uses.extend(places.iter().map(|to| Use {
                    from,
                    to: *to,
                    name: call.name.clone(),
                    calls_function: false,
                }));
            }
        }
        uses
    }

    /// The module that declares the type of a method, and the type's name there.
    fn type_of<'a>(&'a self, module: ModuleId, method: &'a Method) -> Option<(ModuleId, &'a str)> {
        let place = self.resolve(module, &method.of, 0)?;
        let is_type = place.item == Some(Item::Declaration) && place.segment_count == method.of.len();
        is_type.then(|| (place.module, method.of[place.segment_count - 1].as_str()))
    }

    /// Whether `module` is `above` or one of the modules in it.
    pub(super) fn is_below(&self, module: ModuleId, above: ModuleId) -> bool {
        module == above
            || self.modules[module]
                .parent
                .is_some_and(|parent| self.is_below(parent, above))
    }

    /// The place that `path` means when it is written in `module`; nothing if it leaves the crate.
    fn resolve(&self, module: ModuleId, path: &[String], depth: usize) -> Option<Place> {
        let (first, rest) = path.split_first()?;
        let mut place = match first.as_str() {
            "crate" => self.module(0),
            "self" => self.module(module),
            "super" => self.module(self.modules[module].parent?),
            name => self.lookup(module, name, depth)?,
        };
        let mut segment_count = 1;
        for name in rest {
            if place.item.is_some() {
                break;
            }
            place = match name.as_str() {
                "super" => self.module(self.modules[place.module].parent?),
                name => self.lookup(place.module, name, depth)?,
            };
            segment_count += 1;
        }
        place.segment_count = segment_count;
        Some(place)
    }

    fn module(&self, module: ModuleId) -> Place {
        Place {
            module,
            segment_count: 1,
            item: None,
        }
    }

    /// What `name` means in `module`: an item of its own, an import, or something that a `*` brings.
    fn lookup(&self, module: ModuleId, name: &str, depth: usize) -> Option<Place> {
        if depth > MAX_IMPORT_DEPTH_COUNT {
            return None;
        }
        let here = &self.modules[module];
        match here.items.get(name) {
            Some(Item::Module(child)) => return Some(self.module(*child)),
            Some(item) => {
                return Some(Place {
                    module,
                    segment_count: 1,
                    item: Some(*item),
                });
            }
            None => {}
        }
        let named = here
            .imports
            .iter()
            .filter(|import| import.name.as_deref() == Some(name))
            .find_map(|import| self.resolve_import(module, &import.path, depth));
        named.or_else(|| {
            let globs = here.imports.iter().filter(|import| import.name.is_none());
            globs
                .filter_map(|import| self.resolve_import(module, &import.path, depth))
                .filter(|place| place.item.is_none())
                .find_map(|place| self.lookup(place.module, name, depth + 1))
        })
    }

    /// Imports begin at the crate, at a module above or at a name of this module; any other is a crate of its own.
    fn resolve_import(&self, module: ModuleId, path: &[String], depth: usize) -> Option<Place> {
        let first = path.first()?;
        let here = &self.modules[module];
        let known = matches!(first.as_str(), "crate" | "self" | "super")
            || here.items.contains_key(first)
            || here
                .imports
                .iter()
                .any(|import| import.name.as_deref() == Some(first) && import.path.as_slice() != path);
        if !known {
            return None;
        }
        self.resolve(module, path, depth + 1)
    }
}
