//! The direction of the rooms, checked from `cargo metadata`: dependencies only point downward.

use std::collections::BTreeMap;
use std::process::Command;

/// Each crate of the product, and those of ours it may be built on. Tests may use more (dev-dependencies).
const MAY_USE: &[(&str, &[&str])] = &[
    ("fm_formats", &[]),
    ("fm_varstore", &["fm_formats"]),
    ("fm_stream", &["fm_formats", "fm_varstore"]),
    ("fm_remedy", &[]),
    ("fm_judge", &["fm_formats", "fm_remedy", "fm_varstore"]),
    ("fm_api", &[]),
    ("fm_files", &["fm_formats", "fm_remedy"]),
    ("fm_client", &["fm_api", "fm_files", "fm_formats", "fm_remedy"]),
    ("fm_libvirt", &["fm_formats", "fm_remedy"]),
    ("fm_host", &["fm_files", "fm_formats", "fm_remedy", "fm_stream"]),
    (
        "fm_store",
        &[
            "fm_api",
            "fm_files",
            "fm_formats",
            "fm_host",
            "fm_remedy",
            "fm_stream",
        ],
    ),
    (
        "fm_saved",
        &[
            "fm_api",
            "fm_files",
            "fm_formats",
            "fm_libvirt",
            "fm_remedy",
            "fm_store",
            "fm_stream",
            "fm_varstore",
        ],
    ),
    (
        "fm_images",
        &[
            "fm_api",
            "fm_files",
            "fm_formats",
            "fm_host",
            "fm_remedy",
            "fm_saved",
            "fm_stream",
            "fm_varstore",
        ],
    ),
    (
        "fm_variables",
        &[
            "fm_api",
            "fm_files",
            "fm_formats",
            "fm_host",
            "fm_images",
            "fm_libvirt",
            "fm_remedy",
            "fm_stream",
            "fm_varstore",
        ],
    ),
    (
        "fm_transfer",
        &[
            "fm_api",
            "fm_files",
            "fm_formats",
            "fm_host",
            "fm_judge",
            "fm_remedy",
            "fm_store",
            "fm_stream",
            "fm_varstore",
        ],
    ),
    (
        "fm_check",
        &[
            "fm_api",
            "fm_files",
            "fm_formats",
            "fm_host",
            "fm_images",
            "fm_judge",
            "fm_remedy",
            "fm_store",
            "fm_transfer",
            "fm_variables",
            "fm_varstore",
        ],
    ),
    ("fm_blobs", &["fm_api", "fm_files", "fm_formats", "fm_remedy"]),
    ("fm_records", &["fm_remedy"]),
    ("fm_rollout", &["fm_api", "fm_formats", "fm_judge", "fm_remedy"]),
    (
        "fm_fleet",
        &[
            "fm_api",
            "fm_blobs",
            "fm_formats",
            "fm_records",
            "fm_remedy",
            "fm_rollout",
        ],
    ),
    (
        "fm_update",
        &[
            "fm_api",
            "fm_check",
            "fm_files",
            "fm_formats",
            "fm_host",
            "fm_judge",
            "fm_libvirt",
            "fm_remedy",
            "fm_store",
            "fm_varstore",
        ],
    ),
    (
        "fm_adopt",
        &[
            "fm_api",
            "fm_check",
            "fm_files",
            "fm_formats",
            "fm_host",
            "fm_images",
            "fm_libvirt",
            "fm_remedy",
            "fm_saved",
            "fm_store",
            "fm_variables",
            "fm_varstore",
        ],
    ),
    (
        "fm_rollout_host",
        &[
            "fm_adopt",
            "fm_api",
            "fm_check",
            "fm_files",
            "fm_formats",
            "fm_host",
            "fm_judge",
            "fm_libvirt",
            "fm_remedy",
            "fm_store",
            "fm_update",
            "fm_variables",
            "fm_varstore",
        ],
    ),
    (
        "fm_agent",
        &[
            "fm_adopt",
            "fm_api",
            "fm_check",
            "fm_client",
            "fm_files",
            "fm_formats",
            "fm_host",
            "fm_images",
            "fm_judge",
            "fm_libvirt",
            "fm_remedy",
            "fm_rollout_host",
            "fm_store",
            "fm_transfer",
            "fm_update",
            "fm_variables",
            "fm_varstore",
        ],
    ),
    (
        "fm_lab",
        &[
            "fm_api",
            "fm_check",
            "fm_files",
            "fm_formats",
            "fm_host",
            "fm_images",
            "fm_judge",
            "fm_remedy",
            "fm_store",
            "fm_stream",
            "fm_transfer",
            "fm_variables",
            "fm_varstore",
        ],
    ),
    (
        "fm_access",
        &[
            "fm_api",
            "fm_blobs",
            "fm_client",
            "fm_fleet",
            "fm_formats",
            "fm_records",
            "fm_remedy",
            "fm_rollout",
        ],
    ),
    (
        "fm_pages",
        &[
            "fm_access",
            "fm_api",
            "fm_client",
            "fm_fleet",
            "fm_formats",
            "fm_remedy",
            "fm_rollout",
        ],
    ),
    (
        "fm_server",
        &[
            "fm_access",
            "fm_api",
            "fm_blobs",
            "fm_client",
            "fm_files",
            "fm_fleet",
            "fm_formats",
            "fm_pages",
            "fm_records",
            "fm_remedy",
        ],
    ),
    (
        "fm_pve",
        &[
            "fm_adopt",
            "fm_api",
            "fm_files",
            "fm_formats",
            "fm_host",
            "fm_remedy",
            "fm_store",
            "fm_variables",
        ],
    ),
    (
        "fm_incus",
        &["fm_adopt", "fm_api", "fm_formats", "fm_remedy", "fm_store"],
    ),
    (
        "fm_render",
        &[
            "fm_adopt",
            "fm_agent",
            "fm_api",
            "fm_check",
            "fm_files",
            "fm_images",
            "fm_judge",
            "fm_lab",
            "fm_remedy",
            "fm_server",
            "fm_transfer",
            "fm_update",
            "fm_variables",
            "fm_varstore",
        ],
    ),
    (
        "flashmoor",
        &[
            "fm_adopt",
            "fm_agent",
            "fm_api",
            "fm_check",
            "fm_client",
            "fm_files",
            "fm_formats",
            "fm_host",
            "fm_images",
            "fm_incus",
            "fm_judge",
            "fm_lab",
            "fm_pve",
            "fm_remedy",
            "fm_render",
            "fm_saved",
            "fm_server",
            "fm_store",
            "fm_transfer",
            "fm_update",
            "fm_variables",
            "fm_varstore",
        ],
    ),
];

