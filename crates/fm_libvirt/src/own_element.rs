//! Flashmoor's own element in a domain's `<metadata>`: its namespace, and where it and its `before` are.

use roxmltree::Node;

use crate::xml::child;

/// The namespace of our element in `<metadata>`.
pub const METADATA_URI: &str = "https://github.com/flashmoor/flashmoor/libvirt/1";

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
