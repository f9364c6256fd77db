//! Which pieces a request means, and what to say where it means several.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fm_formats::volume::{Node, NodeId, NodeKind, SectionKind, Tree, VolumeHeader};
use fm_formats::{Guid, image};
use fm_remedy::{Action, Input, Misuse, PieceKey, Remedy};

use super::Wanted;
use super::advice::{tree_of, unread};
use super::names::{name, own_name};
use crate::{Error, Result};

/// As many choices are told; the tree shows the rest.
const MAX_CHOICE_COUNT: usize = 8;

/// A request, with the files and volumes of an image that it names.
pub(super) struct Request<'a> {
    tree: &'a Tree<'a>,
    wanted: &'a Wanted,
    section: Option<SectionKind>,
    files: Option<BTreeSet<NodeId>>,
    volumes: Option<BTreeSet<NodeId>>,
}

impl<'a> Request<'a> {
    /// Fails if a name, an offset or a type stands for nothing.
    pub(super) fn of(tree: &'a Tree<'a>, wanted: &'a Wanted, path: &Path) -> Result<Self> {
        let named = |is: &dyn Fn(NodeId, &Node) -> bool, what: String, remedy: &Remedy| {
            let nodes = tree.nodes().iter().enumerate();
            let ids: BTreeSet<NodeId> = nodes
                .filter(|(id, node)| is(*id, node))
                .map(|(id, _)| id)
                .collect();
            match ids.is_empty() {
                false => Ok(ids),
                true => Err(Error::Usage(Misuse {
                    message: format!("in {} {what}{}", path.display(), unread(tree)),
                    remedy: remedy.clone(),
                })),
            }
        };
        let by_name = Remedy::new("find it by text, or see everything", Action::FindText).then(tree_of(path));
        let by_offset = Remedy::new(
            "see at which offset each volume lies",
            Action::Inspect {
                path: path.to_str().map(ToOwned::to_owned),
            },
        );
        let files = wanted.file.as_ref().map(|text| {
            let what = format!("no file has the GUID or name {text:?}");
            named(&|id, node| is_file(tree, id, node, text), what, &by_name)
        });
        let volumes = wanted.volume.as_ref().map(|text| {
            let (what, remedy) = match offset_of(text) {
                Some(_) => (format!("no volume lies at offset {text}"), &by_offset),
                None => (format!("no volume has the GUID or name {text:?}"), &by_name),
            };
            named(&|id, node| is_volume(tree, id, node, text), what, remedy)
        });
        Ok(Self {
            tree,
            wanted,
            section: wanted.section.as_deref().map(section_of).transpose()?,
            files: files.transpose()?,
            volumes: volumes.transpose()?,
        })
    }

    /// The different pieces that are meant, in the order of the image.
    pub(super) fn selected(&self) -> Vec<NodeId> {
        let lies_in = |id: NodeId, among: &Option<BTreeSet<NodeId>>| {
            among
                .as_ref()
                .is_none_or(|among| self.tree.ancestors(id).any(|(above, _)| among.contains(&above)))
        };
        let is_meant = |id: NodeId, node: &Node| match (self.section, &self.files) {
            (Some(kind), _) => {
                matches!(node.kind, NodeKind::Section(facts) if facts.kind == kind)
                    && lies_in(id, &self.files)
                    && lies_in(id, &self.volumes)
            }
            (None, Some(files)) => files.contains(&id) && lies_in(id, &self.volumes),
            (None, None) => self.volumes.as_ref().is_some_and(|among| among.contains(&id)),
        };
        let mut seen = BTreeSet::new();
        let nodes = self.tree.nodes().iter().enumerate();
        nodes
            .filter(|(id, node)| is_meant(*id, node))
            .filter(|(id, _)| {
                let bytes = self.bytes(*id);
                // Most differ in their length, which is sooner compared.
                seen.insert((bytes.len(), bytes))
            })
            .map(|(id, _)| id)
            .collect()
    }

