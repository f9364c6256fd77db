//! Reads an image into a [`Tree`]: the bounded walk that volumes, files and sections share.

mod files;
mod scan;
mod sections;
mod volumes;

use alloc::vec::Vec;

use super::tree::{Damage, Limits, Node, NodeId, NodeKind, Tree};
use crate::Error;

impl<'a> Tree<'a> {
    /// Parses an image. Never fails: what cannot be read is padding, and damage is listed.
    #[must_use]
    pub fn parse(image: &'a [u8]) -> Self {
        Self::parse_within(image, Limits::for_image(image.len()))
    }

    /// [`Self::parse`] with limits of the caller's choice.
    #[must_use]
    pub fn parse_within(image: &'a [u8], limits: Limits) -> Self {
        walk(image, limits)
    }
}

fn walk(image: &[u8], limits: Limits) -> Tree<'_> {
    let tree = Tree {
        image,
        decoded: Vec::new(),
        origins: Vec::new(),
        nodes: Vec::new(),
        damages: Vec::new(),
    };
    let mut walk = Walk {
        tree,
        limits,
        walked_bytes: 0,
        decoded_bytes: 0,
        stopped: false,
    };
    walk.raw_area(
        Span {
            buffer: 0,
            start: 0,
            len: image.len(),
        },
        None,
    );
    walk.tree
}

/// A run of bytes in a buffer.
#[derive(Debug, Clone, Copy)]
struct Span {
    buffer: usize,
    start: usize,
    len: usize,
}

impl Span {
    fn end(self) -> usize {
        self.start.saturating_add(self.len)
    }

    /// The part from `from` (counted from this span's start) on.
    fn skip(self, from: usize) -> Self {
        let from = from.min(self.len);
        Self {
            start: self.start.saturating_add(from),
            len: self.len.saturating_sub(from),
            ..self
        }
    }

    /// The first `len` bytes.
    fn take(self, len: usize) -> Self {
        Self {
            len: len.min(self.len),
            ..self
        }
    }
}

/// Damages kept; an image of garbage has no need of more.
const MAX_DAMAGE_COUNT: usize = 1000;

struct Walk<'a> {
    tree: Tree<'a>,
    limits: Limits,
    walked_bytes: u64,
    decoded_bytes: usize,
    stopped: bool,
}

impl Walk<'_> {
    fn bytes(&self, span: Span) -> &[u8] {
        self.tree
            .buffer(span.buffer)
            .get(span.start..span.end())
            .unwrap_or(&[])
    }

    /// Volumes hold files, files sections, and either may hold volumes again.
    fn nested_volumes(&mut self, area: Span, parent: NodeId) {
        self.raw_area(area, Some(parent));
    }

    /// Adds a node and gives its id, unless a limit is reached: then nothing more is read.
    fn open(&mut self, kind: NodeKind, span: Span, header: usize, parent: Option<NodeId>) -> Option<NodeId> {
        let depth = parent
            .and_then(|id| self.tree.node(id))
            .map_or(0, |node| node.depth.saturating_add(1));
        let id = self.tree.nodes.len();
        let deepest = self.limits.depth;
        if depth >= deepest {
            self.damage(parent, span, |offset| Error::Limit {
                what: "nesting of volumes, files and sections",
                offset,
                limit: u64::from(deepest),
            });
            return None;
        }
        if id >= self.limits.nodes {
            self.stop(
                parent,
                span,
                "number of volumes, files and sections",
                self.limits.nodes as u64,
            );
            return None;
        }
        self.tree.nodes.push(Node {
            kind,
            parent,
            depth,
            buffer: span.buffer,
            start: span.start,
            len_bytes: span.len,
            header_len_bytes: header,
            end: id.saturating_add(1),
        });
        Some(id)
    }

    /// Everything added since `open` lies in the node.
    fn close(&mut self, id: NodeId) {
        let end = self.tree.nodes.len();
        if let Some(node) = self.tree.nodes.get_mut(id) {
            node.end = end;
        }
    }

    fn leaf(&mut self, kind: NodeKind, span: Span, parent: Option<NodeId>) {
        if span.len != 0 {
            self.open(kind, span, 0, parent);
        }
    }

    fn padding(&mut self, span: Span, parent: Option<NodeId>) {
        if span.len != 0 && self.spend(span, parent) {
            let fill = scan::fill(self.bytes(span));
            self.leaf(NodeKind::Padding { fill }, span, parent);
        }
    }

    /// Accounts for walking over `span`; false once the work limit is reached.
    fn spend(&mut self, span: Span, node: Option<NodeId>) -> bool {
        self.walked_bytes = self.walked_bytes.saturating_add(span.len as u64);
        if self.walked_bytes > self.limits.walked_bytes {
            self.stop(node, span, "work in bytes walked", self.limits.walked_bytes);
        }
        !self.stopped
    }

    fn stop(&mut self, node: Option<NodeId>, span: Span, what: &'static str, limit: u64) {
        if !self.stopped {
            self.stopped = true;
            self.damage(node, span, |offset| Error::Limit { what, offset, limit });
        }
    }

    fn damage(&mut self, node: Option<NodeId>, span: Span, error: impl FnOnce(u64) -> Error) {
        let error = error(span.start as u64);
        self.record(node, span.buffer, error);
    }

    fn record(&mut self, node: Option<NodeId>, buffer: usize, error: Error) {
        if self.tree.damages.len() < MAX_DAMAGE_COUNT {
            self.tree.damages.push(Damage { node, buffer, error });
        }
    }
}