/// Crates that exist for tests only: nothing of the product is built on them.
const FOR_TESTS: &[&str] = &["fm_bench", "fm_e2e", "fm_fixtures", "fm_house"];

/// The rooms that may be built on a library, where that is not everybody's to choose.
const ONLY_IN: &[(&str, &[&str])] = &[
    // What has a JSON schema is a document, and documents have a room of their own.
    ("schemars", &["fm_api"]),
];

/// Name of each workspace crate, with all that its normal and build dependencies name.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let answer = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        answer.status.success(),
        "{}",
        String::from_utf8_lossy(&answer.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&answer.stdout).expect("cargo answers in JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &serde_json::Value| value["name"].as_str().expect("a name").to_owned();
    let uses = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().expect("dependencies").iter();
        all.filter(|dependency| dependency["kind"].as_str() != Some("dev"))
            .map(name)
            .collect()
    };
    packages
        .iter()
        .map(|package| (name(package), uses(package)))
        .collect()
}

/// The same of workspace crates alone.
fn ours() -> BTreeMap<String, Vec<String>> {
    let mut all = dependencies();
    let members: Vec<String> = all.keys().cloned().collect();
    for uses in all.values_mut() {
        uses.retain(|used| members.contains(used));
    }
    all
}

#[test]
fn some_libraries_are_for_some_rooms_only() {
    for (name, uses) in dependencies() {
        for (library, rooms) in ONLY_IN {
            let may = rooms.contains(&name.as_str());
            assert!(
                may || !uses.iter().any(|used| used == library),
                "{name} must not be built on {library}, which is for {}",
                rooms.join(", ")
            );
        }
    }
}

#[test]
fn dependencies_only_point_downward() {
    for (name, uses) in ours() {
        if FOR_TESTS.contains(&name.as_str()) {
            continue;
        }
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("{name} has no place among the rooms; give it one in {}", file!()));
        for used in uses {
            assert!(
                allowed.contains(&used.as_str()),
                "{name} must not be built on {used}"
            );
        }
    }
}

#[test]
fn every_room_of_the_map_exists() {
    let ours = ours();
    for name in MAY_USE.iter().map(|(name, _)| name).chain(FOR_TESTS) {
        assert!(
            ours.contains_key(*name),
            "{name} is on the map but not in the workspace"
        );
    }
}
