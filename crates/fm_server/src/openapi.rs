//! The OpenAPI document: every route with its role and its documents, whose schemas come from their types.

use fm_api::v1::enrolment as enrol;
use fm_api::v1::fleet as api;
use fm_api::v1::rollout as roll;
use fm_api::v1::trust::TrustPage;
use fm_api::{Components, Wire};
use serde_json::{Map, Value, json};

/// What takes or gives a document.
type Schema = fn(&mut Components) -> Value;

/// One operation.
struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// Who may; nothing: anybody.
    role: Option<&'static str>,
    body: Option<Schema>,
    answer: Option<Schema>,
    query: &'static [&'static str],
    is_conditional: bool,
}

fn of<T: Wire>(components: &mut Components) -> Value {
    components.of::<T>()
}

const fn read(path: &'static str, role: &'static str, summary: &'static str, answer: Schema) -> Operation {
    Operation {
        method: "get",
        path,
        summary,
        role: Some(role),
        body: None,
        answer: Some(answer),
        query: &[],
        is_conditional: false,
    }
}

const fn write(
    method: &'static str,
    path: &'static str,
    role: &'static str,
    summary: &'static str,
    body: Option<Schema>,
    answer: Schema,
) -> Operation {
    Operation {
        method,
        path,
        summary,
        role: Some(role),
        body,
        answer: Some(answer),
        query: &[],
        is_conditional: false,
    }
}

impl Operation {
    const fn asked(mut self, query: &'static [&'static str]) -> Self {
        self.query = query;
        self
    }

    const fn conditional(mut self) -> Self {
        self.is_conditional = true;
        self
    }

    const fn bytes(mut self) -> Self {
        self.answer = None;
        self
    }

    const fn open(mut self) -> Self {
        self.role = None;
        self
    }
}

const PAGE: &[&str] = &["cursor", "limit"];
const GUESTS: &[&str] = &[
    "cursor",
    "limit",
    "build",
    "host",
    "uuid",
    "name",
    "layout",
    "secure_boot",
    "state",
    "certificate",
];

