//! Finds pieces of a firmware image by GUID, name, type or text, and takes them out.

mod advice;
mod names;
mod select;

use std::num::NonZero;
use std::path::Path;

use fm_api::Schema;
use fm_api::v1::extract::{ExtractDocument, FindDocument, FoundPlace, FoundWhat, TextEncoding};
use fm_formats::image::{self, ImageFacts};
use fm_formats::volume::{NodeId, NodeKind, Tree};
use fm_formats::{Guid, Sha256};
use fm_remedy::{Input, Misuse, Remedy};

use self::advice::{tree_of, unread};
use self::names::{name, own_name};
use crate::inspect::{self, Flash};
use crate::{Error, Result};

/// Which piece is meant. What is given must all hold.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The file with this GUID or name: its own, or edk2's for the GUID.
    pub file: Option<String>,
    /// The volume with this GUID, or edk2's name for it; one without a name of its own by the GUID of its
    /// format, that of variables as `variables`. Or the volume at this offset in the image, `0x…` or decimal; a
    /// compressed one is at that of the section that holds it.
    pub volume: Option<String>,
    /// The section of this type, such as `pe32`, inside of that file or volume.
    pub section: Option<String>,
    /// Of several different pieces that are meant this one, in the order of the image.
    pub nth: Option<NonZero<usize>>,
}

/// The document of a piece that was written.
#[must_use]
pub fn written(path: &Path, output: &Path, bytes: &[u8]) -> ExtractDocument {
    ExtractDocument {
        schema: Schema::default(),
        path: path.display().to_string(),
        output: output.display().to_string(),
        size_bytes: bytes.len() as u64,
        sha256: Sha256::of(bytes).to_string(),
    }
}

/// Most places that are listed; the rest is counted.
const MAX_MATCH_COUNT: usize = 10_000;

/// Takes the wanted piece out of the image: of a file or volume everything, of a section its content, decoded.
///
/// # Errors
/// If the image is no firmware, nothing is meant, or more than one piece and no number says which.
pub fn extract(path: &Path, wanted: &Wanted) -> Result<Vec<u8>> {
    let flash = inspect::flash(path)?;
    let tree = flash.tree();
    check_firmware(&flash, &tree, path)?;
    let request = select::Request::of(&tree, wanted, path)?;
    let different = request.selected();
    let numbered = |nth: NonZero<usize>| different.iter().zip(1..).find(|(_, at)| *at == nth.get());
    match (different.as_slice(), wanted.nth.map(numbered)) {
        ([], _) => Err(Error::Usage(Misuse {
            message: format!("nothing in {} is that{}", path.display(), unread(&tree)),
            remedy: Remedy::new("see what there is", tree_of(path)),
        })),
        (_, Some(Some((one, _)))) | ([one], None) => Ok(request.bytes(*one).to_vec()),
        ([_], Some(None)) => Err(Error::Usage(Misuse {
            message: format!("only 1 piece of {} is that", path.display()),
            remedy: "leave its number out".into(),
        })),
        (several, Some(None)) => Err(Error::Usage(Misuse {
            message: format!(
                "only {} different pieces of {} are that",
                several.len(),
                path.display()
            ),
            remedy: Remedy::give("give a number that there is", [Input::Nth(Some(several.len()))]),
        })),
        (several, None) => Err(Error::Usage(Misuse {
            message: format!(
                "{} different pieces of {} are that",
                several.len(),
                path.display()
            ),
            remedy: request.remedy(several, path),
        })),
    }
}

/// Fails where there is nothing to look into; what is only damaged has pieces left.
fn check_firmware(flash: &Flash, tree: &Tree<'_>, path: &Path) -> Result<()> {
    let is_volume = |kind: &NodeKind| matches!(kind, NodeKind::Volume(_));
    if tree.nodes().iter().any(|node| is_volume(&node.kind)) {
        return Ok(());
    }
    // A variable store that nobody wrote to holds no volume.
    match ImageFacts::of(tree, flash.len_bytes) {
        Ok(_) => Ok(()),
        Err(why) => Err(Error::NotFirmware {
            path: path.to_owned(),
            why: why.into(),
        }),
    }
}

