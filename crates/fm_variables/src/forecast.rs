//! Whether a dbx update still fits: into one variable, into the store, now and after a reclaim.

use std::path::Path;

use fm_api::Schema;
use fm_api::v1::secure_boot::DbxForecast;
use fm_formats::efi::SignatureLists;
use fm_varstore::{Geometry, Variable, Writer};

use crate::Error;
use crate::names::{SECURITY, find, plain};
use crate::revocation::{Dbx, nothing_trusted_for};
use crate::secure_boot::{KEY_ATTRIBUTES, KeyMaterial, key_material, microsoft_updates, signed_update};
use crate::source::Source;

/// Whether a dbx update (a file, or Microsoft's for the architecture) would still fit.
///
/// # Errors
/// If the store or the update cannot be read.
pub fn forecast(path: &Path, update: Option<&Path>) -> Result<DbxForecast, Error> {
    let source = Source::find(path)?;
    let variables = source.variables()?;
    let view = source.view()?.ok_or_else(|| Error::NoLimits {
        path: path.to_path_buf(),
    })?;
    let layout = view.layout().ok_or_else(|| Error::UnknownLayout {
        path: path.to_path_buf(),
    })?;
    let old = find(&variables, SECURITY, "dbx");
    let lists = match old {
        Some(old) => SignatureLists::parse(&old.data).map_err(|source| Error::Signature {
            path: path.to_path_buf(),
            source,
        })?,
        None => SignatureLists::default(),
    };
    let mut dbx = KeyMaterial {
        lists,
        ..KeyMaterial::default()
    };
    let mut new_signatures = 0usize;
    match update {
        Some(file) => new_signatures += dbx.add(&key_material(file)?),
        None => {
            for update in microsoft_updates(Some(layout)) {
                new_signatures += dbx.add(&signed_update(Path::new("Microsoft's dbx"), update)?);
            }
        }
    }
    let after = Dbx::of(&variables).with(dbx.lists.clone());
    let db = find(&variables, SECURITY, "db")
        .and_then(|db| SignatureLists::parse(&db.data).ok())
        .unwrap_or_default();
    let (revoked, nothing_trusted_for) = (after.revokes(&db), nothing_trusted_for(&db, &after));
    let writer = Writer {
        format: view.format(),
        ..Writer::new(layout)
    };
    let after = Variable::new(SECURITY, plain("dbx"), KEY_ATTRIBUTES, dbx.lists.to_bytes());
    let needed_bytes = writer.variable_len_bytes(&after);
    let limit_bytes = u64::from(Geometry::of(layout).limit_bytes(KEY_ATTRIBUTES));
    let old_bytes = old.map_or(0, |old| writer.variable_len_bytes(old).next_multiple_of(4));
    let free_after_compact_bytes = view.free_bytes() + view.reclaimable_bytes();
    let possible = needed_bytes <= limit_bytes;
    Ok(DbxForecast {
        schema: Schema::default(),
        source: source.path.display().to_string(),
        new_signatures: new_signatures as u64,
        needed_bytes,
        limit_bytes,
        free_bytes: view.free_bytes(),
        free_after_compact_bytes,
        // The new copy is written before the old one is given up.
        fits_now: possible && needed_bytes.next_multiple_of(4) <= view.free_bytes(),
        fits_after_compact: possible && needed_bytes.next_multiple_of(4) <= free_after_compact_bytes,
        fits_offline: possible && needed_bytes.next_multiple_of(4) <= free_after_compact_bytes + old_bytes,
        revoked,
        nothing_trusted_for,
    })
}
