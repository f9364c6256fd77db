//! Variables beyond the size that firmware takes from `SetVariable`: read and kept all the same, but not written again.
//!
//! Source: edk2 `MdeModulePkg/Universal/Variable/RuntimeDxe/Variable.c`, `VariableServiceSetVariable`, is the only place
//! that asks for `PcdMaxVariableSize` and `PcdMaxAuthVariableSize`; distributions ship such a dbx.

use fm_varstore::{Checks, EmitError, Variable, Writer};

/// Checks each variable as `writer` would, but lets those stand that are only too large for `SetVariable` and that
/// `is_carried`. Returns a sentence for each of those.
///
/// # Errors
/// The first reason why one cannot be written.
pub(super) fn check(
    writer: Writer,
    variables: &[Variable],
    is_carried: impl Fn(&Variable) -> bool,
) -> Result<Vec<String>, EmitError> {
    let mut notes = Vec::new();
    for variable in variables {
        match writer.check(std::slice::from_ref(variable)) {
            Err(EmitError::VariableTooLarge {
                guid,
                name,
                needed_bytes,
                limit_bytes,
                layout,
            }) if is_carried(variable) => notes.push(format!(
                "{guid}-{name} takes {needed_bytes} bytes and is kept as it is, but the guest itself cannot write it \
                 again: firmware of layout {layout} takes {limit_bytes} from it"
            )),
            other => other?,
        }
    }
    Ok(notes)
}

/// A writer that takes what [`check`] let stand.
pub(super) const fn lenient(writer: Writer) -> Writer {
    Writer {
        checks: Checks::Representable,
        ..writer
    }
}
