//! Examples for `--help` and the man pages: a few lines for each command, all of them parsed by a test.

/// The words of a command, and what one would type.
const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "agent",
        &[
            "flashmoor agent",
            "flashmoor agent --once",
            "flashmoor agent --keep-days 90 -v",
        ],
    ),
    (
        "agent join",
        &[
            "flashmoor agent join --token fmj1.SECRET.CA.https://fleet.example:7117 --name host-1",
            "flashmoor agent join --token fmj1.SECRET.CA.https://fleet.example:7117 --label rack=r7",
        ],
    ),
    ("agent leave", &["flashmoor agent leave"]),
    ("atlas claims", &["flashmoor atlas claims"]),
    (
        "atlas run",
        &[
            "flashmoor atlas run --dry-run",
            "flashmoor atlas run --firmware /usr/share/OVMF --budget 600",
        ],
    ),
    ("atlas verify", &["flashmoor atlas verify"]),
    ("capture", &["flashmoor capture web-1", "flashmoor capture --all"]),
    (
        "catalogue add",
        &["flashmoor catalogue add OVMF_CODE.fd --name ovmf --build-version 2025.02-8"],
    ),
    (
        "catalogue list",
        &["flashmoor catalogue list", "flashmoor catalogue list --json"],
    ),
    ("catalogue remove", &["flashmoor catalogue remove 3f2a91c0"]),
    (
        "catalogue update",
        &[
            "flashmoor catalogue update",
            "flashmoor catalogue update /usr/share/OVMF",
        ],
    ),
    (
        "check",
        &[
            "flashmoor check --guest web-1 --to-code /usr/share/OVMF/OVMF_CODE_4M.fd",
            "flashmoor check --from-code old/CODE.fd --to-code new/CODE.fd --machine pc-q35-9.2",
            "flashmoor offer web-1 | flashmoor check --from-offer - --to-host-firmware /usr/share/qemu/firmware",
            "flashmoor check --matrix builds/ --html matrix.html",
        ],
    ),
    (
        "completions",
        &[
            "flashmoor completions bash >/etc/bash_completion.d/flashmoor",
            "flashmoor completions fish >~/.config/fish/completions/flashmoor.fish",
        ],
    ),
    (
        "config show",
        &["flashmoor config show", "flashmoor config show --json"],
    ),
    (
        "demo",
        &[
            "flashmoor demo",
            "flashmoor demo --from-code OVMF_CODE.fd --from-vars OVMF_VARS.fd",
        ],
    ),
    (
        "diff",
        &[
            "flashmoor diff old/CODE.fd new/CODE.fd",
            "flashmoor diff old/CODE.fd new/CODE.fd --all --exit-code",
        ],
    ),
    (
        "explain",
        &["flashmoor explain", "flashmoor explain FM-FLASH-SIZE"],
    ),
    (
        "extract",
        &[
            "flashmoor extract CODE.fd --guid CpuDxe --section pe32 --output CpuDxe.efi",
            "flashmoor extract OVMF.fd --volume variables --output VARS.fd",
        ],
    ),
    (
        "find",
        &[
            "flashmoor find CODE.fd SecureBootConfigDxe",
            "flashmoor find CODE.fd 8be4df61-93ca-11d2-aa0d-00e098032b8c",
        ],
    ),
    (
        "fleet builds",
        &[
            "flashmoor fleet builds",
            "flashmoor fleet builds --state condemned --json",
        ],
    ),
    (
        "fleet certificates",
        &[
            "flashmoor fleet certificates",
            "flashmoor fleet certificates --certificate 2011 --csv",
        ],
    ),
    (
        "fleet events",
        &[
            "flashmoor fleet events --after 120",
            "flashmoor fleet events --follow --host host-1",
        ],
    ),
    (
        "fleet guests",
        &[
            "flashmoor fleet guests",
            "flashmoor fleet guests --host host-1 --secure-boot true --json",
        ],
    ),
    (
        "fleet hosts",
        &["flashmoor fleet hosts", "flashmoor fleet hosts --silent"],
    ),
    (
        "fleet init",
        &["flashmoor fleet init --name fleet.example --name 192.0.2.7"],
    ),
    (
        "fleet join",
        &[
            "flashmoor fleet join --token fmj1.SECRET.CA.https://fleet.example:7117 --name alice --to ~/.config/flashmoor/fleet",
        ],
    ),
    (
        "fleet keys",
        &[
            "flashmoor fleet keys",
            "flashmoor fleet keys --revoke 4f2a91c03be1",
        ],
    ),
    (
        "fleet pin",
        &["flashmoor fleet pin 3f2a91c0 --name golden --reason 'our tested build'"],
    ),
    ("fleet retire", &["flashmoor fleet retire host-3"]),
    (
        "fleet status",
        &["flashmoor fleet status", "flashmoor fleet status --json"],
    ),
    (
        "fleet token",
        &[
            "flashmoor fleet token",
            "flashmoor fleet token --name host-1",
            "flashmoor fleet token --bearer --minutes 525600",
        ],
    ),
    ("fleet unpin", &["flashmoor fleet unpin 3f2a91c0 --name golden"]),
    (
        "fleet why",
        &[
            "flashmoor fleet why 3f2a91c0",
            "flashmoor fleet why 3f2a91c0 --json",
        ],
    ),
    (
        "guard install",
        &[
            "flashmoor guard install --apt",
            "flashmoor guard install --dnf --block",
        ],
    ),
    ("guard status", &["flashmoor guard status"]),
    ("guard uninstall", &["flashmoor guard uninstall"]),
    ("harvest", &["flashmoor harvest web-1"]),
    (
        "incus adopt",
        &[
            "flashmoor incus adopt web",
            "flashmoor incus adopt web --project customers",
        ],
    ),
    ("incus unadopt", &["flashmoor incus unadopt web"]),
    (
        "inspect",
        &[
            "flashmoor inspect /usr/share/OVMF/OVMF_CODE_4M.fd",
            "flashmoor inspect /usr/share/qemu/firmware",
            "flashmoor inspect OVMF.fd --tree --svg map.svg",
        ],
    ),
    (
        "kubevirt on-define-domain",
        &["flashmoor kubevirt on-define-domain --vmi \"$VMI\" --domain \"$XML\""],
    ),
    (
        "libvirt adopt",
        &["flashmoor libvirt adopt web-1", "flashmoor libvirt adopt --all"],
    ),
    (
        "libvirt install",
        &[
            "flashmoor libvirt install",
            "flashmoor libvirt install --policy pass --deadline-ms 5000",
        ],
    ),
    (
        "libvirt status",
        &["flashmoor libvirt status", "flashmoor libvirt status --json"],
    ),
    ("libvirt unadopt", &["flashmoor libvirt unadopt web-1"]),
    ("libvirt uninstall", &["flashmoor libvirt uninstall"]),
    (
        "migrate",
        &[
            "flashmoor migrate /run/guests/web-1.qmp /run/guests/web-1-incoming.qmp",
            "flashmoor migrate source.qmp destination.qmp --uri tcp:host-b:4444 --bandwidth 500M",
        ],
    ),
    ("offer", &["flashmoor offer web-1 >offer.json"]),
    (
        "prepare",
        &[
            "flashmoor prepare offer.json --vars /var/lib/guests/web-1_VARS.fd",
            "flashmoor prepare - <offer.json",
        ],
    ),
    (
        "ps",
        &[
            "flashmoor ps",
            "flashmoor ps --long",
            "flashmoor ps --fail-on-drift",
            "flashmoor ps --to /mnt/host-b/usr/share/qemu/firmware --to-qemu 10.0",
        ],
    ),
    (
        "pve adopt",
        &["flashmoor pve adopt 100", "flashmoor pve adopt --all"],
    ),
    ("pve install", &["flashmoor pve install"]),
    (
        "pve status",
        &["flashmoor pve status", "flashmoor pve status --json"],
    ),
    ("pve unadopt", &["flashmoor pve unadopt 100"]),
    ("rollout abort", &["flashmoor rollout abort 7c1f03ba"]),
    (
        "rollout guests",
        &[
            "flashmoor rollout guests 7c1f03ba",
            "flashmoor rollout guests 7c1f03ba --json",
        ],
    ),
    ("rollout list", &["flashmoor rollout list"]),
    ("rollout pause", &["flashmoor rollout pause 7c1f03ba"]),
    (
        "rollout pin",
        &["flashmoor rollout pin 6d2b0f4e-33f1-4a51-9a43-2f2a3b8f1c01 --reason 'certified as it is'"],
    ),
    ("rollout pins", &["flashmoor rollout pins"]),
    (
        "rollout plan",
        &[
            "flashmoor rollout plan --build 624e06de18b4 --select 'layout=4M and not name~db'",
            "flashmoor rollout plan --build 624e06de18b4 --from a0d1f7c2b3e4 --select all --json",
        ],
    ),
    ("rollout resume", &["flashmoor rollout resume 7c1f03ba"]),
    (
        "rollout rollback",
        &[
            "flashmoor rollout rollback 7c1f03ba",
            "flashmoor rollout rollback 7c1f03ba --old-variables",
        ],
    ),
    (
        "rollout start",
        &[
            "flashmoor rollout start --build 624e06de18b4 --select label:rack=r7",
            "flashmoor rollout start --build 624e06de18b4 --select all --per-host 2 --restart 22:00-04:00",
        ],
    ),
    (
        "rollout status",
        &[
            "flashmoor rollout status 7c1f03ba",
            "flashmoor rollout status 7c1f03ba --json",
        ],
    ),
    (
        "rollout unpin",
        &["flashmoor rollout unpin 6d2b0f4e-33f1-4a51-9a43-2f2a3b8f1c01"],
    ),
    (
        "saved adopt",
        &["flashmoor saved adopt /var/lib/libvirt/qemu/save/web-1.save"],
    ),
    ("saved diff", &["flashmoor saved diff monday.save tuesday.save"]),
    (
        "saved extract",
        &["flashmoor saved extract web-1.save --code CODE.fd --vars VARS.fd"],
    ),
    ("saved offer", &["flashmoor saved offer web-1.save >offer.json"]),
    (
        "saved restore-plan",
        &["flashmoor saved restore-plan web-1.stream --vars /var/lib/guests/web-1_VARS.fd"],
    ),
    (
        "saved vars",
        &[
            "flashmoor saved vars web-1.save",
            "flashmoor saved vars disk.qcow2 --snapshot before-upgrade",
        ],
    ),
    ("schema", &["flashmoor schema", "flashmoor schema ps"]),
    (
        "serve",
        &["flashmoor serve", "flashmoor serve --listen 192.0.2.7:7117"],
    ),
    (
        "store export",
        &[
            "flashmoor store export 3f2a91c0 ./build",
            "flashmoor store export 3f2a91c0 oci:./layout:ovmf-2025.02",
        ],
    ),
    ("store forget", &["flashmoor store forget web-1"]),
    (
        "store gc",
        &["flashmoor store gc --dry-run", "flashmoor store gc"],
    ),
    (
        "store import",
        &[
            "flashmoor store import OVMF_CODE_4M.fd --vars-template OVMF_VARS_4M.fd --name ovmf --version 2025.02-8",
            "flashmoor store import oci:./layout:ovmf-2025.02",
        ],
    ),
    ("store landings", &["flashmoor store landings"]),
    (
        "store list",
        &["flashmoor store list", "flashmoor store list --json"],
    ),
    (
        "store pin",
        &["flashmoor store pin 3f2a91c0 --reason 'web-1 is certified with it'"],
    ),
    ("store show", &["flashmoor store show 3f2a91c0"]),
    ("store unpin", &["flashmoor store unpin 3f2a91c0"]),
    ("store verify", &["flashmoor store verify"]),
    (
        "update",
        &[
            "flashmoor update web-1 --to 3f2a91c0 --dry-run",
            "flashmoor update web-1 --to 3f2a91c0",
            "flashmoor update --status",
            "flashmoor update web-1 --revert",
        ],
    ),
    (
        "vars backups",
        &[
            "flashmoor vars backups",
            "flashmoor vars backups /dev/pve/vm-100-disk-0 --keep 3",
        ],
    ),
    (
        "vars compact",
        &[
            "flashmoor vars compact VARS.fd --dry-run",
            "flashmoor vars compact VARS.fd",
        ],
    ),
    (
        "vars convert",
        &[
            "flashmoor vars convert VARS.fd --layout 4M --output VARS_4M.fd",
            "flashmoor vars convert VARS.fd --for OVMF_CODE_4M.fd --output VARS_4M.fd",
        ],
    ),
    ("vars delete", &["flashmoor vars delete VARS.fd Boot0003"]),
    (
        "vars diff",
        &[
            "flashmoor vars diff VARS.fd VARS.fd.old",
            "flashmoor vars diff web-1 VARS.fd --exit-code",
        ],
    ),
    (
        "vars export",
        &["flashmoor vars export VARS.fd --output vars.json"],
    ),
    (
        "vars get",
        &[
            "flashmoor vars get VARS.fd BootOrder",
            "flashmoor vars get web-1 db --raw >db.esl",
        ],
    ),
    ("vars import", &["flashmoor vars import VARS.fd --from vars.json"]),
    (
        "vars list",
        &["flashmoor vars list VARS.fd", "flashmoor vars list web-1 --all"],
    ),
    (
        "vars repair",
        &[
            "flashmoor vars repair VARS.fd --dry-run",
            "flashmoor vars repair VARS.fd",
        ],
    ),
    ("vars restore", &["flashmoor vars restore VARS.fd"]),
    (
        "vars secure-boot enroll",
        &[
            "flashmoor vars secure-boot enroll VARS.fd --microsoft both --microsoft-dbx",
            "flashmoor vars secure-boot enroll VARS.fd --db my-signer.pem",
        ],
    ),
    (
        "vars secure-boot forecast",
        &[
            "flashmoor vars secure-boot forecast VARS.fd",
            "flashmoor vars secure-boot forecast VARS.fd --dbx dbxupdate.bin",
        ],
    ),
    (
        "vars secure-boot status",
        &[
            "flashmoor vars secure-boot status VARS.fd",
            "flashmoor vars secure-boot status --guests",
        ],
    ),
    (
        "vars secure-boot unenroll",
        &["flashmoor vars secure-boot unenroll VARS.fd"],
    ),
    (
        "vars set",
        &[
            "flashmoor vars set VARS.fd Timeout --hex 0500",
            "flashmoor vars set VARS.fd BootNext --hex 0300",
        ],
    ),
    (
        "vars show",
        &["flashmoor vars show VARS.fd db", "flashmoor vars show web-1"],
    ),
];

/// What one would type with this command.
pub(super) fn of(command: &[String]) -> &'static [&'static str] {
    let words = command.join(" ");
    EXAMPLES
        .iter()
        .find(|(known, _)| *known == words)
        .map_or(&[], |(_, examples)| examples)
}
