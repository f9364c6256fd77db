//! Which volumes measured boot hashes into PCR 0.

use super::{DXEFV, PEIFV, known};
use crate::volume::{FileKind, NodeId, NodeKind, Tree};

/// Whether there is a module in the firmware that measures volumes. Builds without a TPM have none, nor those of which
/// only what TDX measures counts.
#[must_use]
pub fn measures_volumes(tree: &Tree<'_>) -> bool {
    tree.nodes().iter().any(|node| match node.kind {
        NodeKind::File(file) => file.is_live() && known::MEASURING.contains(&file.name),
        _ => false,
    })
}

/// Whether the firmware of `platform` measures this volume, if it [measures any](measures_volumes).
///
/// edk2 `SecurityPkg/Tcg/Tcg2Pei/Tcg2Pei.c`, `MeasureMainBios`: the boot volume, which is the one that the
/// PEI core lies in, and volumes that were announced without a volume around them; others belong to what
/// was measured already. OVMF announces DXEFV so (`OvmfPkg/PlatformPei/Fv.c`), and its boot volume is PEIFV;
/// on Arm there is the boot volume alone. Of other platforms we do not know, and no volume counts.
#[must_use]
pub fn is_measured(tree: &Tree<'_>, volume: NodeId, platform: Option<&str>) -> bool {
    let Some(NodeKind::Volume(facts)) = tree.node(volume).map(|node| &node.kind) else {
        return false;
    };
    if facts.name.is_some_and(|name| name == PEIFV || name == DXEFV) {
        return true;
    }
    platform.is_some_and(|name| name.starts_with("ArmVirt"))
        && tree.children(volume).any(|(_, node)| match node.kind {
            NodeKind::File(file) => file.kind == FileKind::PeiCore && file.is_live(),
            _ => false,
        })
}
