//! The tree of an image: what lies where, borrowed from the image or owned where it was decoded.

use alloc::vec::Vec;

use super::{Encoding, FileKind, SectionKind, VolumeHeader};
use crate::{Error, Guid};

/// How far a parse may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Levels of volumes, files and sections within each other.
    pub depth: u16,
    /// Nodes in the tree.
    pub nodes: usize,
    /// Bytes that all decoders together may produce.
    pub decoded_bytes: usize,
    /// Bytes that may be walked in search, checksums and decoding.
    pub walked_bytes: u64,
}

impl Limits {
    /// Limits for an image of `len_bytes`: real firmware decodes to less than ten times its size and nests
    /// a dozen levels.
    #[must_use]
    pub fn for_image(len_bytes: usize) -> Self {
        Self {
            depth: 160,
            nodes: 100_000,
            decoded_bytes: len_bytes.saturating_mul(16).clamp(16 << 20, 256 << 20),
            walked_bytes: (len_bytes as u64).saturating_mul(16).saturating_add(512 << 20),
        }
    }
}

/// Position of a node in [`Tree::nodes`].
pub type NodeId = usize;

/// A piece of the image. Its bytes are header, then body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// The node that it lies in.
    pub parent: Option<NodeId>,
    /// Levels above it.
    pub depth: u16,
    /// Which bytes it lies in: 0 is the image, others are decoded sections.
    pub buffer: usize,
    /// Where in those bytes.
    pub start: usize,
    /// Bytes, header included.
    pub len_bytes: usize,
    /// Bytes before the body.
    pub header_len_bytes: usize,
    /// One behind its last descendant in [`Tree::nodes`].
    pub end: NodeId,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A firmware volume.
    Volume(VolumeFacts),
    /// A file in a volume.
    File(FileFacts),
    /// A section in a file or in another section.
    Section(SectionFacts),
    /// Bytes between structures; `fill` is the one value that all of them have, if there is one.
    Padding {
        /// The repeated byte.
        fill: Option<u8>,
    },
    /// Erased space at the end of a volume.
    FreeSpace,
}

/// Facts of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeFacts {
    /// Its header.
    pub header: VolumeHeader,
    /// Its name, from the extended header.
    pub name: Option<Guid>,
    /// Bytes of header and files, padding between them included, without the free space at the end.
    pub used_bytes: usize,
}

/// Facts of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Its name.
    pub name: Guid,
    /// Its type.
    pub kind: FileKind,
    /// `EFI_FFS_FILE_ATTRIBUTES`.
    pub attributes: u8,
    /// State bits as the specification gives them, whatever the erase polarity.
    pub state: u8,
}

impl FileFacts {
    /// Whether the file counts: its data is valid and it was not deleted. The highest bit that is set is
    /// the state (PI 1.8, volume 3, 3.2.3.1, `EFI_FFS_FILE_STATE`): 0x04 `DATA_VALID`, 0x08
    /// `MARKED_FOR_UPDATE`; below them it was never written in full, above them it is gone.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.state & 0x3f, 0x04..=0x0f)
    }
}

/// Facts of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionFacts {
    /// Its type.
    pub kind: SectionKind,
    /// How its content is encoded, where it encapsulates.
    pub encoding: Option<Encoding>,
    /// The GUID that types it, where one does.
    pub guid: Option<Guid>,
    /// The buffer with its decoded content.
    pub decoded: Option<usize>,
}

/// Something that is not as it should be, or that a limit left unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The node in which it is, if it is in one.
    pub node: Option<NodeId>,
    /// The buffer that the error's offset counts in.
    pub buffer: usize,
    /// What it is.
    pub error: Error,
}

/// A parsed image. Nodes are in the order of the image, each before its content.
#[derive(Debug, Clone)]
pub struct Tree<'a> {
    pub(super) image: &'a [u8],
    pub(super) decoded: Vec<Vec<u8>>,
    pub(super) origins: Vec<NodeId>,
    pub(super) nodes: Vec<Node>,
    pub(super) damages: Vec<Damage>,
}

