//! The migration settings of both ends, to be put back as they were.

use fm_host::qmp::Client;
use serde_json::{Map, Value, json};

use crate::migrate::Error;

/// What both monitors had set before we came.
pub(super) struct Before {
    pub(super) source: Settings,
    pub(super) destination: Settings,
}

/// The migration settings of one monitor.
pub(super) struct Settings {
    pub(super) enabled: Vec<String>,
    pub(super) parameters: Map<String, Value>,
}

/// The parameters that a migration of ours may change.
const TOUCHED: [&str; 4] = [
    "max-bandwidth",
    "downtime-limit",
    "multifd-channels",
    "multifd-compression",
];

impl Settings {
    pub(super) fn read(client: &mut Client) -> Result<Self, Error> {
        let capabilities = client.execute("query-migrate-capabilities", None)?;
        let enabled = capabilities.as_array().into_iter().flatten().filter_map(|entry| {
            let on = entry.get("state")?.as_bool()?;
            on.then(|| entry.get("capability")?.as_str().map(ToOwned::to_owned))?
        });
        let parameters = client.execute("query-migrate-parameters", None)?;
        let touched = |name: &&str| Some(((*name).to_owned(), parameters.get(*name)?.clone()));
        Ok(Self {
            enabled: enabled.collect(),
            parameters: TOUCHED.iter().filter_map(touched).collect(),
        })
    }

    /// Best effort: the guest's run matters more than a leftover setting.
    pub(super) fn restore(&self, client: &mut Client) {
        let ours = ["events", "pause-before-switchover", "multifd", "postcopy-ram"];
        let off = ours
            .iter()
            .filter(|name| !self.enabled.iter().any(|enabled| enabled == *name));
        let list: Vec<Value> = off
            .map(|name| json!({"capability": name, "state": false}))
            .collect();
        let _ = client.execute("migrate-set-capabilities", Some(json!({ "capabilities": list })));
        let _ = client.execute(
            "migrate-set-parameters",
            Some(Value::Object(self.parameters.clone())),
        );
    }
}
