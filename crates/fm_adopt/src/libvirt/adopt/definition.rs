//! A domain's definition, read.

use fm_libvirt::{Domain, DomainInfo};

use crate::libvirt::Error;

/// What `xml`, the definition of this domain, says.
pub(in crate::libvirt) fn parse(info: &DomainInfo, xml: &str) -> Result<Domain, Error> {
    Domain::parse(xml).map_err(|source| Error::Xml {
        domain: info.name.clone(),
        source,
    })
}