fn operations() -> Vec<Operation> {
    let nothing: Schema = |_| json!({});
    vec![
        read("/api/v1/ca", "", "The CA's certificate, in PEM", nothing).bytes().open(),
        read("/api/v1/openapi.json", "", "This document", nothing).open(),
        read("/api/v1/meta", "reader or host", "The fleet as a whole", of::<enrol::FleetMeta>),
        read("/metrics", "reader", "The server's figures for Prometheus", nothing).bytes(),
        write(
            "post",
            "/api/v1/join",
            "",
            "Exchanges a token for a certificate",
            Some(of::<enrol::JoinRequest>),
            of::<enrol::Joined>,
        )
        .open(),
        write(
            "post",
            "/api/v1/renew",
            "any certificate",
            "Gives the next certificate of the same name and role",
            Some(of::<enrol::RenewRequest>),
            of::<enrol::Joined>,
        ),
        write(
            "post",
            "/api/v1/tokens",
            "administrator",
            "Makes a token",
            Some(of::<enrol::TokenRequest>),
            of::<enrol::NewToken>,
        ),
        read("/api/v1/keys", "administrator", "Certificates that were issued", of::<enrol::IssuedCertificates>)
            .asked(PAGE),
        write(
            "post",
            "/api/v1/keys/{serial}/revoke",
            "administrator",
            "Revokes a certificate, at once",
            None,
            of::<enrol::IssuedCertificate>,
        ),
        read("/api/v1/hosts", "reader", "Hosts, by id", of::<api::Page<api::HostView>>)
            .asked(&["cursor", "limit", "state", "build", "alive"]),
        read("/api/v1/hosts/{id}", "reader, or the host", "One host", of::<api::HostView>),
        write(
            "put",
            "/api/v1/hosts/{id}/report",
            "the host",
            "What a host runs, holds and needs",
            Some(of::<api::HostReport>),
            of::<api::ReportAnswer>,
        ),
        write(
            "post",
            "/api/v1/hosts/{id}/alive",
            "the host",
            "A sign of life",
            None,
            of::<api::ReportAnswer>,
        ),
        read(
            "/api/v1/hosts/{id}/targets",
            "reader, or the host",
            "What the planner wants on a host",
            of::<api::HostTargets>,
        ),
        write(
            "post",
            "/api/v1/hosts/{id}/retire",
            "operator",
            "Says that a host will not come back: it needs nothing any more, and its certificates are revoked",
            None,
            of::<api::HostView>,
        )
        .conditional(),
        read(
            "/api/v1/guests",
            "reader; a host sees its own",
            "Guests, by host and uuid",
            of::<api::Page<api::GuestView>>,
        )
        .asked(GUESTS),
        read(
            "/api/v1/certificates",
            "reader",
            "Which generations of certificates guests trust, and who can change that",
            of::<TrustPage>,
        )
        .asked(GUESTS),
        read("/api/v1/builds", "reader or host", "Builds, by digest", of::<api::Page<api::BuildView>>)
            .asked(&["cursor", "limit", "state"]),
        read("/api/v1/builds/{digest}", "reader or host", "One build", of::<api::BuildView>),
        write(
            "put",
            "/api/v1/builds/{digest}",
            "operator or host",
            "Makes a build of blobs that were uploaded",
            Some(of::<enrol::UploadedBuild>),
            of::<api::BuildView>,
        ),
        read(
            "/api/v1/builds/{digest}/why",
            "reader",
            "Why a build is kept, or what stands in the way of its removal",
            of::<api::Why>,
        ),
        read("/api/v1/builds/{digest}/manifest", "reader or host", "Its OCI manifest", nothing).bytes(),
        write(
            "post",
            "/api/v1/builds/{digest}/condemn",
            "operator",
            "Says that a build is to go unless somebody needs it",
            None,
            of::<api::BuildView>,
        )
        .conditional(),
        write(
            "post",
            "/api/v1/builds/{digest}/revive",
            "operator",
            "Says that a condemned build is to stay",
            None,
            of::<api::BuildView>,
        )
        .conditional(),
        write(
            "put",
            "/api/v1/builds/{digest}/pins/{name}",
            "operator",
            "Keeps a build, whoever uses it",
            Some(of::<enrol::NewPin>),
            of::<api::BuildView>,
        )
        .conditional(),
        write(
            "delete",
            "/api/v1/builds/{digest}/pins/{name}",
            "operator",
            "Takes a pin away",
            None,
            of::<api::BuildView>,
        )
        .conditional(),
        read("/api/v1/blobs/{digest}", "reader or host", "A blob", nothing).bytes(),
        write("put", "/api/v1/blobs/{digest}", "operator or host", "Uploads a blob", None, nothing),
        read(
            "/api/v1/events",
            "reader",
            "What happened; as a stream of server-sent events if that is what is accepted",
            of::<api::Page<api::Event>>,
        )
        .asked(&["cursor", "limit", "after", "kind", "host", "guest", "build", "new"]),
    ]
}

fn rollout_operations() -> Vec<Operation> {
    let change =
        |path, summary| write("post", path, "operator", summary, None, of::<roll::RolloutView>).conditional();
    vec![
        read(
            "/api/v1/rollouts",
            "reader",
            "Rollouts, the newest first",
            of::<roll::Rollouts>,
        ),
        write(
            "post",
            "/api/v1/rollouts",
            "operator",
            "Begins a rollout",
            Some(of::<roll::RolloutSpec>),
            of::<roll::RolloutView>,
        ),
        write(
            "post",
            "/api/v1/rollouts/plan",
            "reader",
            "What a rollout would do to whom; touches nothing",
            Some(of::<roll::RolloutSpec>),
            of::<roll::RolloutPlan>,
        ),
        read(
            "/api/v1/rollouts/{id}",
            "reader",
            "One rollout",
            of::<roll::RolloutView>,
        ),
        read(
            "/api/v1/rollouts/{id}/guests",
            "reader",
            "Its guests, by the host that they were on when it began",
            of::<api::Page<roll::MemberView>>,
        )
        .asked(PAGE),
        change(
            "/api/v1/rollouts/{id}/pause",
            "Nothing new begins; who has not started yet does not",
        ),
        change(
            "/api/v1/rollouts/{id}/resume",
            "Goes on, whatever has failed so far",
        ),
        change("/api/v1/rollouts/{id}/abort", "Ends it where it is"),
        write(
            "post",
            "/api/v1/rollouts/{id}/rollback",
            "operator",
            "Everybody who got the build goes back",
            Some(of::<roll::RollbackRequest>),
            of::<roll::RolloutView>,
        )
        .conditional(),
        read(
            "/api/v1/guest-pins",
            "reader",
            "Guests that rollouts leave out",
            of::<roll::GuestPins>,
        ),
        write(
            "put",
            "/api/v1/guest-pins/{guest}",
            "operator",
            "Leaves a guest out of rollouts",
            Some(of::<enrol::NewPin>),
            of::<roll::GuestPins>,
        ),
        write(
            "delete",
            "/api/v1/guest-pins/{guest}",
            "operator",
            "Leaves it out no longer",
            None,
            of::<roll::GuestPins>,
        ),
    ]
}

