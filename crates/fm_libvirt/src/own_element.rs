//! Flashmoor's own element in a domain's `<metadata>`: its namespace, and where it and its `before` are.

use roxmltree::Node;

use crate::xml::child;

/// The namespace of our element in `<metadata>`.
pub const METADATA_URI: &str = "https://github.com/flashmoor/flashmoor/libvirt/1";

/// The namespace of what a domain's owner says in `<metadata>`: another one, because libvirt keeps one element of each,
/// and whoever adopts a domain writes ours anew.
pub const OWNER_URI: &str = "https://github.com/flashmoor/flashmoor/owner/1";

/// What a domain's owner says of rollouts: `<owner pin='why' window='HH:MM-HH:MM'/>`, each of them or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// Rollouts leave the domain alone, for this reason, which may be empty.
    pub pin: Option<String>,
    /// When it may be restarted: minutes of the day in UTC, from and to before.
    pub window: Option<(u32, u32)>,
}

/// What the owner says. Hours that cannot be read keep rollouts off: the owner meant something by them.
pub(crate) fn owner(domain: Node<'_, '_>) -> Option<Owner> {
    let node = child(domain, "metadata")?
        .children()
        .find(|node| node.has_tag_name((OWNER_URI, "owner")))?;
    let pin = node.attribute("pin").map(str::to_owned);
    let Some(text) = node.attribute("window") else {
        return Some(Owner { pin, window: None });
    };
    let window = minutes(text);
    let unread = || format!("its owner's window {text:?} is not HH:MM-HH:MM");
    Some(Owner {
        pin: pin.or_else(|| window.is_none().then(unread)),
        window,
    })
}

fn minutes(text: &str) -> Option<(u32, u32)> {
    let minute = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        let is_two = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let both = is_two(hours) && is_two(minutes);
        let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
        (both && hours < 24 && minutes < 60).then(|| hours * 60 + minutes)
    };
    let (from, to) = text.split_once('-')?;
    Some((minute(from)?, minute(to)?))
}

/// Our element in `<metadata>`.
pub(crate) fn ours<'a, 'input>(domain: Node<'a, 'input>) -> Option<Node<'a, 'input>> {
    child(domain, "metadata")?
        .children()
        .find(|node| node.has_tag_name((METADATA_URI, "firmware")))
}

/// What our element keeps of the definition as it was before the domain was adopted.
pub(crate) fn before<'a, 'input>(ours: Node<'a, 'input>) -> Option<Node<'a, 'input>> {
    ours.children()
        .find(|node| node.has_tag_name((METADATA_URI, "before")))
}

/// Whether this can be the address of an agent, `HOST:PORT`: a name, or an address with the brackets of IPv6.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_host = |host: &str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    let is_v6 = |host: &str| {
        host.strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok())
    };
    text.len() <= MAX_ADDRESS_BYTES
        && (is_host(host) || is_v6(host))
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// A name in DNS has 253 bytes at most; nobody's is that long.
const MAX_ADDRESS_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Domain;

    #[test]
    fn an_owner_pins_a_domain_or_chooses_its_hours_and_hours_that_cannot_be_read_pin_it() {
        let said = |attributes: &str| {
            let xml = format!(
                "<domain><name>web</name><metadata><o:owner xmlns:o='{OWNER_URI}' {attributes}/></metadata></domain>"
            );
            Domain::parse(&xml).unwrap().owner.unwrap()
        };
        assert_eq!(said(""), Owner::default());
        assert_eq!(said("pin='certified'").pin.as_deref(), Some("certified"));
        let hours = said("window='22:00-04:30'");
        assert_eq!((hours.pin, hours.window), (None, Some((1320, 270))));
        for wrong in [
            "",
            "22-4",
            "24:00-01:00",
            "1:00-02:00",
            "+1:00-02:00",
            "01:60-02:00",
        ] {
            let said = said(&format!("window='{wrong}'"));
            assert!(said.pin.unwrap().contains("HH:MM"), "{wrong}");
        }
        let nobody = Domain::parse("<domain><name>web</name></domain>").unwrap();
        assert_eq!(nobody.owner, None);
    }

    #[test]
    fn an_address_is_a_host_and_a_port_and_nothing_that_could_be_more_in_a_line_or_a_url() {
        for good in [
            "a:1",
            "node-1.example:65535",
            "192.0.2.7:7118",
            "[2001:db8::1]:7118",
        ] {
            assert!(is_address(good), "{good}");
        }
        let long = format!("{}:1", "a".repeat(MAX_ADDRESS_BYTES - 1));
        assert!(is_address(&long[1..]) && !is_address(&long));
        for bad in [
            "",
            "a",
            ":1",
            "a:",
            "a:0",
            "a:65536",
            "a b:1",
            "a/b:1",
            "u@a:1",
            "a:1\n",
            "[a]:1",
            "2001:db8::1:1",
            "a:1:2",
        ] {
            assert!(!is_address(bad), "{bad:?}");
        }
    }
}
