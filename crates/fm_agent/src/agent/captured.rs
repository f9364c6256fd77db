//! Pins of captures end with their reason: the guest that the build was captured for.

use fm_formats::Sha256;
use fm_store::Store;

use super::records::{Pin, Records};
use crate::Result;
use fm_adopt::capture;

/// Notes which pins of captures are needed, and takes those away that nobody has needed since `before_s`.
///
/// A pin is needed while a guest runs its build, and while libvirt knows the domain that it is for; of a libvirt that does
/// not answer (`domains` is nothing) all are needed.
pub(super) fn let_go(
    store: &Store,
    records: &mut Records,
    running: &[Sha256],
    domains: Option<&[String]>,
    now_s: i64,
    before_s: i64,
) -> Result<()> {
    let (builds, _) = store.readable_builds()?;
    for build in &builds {
        for reason in &build.pins {
            let Some(uuid) = capture::pinned_for(reason) else {
                continue;
            };
            let is_known = match (uuid, domains) {
                (Some(uuid), Some(domains)) => domains.iter().any(|domain| domain == uuid),
                (Some(_), None) => true,
                (None, _) => false,
            };
            let is_needed = is_known || running.contains(&build.id);
            records.pin(&build.id, reason, now_s, is_needed)?;
        }
    }
    for Pin {
        build,
        reason,
        needed_s,
    } in records.unneeded_pins(before_s)?
    {
        let known = builds.iter().find(|known| known.id == build);
        if let Some(known) = known.filter(|known| known.pins.contains(&reason)) {
            store.unpin(&build, Some(&reason))?;
            // What was stored for that guest alone is ours to remove; what somebody imported is not.
            if known.source.as_deref() == Some(capture::SOURCE) {
                records.stored(&build, None, needed_s)?;
            }
        }
        records.forget_pin(&build, &reason)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use fm_store::Import;

    use super::*;

    #[test]
    fn a_pin_ends_when_its_guest_is_gone_for_long_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("libvirt")).unwrap();
        let store = Store::open(folder.path()).unwrap();
        let import = |code: &[u8], source: &str, pin: &str| {
            let import = Import {
                code,
                source: Some(source),
                pin: Some(pin),
                ..Import::default()
            };
            store.import(&import).unwrap().id
        };
        let ours = import(b"1", capture::SOURCE, "captured for guest web (u1)");
        let theirs = import(b"2", "/their/CODE.fd", "captured for guest web (u1)");
        import(b"2", "/their/CODE.fd", "because I say so");
        let nameless = import(b"3", capture::SOURCE, "captured for a guest without a name");
        let pins = |id: &Sha256| store.pins(id).unwrap().len();
        let mut records = Records::open(&store).unwrap();
        let day = |day: i64| day * 86_400;
        let mut look = |now: i64, running: &[Sha256], domains: Option<&[String]>| {
            let_go(&store, &mut records, running, domains, day(now), day(now - 30)).unwrap();
            records.unneeded(day(now - 30)).unwrap()
        };
        let domain = ["u1".to_owned()];
        assert!(look(100, &[ours], None).is_empty());
        assert_eq!(
            look(140, &[ours], Some(&domain)),
            [nameless],
            "the nameless one has ended, and its build is due"
        );
        assert_eq!((pins(&ours), pins(&theirs), pins(&nameless)), (1, 2, 0));
        // libvirt forgets the domain; the guest ran until then
        assert_eq!(look(150, &[], Some(&[])), [nameless]);
        assert_eq!(pins(&ours), 1);
        let unneeded = look(171, &[], Some(&[]));
        assert_eq!((pins(&ours), pins(&theirs)), (0, 1));
        assert!(
            unneeded.contains(&ours) && !unneeded.contains(&theirs),
            "{unneeded:?}"
        );
        assert_eq!(store.pins(&theirs).unwrap(), ["because I say so"]);
    }
}
