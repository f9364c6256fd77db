//! Dependency expressions: when a driver may run (PI 1.8, volume 2, 10.7).

use alloc::format;
use alloc::vec::Vec;

use crate::{Error, Guid, Reader, Result};

/// One operation of a dependency expression, in the order in which it is stored (postfix).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Run just before this driver.
    Before(Guid),
    /// Run just after this driver.
    After(Guid),
    /// Whether this protocol or PPI is there.
    Push(Guid),
    /// Both of the last two.
    And,
    /// One of the last two.
    Or,
    /// Not the last.
    Not,
    /// Always.
    True,
    /// Never.
    False,
    /// Only when asked for by name.
    Sor,
}

/// The operations before `END` in `body`, which lies at `offset`.
///
/// # Errors
/// [`Error::Truncated`] if it ends before `END` does, [`Error::Unexpected`] at an unknown operation.
pub fn parse(body: &[u8], offset: u64) -> Result<Vec<Op>> {
    let mut reader = Reader::at(body, offset);
    let mut ops = Vec::new();
    loop {
        let at = reader.offset();
        ops.push(match *reader.raw::<u8>("dependency operation")? {
            0x00 => Op::Before(*reader.raw("GUID of a dependency")?),
            0x01 => Op::After(*reader.raw("GUID of a dependency")?),
            0x02 => Op::Push(*reader.raw("GUID of a dependency")?),
            0x03 => Op::And,
            0x04 => Op::Or,
            0x05 => Op::Not,
            0x06 => Op::True,
            0x07 => Op::False,
            0x08 => return Ok(ops),
            0x09 => Op::Sor,
            other => {
                return Err(Error::Unexpected {
                    field: "dependency operation",
                    offset: at,
                    found: format!("{other:#04x}"),
                    expected: "0x00 to 0x09".into(),
                });
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_reads_up_to_its_end_and_not_without_one() {
        let mut body = alloc::vec![0x02];
        body.extend_from_slice(&[7; 16]);
        body.extend_from_slice(&[0x06, 0x03, 0x08]);
        let push = Op::Push(Guid::from_bytes([7; 16]));
        assert_eq!(parse(&body, 0).unwrap(), [push, Op::True, Op::And]);
        for len in 0..body.len() {
            assert!(parse(&body[..len], 0x10).is_err(), "{len}");
        }
        assert!(matches!(
            parse(&[0x0a], 0x10),
            Err(Error::Unexpected { offset: 0x10, .. })
        ));
    }
}
