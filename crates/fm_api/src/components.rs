//! JSON schemas that refer to each other below one path, as an OpenAPI document has them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

/// What has a JSON schema: every type of the API.
pub trait Wire: JsonSchema {}

impl<T: JsonSchema> Wire for T {}

/// The schemas that were asked for, and those that they refer to.
#[derive(Debug)]
pub struct Components(SchemaGenerator);

impl Components {
    /// None yet; they will lie below `path`, such as `/components/schemas`.
    #[must_use]
    pub fn below(path: &str) -> Self {
        let settings = SchemaSettings::draft2020_12();
        let settings = settings.with(|settings| settings.definitions_path = path.to_owned().into());
        Self(settings.into_generator())
    }

    /// The schema of `T`, or a reference to it.
    pub fn of<T: Wire>(&mut self) -> Value {
        self.0.subschema_for::<T>().to_value()
    }

    /// All that were referred to, by name.
    #[must_use]
    pub fn into_schemas(mut self) -> Map<String, Value> {
        self.0.take_definitions(true)
    }
}
