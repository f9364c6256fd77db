//! KubeVirt: a virtual machine's definition gets the build that its annotation names, before virt-launcher defines it.
//!
//! KubeVirt calls a program in a sidecar with the instance as JSON and the domain's XML, and defines what it prints.
//! Source: KubeVirt `cmd/sidecars/sidecar_shim.go` (`runOnDefineDomain`), `cmd/sidecars/README.md`.

use std::collections::BTreeMap;
use std::path::Path;

use fm_libvirt::Stored;
use fm_store::Store;
use serde::Deserialize;

use crate::error::KubevirtError;
use crate::{Error, Result};

/// The annotation that names a build: its digest, or the name that the store has for it.
pub const ANNOTATION: &str = "flashmoor.github.io/build";

/// What of a VirtualMachineInstance is read.
#[derive(Debug, Deserialize)]
struct Instance {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// The definition that is to be used. Without the annotation it is the one that came.
///
/// `compute` is where the compute container has the folder of `store`: QEMU runs there, and this does not.
///
/// # Errors
/// If the annotation's build is not in the store, or the definition has no CODE flash. KubeVirt then does not start the
/// instance, which is better than with other firmware.
pub fn on_define_domain(store: &Store, compute: &Path, instance: &str, xml: &str) -> Result<String> {
    let instance: Instance = serde_json::from_str(instance).map_err(KubevirtError::Instance)?;
    let Some(text) = instance.metadata.annotations.get(ANNOTATION) else {
        return Ok(xml.to_owned());
    };
    let build = store.find(text)?;
    let inside = build
        .code
        .path
        .strip_prefix(store.path())
        .map_err(|_| KubevirtError::Elsewhere {
            path: build.code.path.clone(),
        })?;
    let stored = Stored {
        build: build.id,
        code_bytes: build.code.size_bytes,
        vars_bytes: None,
        code: compute.join(inside),
        vars_template: None,
        template: None,
        peer: None,
        booted: None,
        chosen: None,
    };
    fm_libvirt::adopted(xml, &stored).map_err(|source| Error::Kubevirt(KubevirtError::Definition(source)))
}

#[cfg(test)]
mod tests {
    use fm_libvirt::Domain;
    use fm_store::Import;
    use serde_json::json;

    use super::*;

    /// As virt-launcher prints it: Go's encoder writes no blanks and no empty elements.
    const DOMAIN: &str = "<domain type=\"kvm\" xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\"><name>default_web</name>\
        <memory unit=\"b\">1073741824</memory><os><type arch=\"x86_64\" machine=\"q35\">hvm</type>\
        <smbios mode=\"sysinfo\"></smbios><loader readonly=\"yes\" secure=\"no\" type=\"pflash\">/usr/share/OVMF/OVMF_CODE.fd</loader>\
        <nvram template=\"/usr/share/OVMF/OVMF_VARS.fd\">/var/run/kubevirt-private/libvirt/qemu/nvram/default_web_VARS.fd</nvram></os>\
        <metadata><kubevirt xmlns=\"http://kubevirt.io\"><uid>5c7a</uid></kubevirt></metadata></domain>";

    fn instance(build: Option<&str>) -> String {
        let mut annotations = json!({ "hooks.kubevirt.io/hookSidecars": "[]" });
        if let Some(build) = build {
            annotations[ANNOTATION] = build.into();
        }
        json!({ "kind": "VirtualMachineInstance", "metadata": { "name": "web", "annotations": annotations } })
            .to_string()
    }

    fn scene() -> (tempfile::TempDir, Store, fm_formats::Sha256) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let import = Import {
            code: b"a build",
            name: Some("edk2-2025.02"),
            ..Import::default()
        };
        let id = store.import(&import).unwrap().id;
        (folder, store, id)
    }

    #[test]
    fn an_instance_starts_from_the_build_that_its_annotation_names() {
        let (_folder, store, id) = scene();
        for text in [id.to_string(), format!("sha256:{id}"), "edk2-2025.02".into()] {
            let xml = on_define_domain(
                &store,
                "/var/run/firmware".as_ref(),
                &instance(Some(&text)),
                DOMAIN,
            )
            .unwrap();
            let domain = Domain::parse(&xml).unwrap();
            let expected = format!("/var/run/firmware/builds/sha256-{id}/CODE.fd");
            assert_eq!(domain.flash().unwrap().to_str(), Some(expected.as_str()));
            assert_eq!(domain.identity.unwrap().build, id);
            let nvram = domain.nvram.unwrap();
            assert_eq!(
                nvram.template.unwrap().to_str(),
                Some("/usr/share/OVMF/OVMF_VARS.fd")
            );
            assert!(
                xml.contains("<kubevirt xmlns=\"http://kubevirt.io\"><uid>5c7a</uid></kubevirt>"),
                "{xml}"
            );
        }
    }

    #[test]
    fn without_the_annotation_nothing_changes_and_without_its_build_nothing_starts() {
        let (_folder, store, _) = scene();
        let ask = |instance: &str, xml: &str| on_define_domain(&store, "/c".as_ref(), instance, xml);
        assert_eq!(ask(&instance(None), DOMAIN).unwrap(), DOMAIN);
        assert_eq!(ask("{}", "<domain/>").unwrap(), "<domain/>");
        assert!(matches!(
            ask(&instance(Some("another")), DOMAIN),
            Err(Error::Store(fm_store::Error::UnknownBuild { .. }))
        ));
        assert!(matches!(
            ask("no json", DOMAIN),
            Err(Error::Kubevirt(KubevirtError::Instance(_)))
        ));
        let bios = DOMAIN.replace(" type=\"pflash\"", " type=\"rom\"");
        for xml in ["<domain/>", "", &bios] {
            let answered = ask(&instance(Some("edk2-2025.02")), xml);
            assert!(
                matches!(answered, Err(Error::Kubevirt(KubevirtError::Definition(_)))),
                "{xml}"
            );
        }
    }
}
