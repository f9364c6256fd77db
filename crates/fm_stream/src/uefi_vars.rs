//! State of QEMU's `uefi-vars` device in a stream: the guest's variables, where they are not in flash.
//!
//! Source: QEMU `hw/uefi/var-service-core.c`, `vmstate_uefi_vars`, and `hw/uefi/var-service-vars.c`,
//! `vmstate_uefi_variable`. Numbers are big-endian, as in every stream.

use alloc::vec::Vec;

use zerocopy::big_endian::{U16, U32, U64};

use super::field::unexpected;
use fm_formats::efi::{Name, Time};
use fm_formats::{Error, Guid, Reader, Result};
use fm_varstore::{Variable, attribute};

/// Names of the device sections: `uefi-vars-x64`, `uefi-vars-sysbus`.
pub(super) const NAME: &str = "uefi-vars";
/// No guest has more: QEMU's store takes 256 KiB by default.
const MAX_VARIABLE_COUNT: usize = 16 << 10;

/// Reads the variables that last out of the state of such a device, which stands `base` bytes into the stream. Where a
/// subsection follows it is passed over: 11.1 sends digests in one.
///
/// # Errors
/// With the field that is cut, or what of a list is none.
pub fn variables(state: &[u8], base: u64) -> Result<Vec<Variable>> {
    let mut reader = Reader::at(state, base);
    reader.raw::<U16>("status of uefi-vars")?;
    let buffer_bytes = reader.raw::<U32>("buffer size of uefi-vars")?.get();
    // Address of the buffer, and how far its transfer has come.
    reader.bytes(12, "buffer of uefi-vars")?;
    reader.bytes(
        usize::try_from(buffer_bytes).unwrap_or(usize::MAX),
        "transfer buffer of uefi-vars",
    )?;
    // How far the firmware has come, and whether policies are locked.
    reader.bytes(4, "phase of uefi-vars")?;
    reader.raw::<U64>("used storage of uefi-vars")?;
    let mut found = Vec::new();
    loop {
        let at = reader.offset();
        match *reader.raw::<u8>("list of uefi-vars")? {
            0 => return Ok(found),
            1 => {}
            other => return Err(unexpected("list of uefi-vars", at, other, "0 or 1")),
        }
        let variable = variable(&mut reader)?;
        if found.len() >= MAX_VARIABLE_COUNT {
            return Err(Error::Limit {
                what: "variables of uefi-vars",
                offset: at,
                limit: MAX_VARIABLE_COUNT as u64,
            });
        }
        if variable.attributes & attribute::NON_VOLATILE != 0 {
            found.push(variable);
        }
    }
}

fn variable(reader: &mut Reader<'_>) -> Result<Variable> {
    let size = |len: u32| usize::try_from(len).unwrap_or(usize::MAX);
    let guid = *reader.raw::<Guid>("GUID of a variable")?;
    let name_bytes = reader.raw::<U32>("name size of a variable")?.get();
    let data_bytes = reader.raw::<U32>("data size of a variable")?.get();
    let attributes = reader.raw::<U32>("attributes of a variable")?.get();
    let name = Name::from_bytes(reader.bytes(size(name_bytes), "name of a variable")?);
    let data = reader.bytes(size(data_bytes), "data of a variable")?.to_vec();
    Ok(Variable {
        data,
        timestamp: time(reader)?,
        ..Variable::new(guid, name, attributes, Vec::new())
    })
}

/// `EFI_TIME` without its padding, time zone and daylight, each field as the stream writes numbers.
fn time(reader: &mut Reader<'_>) -> Result<Time> {
    let year = reader.raw::<U16>("year of a variable")?.get().to_le_bytes();
    let fields = *reader.raw::<[u8; 5]>("time of a variable")?;
    let nanosecond = reader.raw::<U32>("nanosecond of a variable")?.get().to_le_bytes();
    let [month, day, hour, minute, second] = fields;
    let ([year_low, year_high], [a, b, c, d]) = (year, nanosecond);
    Ok(Time([
        year_low, year_high, month, day, hour, minute, second, 0, a, b, c, d, 0, 0, 0, 0,
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// A state with these variables: name, attributes, data.
    fn state(buffer: usize, variables: &[(&str, u32, &[u8])]) -> Vec<u8> {
        let mut out = vec![0, 0];
        out.extend((buffer as u32).to_be_bytes());
        out.extend([0; 12]);
        out.extend(vec![0xee; buffer]);
        out.extend([0; 4]);
        out.extend(7u64.to_be_bytes());
        for (name, attributes, data) in variables {
            let name: Vec<u8> = name
                .encode_utf16()
                .chain([0])
                .flat_map(u16::to_le_bytes)
                .collect();
            out.push(1);
            out.extend([0x11; 16]);
            out.extend((name.len() as u32).to_be_bytes());
            out.extend((data.len() as u32).to_be_bytes());
            out.extend(attributes.to_be_bytes());
            out.extend(&name);
            out.extend(*data);
            out.extend(2025u16.to_be_bytes());
            out.extend([1, 6, 7, 8, 9]);
            out.extend(0x0102_0304u32.to_be_bytes());
        }
        // The end of the list, and an empty one of policies.
        out.extend([0, 0]);
        out
    }

    #[test]
    fn variables_that_last_are_read_with_their_times() {
        let state = state(5, &[("Timeout", 7, &[5, 0]), ("Volatile", 6, &[1])]);
        let found = variables(&state, 0).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(alloc::string::ToString::to_string(&found[0].name), "Timeout");
        assert_eq!(found[0].data, [5, 0]);
        assert_eq!(
            found[0].timestamp.0,
            [0xe9, 7, 1, 6, 7, 8, 9, 0, 4, 3, 2, 1, 0, 0, 0, 0]
        );
    }

    #[test]
    fn a_state_that_is_cut_anywhere_or_is_none_is_refused() {
        let state = state(3, &[("A", 7, &[1; 40])]);
        let whole = state.len() - 1;
        for len in 0..whole {
            assert!(variables(&state[..len], 0).is_err(), "{len}");
        }
        assert!(variables(&state[..whole], 0).is_ok());
        assert!(variables(&[0xff; 4096], 0).is_err());
    }
}