/// Looks for a GUID or a text: as a name, and in the bytes of the innermost pieces; a text in headers as well.
///
/// # Errors
/// If the image cannot be read or is no firmware, or nothing is looked for.
pub fn find(path: &Path, query: &str) -> Result<FindDocument> {
    if query.is_empty() {
        return Err(Error::Usage(Misuse {
            message: "an empty text is everywhere".into(),
            remedy: "name a GUID or a text".into(),
        }));
    }
    let flash = inspect::flash(path)?;
    let tree = flash.tree();
    check_firmware(&flash, &tree, path)?;
    let braces = |text: &'_ str| Some(text.strip_prefix('{')?.strip_suffix('}')?.to_owned());
    let guid: Option<Guid> = braces(query).as_deref().unwrap_or(query).parse().ok();
    let patterns: Vec<(TextEncoding, Vec<u8>)> = match guid {
        Some(guid) => vec![(TextEncoding::Guid, guid.to_bytes().to_vec())],
        None => vec![
            (TextEncoding::Ascii, query.bytes().collect()),
            (
                TextEncoding::Utf16,
                query.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            ),
        ],
    };
    let (mut matches, mut total) = (Vec::new(), 0);
    let mut take = |found: &dyn Fn() -> FoundPlace| {
        total += 1;
        if matches.len() < MAX_MATCH_COUNT {
            matches.push(found());
        }
    };
    for (id, node) in tree.nodes().iter().enumerate() {
        let at = |what: FoundWhat, encoding: Option<TextEncoding>, offset: usize| FoundPlace {
            what,
            encoding,
            place: place(&tree, id),
            offset: offset as u64,
            compressed: node.buffer != 0,
        };
        if is_called(&tree, id, query, guid) {
            take(&|| at(FoundWhat::Name, None, node.start));
        }
        // Of what holds pieces only the header, or each place would be listed at every level above it. A GUID in a
        // header is a name.
        let leaf = node.end == id + 1;
        let (bytes, start) = match guid {
            _ if matches!(node.kind, NodeKind::FreeSpace) => continue,
            None if leaf => (tree.bytes(node), node.start),
            None => {
                let header = tree.bytes(node).get(..node.header_len_bytes);
                (header.unwrap_or_default(), node.start)
            }
            Some(_) if leaf => (tree.body(node), node.start + node.header_len_bytes),
            Some(_) => continue,
        };
        for (encoding, pattern) in &patterns {
            for (offset, window) in bytes.windows(pattern.len()).enumerate() {
                if window == pattern {
                    take(&|| at(FoundWhat::Content, Some(*encoding), start + offset));
                }
            }
        }
    }
    Ok(FindDocument {
        schema: Schema::default(),
        query: query.into(),
        truncated: total > matches.len() as u64,
        matches,
        total,
        damage: tree
            .damages()
            .iter()
            .map(|damage| damage.error.to_string())
            .collect(),
    })
}

fn is_called(tree: &Tree<'_>, id: NodeId, query: &str, guid: Option<Guid>) -> bool {
    let Some(node) = tree.node(id) else { return false };
    let (own, ui) = match &node.kind {
        NodeKind::Volume(facts) => {
            let format = facts.header.file_system;
            let own = facts.name.filter(|_| guid != Some(format));
            (Some(own.unwrap_or(format)), None)
        }
        NodeKind::File(facts) => (Some(facts.name), own_name(tree, id, facts)),
        NodeKind::Section(facts) => (facts.guid, None),
        _ => return false,
    };
    let matches_text = |name: &str| name.to_lowercase().contains(&query.to_lowercase());
    match guid {
        Some(guid) => own == Some(guid),
        None => {
            own.and_then(image::name_of).is_some_and(matches_text) || ui.as_deref().is_some_and(matches_text)
        }
    }
}

fn place(tree: &Tree<'_>, id: NodeId) -> Vec<String> {
    let mut path: Vec<NodeId> = tree.ancestors(id).map(|(id, _)| id).collect();
    path.reverse();
    path.push(id);
    path.into_iter().filter_map(|id| name(tree, id)).collect()
}
