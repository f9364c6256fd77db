//! Whether a dbx update still fits: into one variable, into the store, now and after a reclaim.

use std::path::Path;

use fm_formats::efi::SignatureLists;
use fm_formats::varstore::{Geometry, Variable, Writer};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Error;
use crate::names::{SECURITY, find, plain};
use crate::revocation::{Dbx, Revoked, nothing_trusted_for};
use crate::secure_boot::{KEY_ATTRIBUTES, KeyMaterial, key_material, microsoft_updates, signed_update};
use crate::source::Source;

/// `flashmoor/vars-dbx-forecast/1`: whether a revocation update would still fit.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DbxForecast {
    /// `flashmoor/vars-dbx-forecast/1`.
    pub schema: &'static str,
    /// Which store.
    pub source: String,
    /// Signatures in the update that the store has not.
    pub new_signatures: u64,
    /// Size of dbx after it, header and name included.
    pub needed_bytes: u64,
    /// What firmware of the layout accepts for one variable.
    pub limit_bytes: u64,
    /// What is free now.
    pub free_bytes: u64,
    /// What would be free after a reclaim or `vars compact`.
    pub free_after_compact_bytes: u64,
    /// Whether the running operating system can write it: firmware does not reclaim once the system runs.
    pub fits_now: bool,
    /// Whether the running operating system can write it after `vars compact` or the firmware's own reclaim.
    pub fits_after_compact: bool,
    /// Whether there is room for it in place of the old one: for `vars secure-boot enroll`, or a tool that
    /// runs before the operating system does.
    pub fits_offline: bool,
    /// What of db will not count any more.
    pub revoked: Vec<Revoked>,
    /// What nothing of Microsoft's will boot for.
    pub nothing_trusted_for: Vec<&'static str>,
}

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
        schema: "flashmoor/vars-dbx-forecast/1",
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
