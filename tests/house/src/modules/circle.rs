//! Circles among the modules of a crate.
//!
//! Two kinds are refused. Modules of one parent, each with all that is in it, must not use each other in a circle.
//! And where a module uses what is in it, nothing in it may call a function that the module itself declares: a
//! parent lends its children types, traits, constants and macros, and calls them, not the other way round.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Crate, ModuleId, Use};

/// Modules that use each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle {
    /// Their paths below the crate; the root is `crate`.
    pub modules: Vec<String>,
    /// What uses what in it: `a uses X, Y of b`.
    pub uses: Vec<String>,
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.modules.join(" <-> "))?;
        for line in &self.uses {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

impl Crate {
    /// Its circles; none in a house in order.
    #[must_use]
    pub fn circles(&self) -> Vec<Circle> {
        let uses = self.uses();
        let mut circles = Vec::new();
        for parent in 0..self.modules.len() {
            circles.extend(self.circles_of_siblings(parent, &uses));
            circles.extend(self.circle_with_parent(parent, &uses));
        }
        circles
    }

    fn circles_of_siblings(&self, parent: ModuleId, uses: &[Use]) -> Vec<Circle> {
        let mut edges: BTreeMap<ModuleId, BTreeSet<ModuleId>> = BTreeMap::new();
        let ends = |one: &Use| {
            let ends = self
                .child_with(parent, one.from)
                .zip(self.child_with(parent, one.to));
            ends.filter(|(from, to)| from != to)
        };
        for (from, to) in uses.iter().filter_map(ends) {
            edges.entry(from).or_default().insert(to);
        }
        let reached: BTreeMap<ModuleId, BTreeSet<ModuleId>> = edges
            .keys()
            .map(|from| (*from, reachable(&edges, *from)))
            .collect();
        let mut circles = Vec::new();
        let mut told = BTreeSet::new();
        for (module, from_here) in &reached {
            if !from_here.contains(module) || told.contains(module) {
                continue;
            }
            let back = |other: &&ModuleId| reached.get(*other).is_some_and(|from| from.contains(module));
            let members: BTreeSet<ModuleId> = from_here.iter().filter(back).copied().collect();
            let inside = |one: &&Use| {
                ends(one).is_some_and(|(from, to)| members.contains(&from) && members.contains(&to))
            };
            circles.push(Circle {
                modules: members.iter().map(|member| self.path(*member)).collect(),
                uses: self.lines(uses.iter().filter(inside)),
            });
            told.extend(members);
        }
        circles
    }

    fn circle_with_parent(&self, parent: ModuleId, uses: &[Use]) -> Option<Circle> {
        let is_inside = |module| module != parent && self.is_below(module, parent);
        let up: Vec<&Use> = uses
            .iter()
            .filter(|one| one.calls_function && one.to == parent && is_inside(one.from))
            .collect();
        let children: BTreeSet<ModuleId> = up
            .iter()
            .filter_map(|one| self.child_with(parent, one.from))
            .filter(|child| {
                let down = |one: &Use| one.from == parent && self.is_below(one.to, *child);
                uses.iter().any(down)
            })
            .collect();
        let called_by = |one: &&&Use| {
            self.child_with(parent, one.from)
                .is_some_and(|child| children.contains(&child))
        };
        (!children.is_empty()).then(|| Circle {
            modules: [parent]
                .iter()
                .chain(&children)
                .map(|module| self.path(*module))
                .collect(),
            uses: self.lines(up.iter().filter(called_by).copied()),
        })
    }

    /// The child of `parent` that `module` is or lies in.
    fn child_with(&self, parent: ModuleId, module: ModuleId) -> Option<ModuleId> {
        let above = self.modules[module].parent?;
        if above == parent {
            return Some(module);
        }
        self.child_with(parent, above)
    }

    fn path(&self, module: ModuleId) -> String {
        match self.modules[module].path.as_str() {
            "" => "crate".to_owned(),
            path => path.to_owned(),
        }
    }

    /// One line for each two modules, with all the names that the one uses of the other.
    fn lines<'a>(&self, uses: impl Iterator<Item = &'a Use>) -> Vec<String> {
        let mut names: BTreeMap<(ModuleId, ModuleId), BTreeSet<&str>> = BTreeMap::new();
        for one in uses {
            names.entry((one.from, one.to)).or_default().insert(&one.name);
        }
        let line = |((from, to), names): ((ModuleId, ModuleId), BTreeSet<&str>)| {
            let names: Vec<&str> = names.into_iter().collect();
            format!(
                "{} uses {} of {}",
                self.path(from),
                names.join(", "),
                self.path(to)
            )
        };
        names.into_iter().map(line).collect()
    }
}

/// Where the edges lead from `start`, itself included if they lead back.
fn reachable(edges: &BTreeMap<ModuleId, BTreeSet<ModuleId>>, start: ModuleId) -> BTreeSet<ModuleId> {
    let mut reached = BTreeSet::new();
    let mut next = vec![start];
    while let Some(module) = next.pop() {
        for to in edges.get(&module).into_iter().flatten() {
            if reached.insert(*to) {
                next.push(*to);
            }
        }
    }
    reached
}
