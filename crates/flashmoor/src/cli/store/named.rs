//! The names of stored builds as people know them.

use fm_api::v1::store::StoredBuild;
use fm_images::inspect::Catalogue;

use crate::cli::{Context, Result};

/// People know a build by its package, whoever stored it without a name.
pub(super) fn named(context: &Context, builds: &mut [StoredBuild]) -> Result<()> {
    let catalogue = Catalogue::open(crate::cli::catalogue::user_file(context).as_deref())?;
    for build in builds.iter_mut().filter(|build| build.name.is_none()) {
        if let Some(known) = catalogue.build(&build.id) {
            build.name = Some(known.name);
            build.version = build.version.take().or(known.version);
        }
    }
    Ok(())
}
