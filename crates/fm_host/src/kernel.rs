//! What the kernel says of this host.

use std::fs::read_to_string;

/// Which boot of the host this is; nothing where `/proc` does not say.
#[must_use]
pub fn boot_id() -> Option<String> {
    word("/proc/sys/kernel/random/boot_id")
}

/// What the kernel calls this host; nothing where `/proc` does not say.
#[must_use]
pub fn host_name() -> Option<String> {
    word("/proc/sys/kernel/hostname")
}

fn word(path: &str) -> Option<String> {
    Some(read_to_string(path).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_names_this_boot_and_this_host() {
        assert_eq!(boot_id().map(|id| id.len()), Some(36), "a UUID");
        let name = rustix::system::uname().nodename().to_str().unwrap().to_owned();
        assert_eq!(host_name(), Some(name));
    }
}