    /// What is taken out of a piece: of a section its content.
    pub(super) fn bytes(&self, id: NodeId) -> &[u8] {
        match self.tree.node(id) {
            Some(node) if self.section.is_some() => self.tree.content(node),
            Some(node) => self.tree.bytes(node),
            None => &[],
        }
    }

    /// What means one of several pieces: the GUID of its file, else its volume, else which it is in order.
    pub(super) fn remedy(&self, several: &[NodeId], path: &Path) -> Remedy {
        let guid = |id: NodeId| Some(self.tree.node(self.file_of(id)?).and_then(guid_of)?.to_string());
        let volume = |id: NodeId| self.tree.node(self.volume_of(id)?);
        let volume_label = |id: NodeId| volume(id).and_then(guid_of).map(label);
        let volume_guid = |id: NodeId| Some(volume(id).and_then(guid_of)?.to_string());
        let offset = |id: NodeId| Some(format!("{:#x}", self.tree.offset_in_image(self.volume_of(id)?)?));
        let (file, within) = (&self.wanted.file, &self.wanted.volume);
        let of_each = |value: &dyn Fn(NodeId) -> Option<String>| -> Option<Vec<String>> {
            several.iter().map(|id| value(*id)).collect()
        };
        let ways = [
            (PieceKey::File, file, of_each(&guid)),
            (PieceKey::Volume, within, of_each(&volume_label)),
            (PieceKey::Volume, within, of_each(&volume_guid)),
            (PieceKey::Volume, within, of_each(&offset)),
        ];
        for (by, given, values) in ways {
            let Some(values) = values else { continue };
            // One that all of them share would choose none.
            if values.iter().all(|value| Some(value) == values.first()) {
                continue;
            }
            let advice = match given {
                Some(given) => Remedy::advice(format!("in place of {given} say one of these")),
                None => "say which".into(),
            };
            let mut choices: Vec<(String, Option<NodeId>)> = Vec::new();
            let mut known = BTreeMap::new();
            for (id, value) in several.iter().zip(&values) {
                match known.get(value).and_then(|at: &usize| choices.get_mut(*at)) {
                    // It means more than one of them still, so the facts of one would mislead.
                    Some((_, of)) => *of = None,
                    None => {
                        known.insert(value, choices.len());
                        choices.push((value.clone(), Some(*id)));
                    }
                }
            }
            return self.either(advice, by, &choices, path);
        }
        let choices = several.iter().zip(1..);
        let choices: Vec<_> = choices
            .map(|(id, nth): (_, usize)| (nth.to_string(), Some(*id)))
            .collect();
        self.either("say which".into(), PieceKey::Nth, &choices, path)
    }

    /// `remedy` with each of the choices, and the facts of the piece that it means.
    fn either(
        &self,
        mut remedy: Remedy,
        by: PieceKey,
        choices: &[(String, Option<NodeId>)],
        path: &Path,
    ) -> Remedy {
        for (value, id) in choices.iter().take(MAX_CHOICE_COUNT) {
            remedy = remedy.then(Action::Give(Input::Piece {
                by,
                value: value.clone(),
                about: id.and_then(|id| self.facts(id)),
            }));
        }
        let more = choices.len().saturating_sub(MAX_CHOICE_COUNT);
        if more > 0 {
            let text = format!(" (or one of {more} more, which the tree shows)");
            remedy.advice.to_mut().push_str(&text);
            remedy = remedy.then(tree_of(path));
        }
        remedy
    }

    /// The file that the piece is or lies in, if files are what the request chooses by.
    fn file_of(&self, id: NodeId) -> Option<NodeId> {
        let chooses = self.files.is_some() || self.section.is_some();
        let is_file = |node: &Node| matches!(node.kind, NodeKind::File(_));
        self.nearest(id, &self.files, is_file).filter(|_| chooses)
    }