/// The document, OpenAPI 3.1.
#[must_use]
pub fn openapi() -> Value {
    let mut components = Components::below("/components/schemas");
    let problem = of::<enrol::Problem>(&mut components);
    let mut paths = Map::new();
    for operation in operations().into_iter().chain(rollout_operations()) {
        let entry = describe(&operation, &mut components);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.into(), entry);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Flashmoor fleet",
            "version": "1",
            "description": "Who runs which firmware, cluster-wide. TLS 1.3 with client certificates; a role is in the \
                            certificate. Every refusal is a problem document (RFC 9457).",
        },
        "paths": paths,
        "components": {
            "schemas": components.into_schemas(),
            "responses": {
                "problem": {
                    "description": "Refused",
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
            "securitySchemes": {
                "certificate": { "type": "mutualTLS" },
                "token": { "type": "http", "scheme": "bearer", "description": "For the role reader" },
            },
        },
        "security": [{ "certificate": [] }, { "token": [] }],
    })
}

fn describe(operation: &Operation, components: &mut Components) -> Value {
    let in_path =
        operation.path.split(['{', '}']).skip(1).step_by(2).map(
            |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }),
        );
    let in_query = operation
        .query
        .iter()
        .map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string" } }));
    let in_head = operation.is_conditional.then(|| {
        json!({
            "name": "If-Match", "in": "header", "schema": { "type": "string" },
            "description": "The tag of a read: refused with 412 if it has changed since",
        })
    });
    let parameters: Vec<Value> = in_path.chain(in_query).chain(in_head).collect();
    let answer = match operation.answer {
        Some(schema) => json!({
            "description": "Done",
            "content": { "application/json": { "schema": schema(components) } },
        }),
        None => json!({ "description": "Done" }),
    };
    let mut entry = json!({
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            "200": answer,
            "default": { "$ref": "#/components/responses/problem" },
        },
    });
    if let Some(entry) = entry.as_object_mut() {
        match operation.role {
            Some(role) => entry.insert("x-role".into(), role.into()),
            None => entry.insert("security".into(), json!([])),
        };
        if let Some(body) = operation.body {
            let content = json!({ "application/json": { "schema": body(components) } });
            entry.insert(
                "requestBody".into(),
                json!({ "required": true, "content": content }),
            );
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_document_is_the_one_that_is_checked_in() {
        let mut text = serde_json::to_string_pretty(&openapi()).unwrap();
        text.push('\n');
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        if std::env::var_os("FLASHMOOR_WRITE_OPENAPI").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            text == checked_in,
            "the API has changed: look whether that is meant, and write {} anew with FLASHMOOR_WRITE_OPENAPI=1",
            path.display()
        );
    }

    #[test]
    fn every_route_is_described_and_every_description_has_a_route() {
        let source = include_str!("routes.rs");
        let routed: std::collections::BTreeSet<&str> = source
            .split('"')
            .filter(|text| text.starts_with("/api/") || *text == "/metrics")
            .collect();
        let described: std::collections::BTreeSet<&str> = operations()
            .iter()
            .chain(&rollout_operations())
            .map(|operation| operation.path)
            .collect();
        assert_eq!(routed, described);
    }
}