impl<'a> Tree<'a> {
    /// All nodes, each before its content.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What is not as it should be.
    #[must_use]
    pub fn damages(&self) -> &[Damage] {
        &self.damages
    }

    /// The node with this id.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// The bytes of a buffer: 0 is the image.
    #[must_use]
    pub fn buffer(&self, buffer: usize) -> &[u8] {
        match buffer.checked_sub(1) {
            None => self.image,
            Some(index) => self.decoded.get(index).map_or(&[], Vec::as_slice),
        }
    }

    /// The section that a decoded buffer came from; nothing for the image itself.
    #[must_use]
    pub fn origin(&self, buffer: usize) -> Option<NodeId> {
        self.origins.get(buffer.checked_sub(1)?).copied()
    }

    /// Header and body of a node.
    #[must_use]
    pub fn bytes(&self, node: &Node) -> &[u8] {
        let end = node.start.saturating_add(node.len_bytes);
        self.buffer(node.buffer).get(node.start..end).unwrap_or(&[])
    }

    /// The body of a node.
    #[must_use]
    pub fn body(&self, node: &Node) -> &[u8] {
        self.bytes(node).get(node.header_len_bytes..).unwrap_or(&[])
    }

    /// The content of an encapsulating section: decoded where it is encoded; of any other node its body.
    #[must_use]
    pub fn content(&self, node: &Node) -> &[u8] {
        match &node.kind {
            NodeKind::Section(SectionFacts {
                decoded: Some(buffer),
                ..
            }) => self.buffer(*buffer),
            _ => self.body(node),
        }
    }

    /// The nodes inside `id`, at any depth.
    pub fn descendants(&self, id: NodeId) -> impl Iterator<Item = (NodeId, &Node)> {
        let end = self.node(id).map_or(0, |node| node.end);
        let first = id.saturating_add(1);
        self.nodes.iter().enumerate().take(end).skip(first)
    }

    /// The nodes directly inside `id`.
    pub fn children(&self, id: NodeId) -> impl Iterator<Item = (NodeId, &Node)> {
        self.descendants(id)
            .filter(move |(_, node)| node.parent == Some(id))
    }

    /// The nodes above `id`, nearest first.
    pub fn ancestors(&self, id: NodeId) -> impl Iterator<Item = (NodeId, &Node)> {
        let mut next = self.node(id).and_then(|node| node.parent);
        core::iter::from_fn(move || {
            let id = next?;
            let node = self.node(id)?;
            next = node.parent;
            Some((id, node))
        })
    }

    /// Where the node or what encodes it lies in the image itself.
    #[must_use]
    pub fn offset_in_image(&self, id: NodeId) -> Option<usize> {
        let mut node = self.node(id)?;
        // Every buffer comes from a section in an earlier one, so this ends.
        while node.buffer != 0 {
            node = self.node(self.origin(node.buffer)?)?;
        }
        Some(node.start)
    }

    /// Whether the node lies in something compressed.
    #[must_use]
    pub fn is_compressed(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(|node| node.buffer != 0)
    }

    /// The name for people that a file's UI section gives it.
    #[must_use]
    pub fn ui_name(&self, id: NodeId) -> Option<alloc::string::String> {
        self.descendants(id).find_map(|(_, node)| match node.kind {
            NodeKind::Section(SectionFacts {
                kind: SectionKind::Ui,
                ..
            }) => utf16(self.body(node)),
            _ => None,
        })
    }
}

/// UTF-16 text up to its end mark; nothing if it is empty or holds control characters.
pub(super) fn utf16(bytes: &[u8]) -> Option<alloc::string::String> {
    let units = bytes
        .chunks_exact(2)
        .filter_map(|pair| <[u8; 2]>::try_from(pair).ok());
    let units = units
        .map(u16::from_le_bytes)
        .take_while(|unit| *unit != 0)
        .take(256);
    let text: Result<alloc::string::String, _> = char::decode_utf16(units).collect();
    text.ok()
        .filter(|text| !text.is_empty() && !text.contains(char::is_control))
}