    fn volume_of(&self, id: NodeId) -> Option<NodeId> {
        let is_volume = |node: &Node| matches!(node.kind, NodeKind::Volume(_));
        self.nearest(id, &self.volumes, is_volume)
    }

    /// The piece or the nearest above it that the request names; without a name the nearest of that kind.
    fn nearest(
        &self,
        id: NodeId,
        named: &Option<BTreeSet<NodeId>>,
        is: impl Fn(&Node) -> bool,
    ) -> Option<NodeId> {
        let own = self.tree.node(id).map(|node| (id, node));
        let mut all = own.into_iter().chain(self.tree.ancestors(id));
        let found = all.find(|(id, node)| match named {
            Some(named) => named.contains(id),
            None => is(node),
        });
        found.map(|(id, _)| id)
    }

    /// What tells a piece from others: its size, and what it is called, what it holds or where it lies.
    fn facts(&self, id: NodeId) -> Option<String> {
        let size = self.bytes(id).len();
        let node = self.tree.node(id)?;
        let held = self.tree.children(id).find_map(|(_, node)| match node.kind {
            NodeKind::Volume(_) => guid_of(node).map(label),
            _ => None,
        });
        let of_file = self.file_of(id).and_then(|file| name(self.tree, file));
        let decoded = if node.buffer == 0 { "" } else { ", decoded" };
        let place = format!("at {:#x}{decoded}", node.start);
        Some(match (held, of_file) {
            (Some(held), _) if self.section.is_some() => format!("{held}, {size} bytes"),
            (_, Some(file)) => format!("{file}, {size} bytes {place}"),
            _ => format!("{size} bytes {place}"),
        })
    }
}

fn is_file(tree: &Tree<'_>, id: NodeId, node: &Node, text: &str) -> bool {
    let NodeKind::File(facts) = &node.kind else {
        return false;
    };
    // Of several builds of one module edk2's name may be that of one, and their own name that of all.
    let is_own = || own_name(tree, id, facts).is_some_and(|own| own.eq_ignore_ascii_case(text));
    is_called(facts.name, text) || is_own()
}

fn is_volume(tree: &Tree<'_>, id: NodeId, node: &Node, text: &str) -> bool {
    if !matches!(node.kind, NodeKind::Volume(_)) {
        return false;
    }
    match offset_of(text) {
        Some(offset) => tree.offset_in_image(id) == Some(offset),
        None => {
            guid_of(node).is_some_and(|guid| is_called(guid, text) || label(guid).eq_ignore_ascii_case(text))
        }
    }
}

fn is_called(guid: Guid, text: &str) -> bool {
    text.parse() == Ok(guid) || image::name_of(guid).is_some_and(|name| name.eq_ignore_ascii_case(text))
}

/// The GUID of a file, or of a volume: of its format where it has none of its own.
fn guid_of(node: &Node) -> Option<Guid> {
    match &node.kind {
        NodeKind::Volume(facts) => Some(facts.name.unwrap_or(facts.header.file_system)),
        NodeKind::File(facts) => Some(facts.name),
        _ => None,
    }
}

/// What a volume is called, as `inspect` does where that is a name.
fn label(guid: Guid) -> String {
    match image::name_of(guid) {
        _ if guid == VolumeHeader::NV_DATA => "variables".into(),
        Some(name) => name.into(),
        None => guid.to_string(),
    }
}

/// The offset in the image that is meant: `0x…` as `inspect` prints it, or decimal as in its JSON.
fn offset_of(text: &str) -> Option<usize> {
    match text.strip_prefix("0x") {
        Some(digits) => usize::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn section_of(text: &str) -> Result<SectionKind> {
    SectionKind::from_name(text).ok_or_else(|| {
        Error::Usage(Misuse {
            message: format!("{text:?} is no type of section"),
            remedy: Remedy::advice(format!("the types are {}", SectionKind::NAMES.join(", "))),
        })
    })
}
