//! The description of the API by OpenAPI 3.1, made from the routes and from the types of their answers.
//!
//! OpenAPI 3.1 takes JSON Schema as it is, so the doc comments of the read layer's types are the manual here too.

use axum::routing::MethodRouter;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::backend::Asked;
use crate::problem::ErrorBody;

/// A route of the API and what is to be known of it.
pub(crate) struct Route {
    /// The path; what stands in braces is described by [`parameter`].
    pub(crate) path: &'static str,
    /// What answers.
    pub(crate) answers: MethodRouter<Asked>,
    /// Its name for programs that make clients.
    pub(crate) id: &'static str,
    /// What it gives, in one line.
    pub(crate) gives: &'static str,
    /// What may stand behind the `?`.
    pub(crate) query: &'static [&'static str],
    /// What the answer is.
    pub(crate) form: Answer,
    /// What is sent; a route with a body is asked by POST.
    pub(crate) body: Option<SchemaOf>,
}

/// The schema of a type.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What an answer is.
pub(crate) enum Answer {
    /// JSON of this type.
    Json(SchemaOf),
    /// Text, as C2SP writes checkpoints and proofs.
    Text,
    /// A JSON document that describes itself.
    Document,
}

impl Answer {
    /// JSON of the type `T`.
    pub(crate) fn json<T: JsonSchema>() -> Answer {
        Answer::Json(schema_of::<T>)
    }
}

/// The schema of `T`.
pub(crate) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The whole description. `reading` is for everybody who may read; `owner` is answered on the control socket only.
pub(crate) fn description(reading: &[Route], owner: &[Route]) -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        settings.transforms.push(Box::new(RecursiveTransform(in_words_of_json)));
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ErrorBody>();
    let mut paths = Map::new();
    for (route, socket) in reading.iter().map(|route| (route, false)).chain(owner.iter().map(|route| (route, true))) {
        paths.insert(route.path.to_owned(), item(route, socket, &mut generator));
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "evidenced",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What is recorded, what deviates, and what could not be read, for programs. Every answer names \
                            the ledger entries it rests on. Nothing can be changed here.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:8461", "description": "where the daemon listens unless it is told otherwise" }],
        // Without a token file nobody is asked who they are: the listener is on a loopback address then.
        "security": [{}, { "bearer": [] }, { "basic": [] }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": { "Refused": {
                "description": "what is wrong with the request, or with the daemon, and what to do about it",
                "content": { "application/json": { "schema": error } },
            } },
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "the token of `web.token_file`" },
                "basic": { "type": "http", "scheme": "basic", "description": "any user name, and the token as the password" },
            },
        },
    });
    format!("{document:#}\n")
}

/// Doc comments speak of Rust's values; whoever reads this sees JSON's.
fn in_words_of_json(schema: &mut Schema) {
    let said = schema
        .get("description")
        .and_then(Value::as_str)
        .map(|said| said.replace("`None`", "null").replace("[`", "`").replace("`]", "`"));
    if let Some(said) = said {
        schema.insert("description".to_owned(), said.into());
    }
}

/// What the description says of one path.
fn item(route: &Route, socket: bool, generator: &mut SchemaGenerator) -> Value {
    let (media, schema) = match &route.form {
        Answer::Json(schema) => ("application/json", schema(generator).to_value()),
        Answer::Document => ("application/json", json!({ "type": "object" })),
        Answer::Text => ("text/plain", json!({ "type": "string" })),
    };
    let status = if route.body.is_some() { "202" } else { "200" };
    let placeholders = route.path.split(['{', '}']).skip(1).step_by(2).map(|name| parameter(name, "path"));
    let parameters: Vec<Value> = placeholders.chain(route.query.iter().map(|name| parameter(name, "query"))).collect();
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.gives,
        "parameters": parameters,
        "responses": {
            status: { "description": route.gives, "content": { media: { "schema": schema } } },
            "default": { "$ref": "#/components/responses/Refused" },
        },
    });
    if let (Some(schema), Some(operation)) = (route.body, operation.as_object_mut()) {
        // What may be left out of a question is not what is left out of an answer.
        let mut asked = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        asked.transforms.push(Box::new(RecursiveTransform(in_words_of_json)));
        let body = schema(&mut asked.into_generator());
        operation.insert(
            "requestBody".to_owned(),
            json!({
                "required": true,
                "content": { "application/json": { "schema": body } },
            }),
        );
    }
    let mut item = json!({ (if route.body.is_some() { "post" } else { "get" }): operation });
    if let (true, Some(item)) = (socket, item.as_object_mut()) {
        let on_socket = json!([{ "url": "http://localhost", "description": "over the socket DATA/control.sock, the owner's alone" }]);
        item.insert("servers".to_owned(), on_socket);
    }
    item
}

/// What may stand at one place of an address.
fn parameter(name: &str, place: &str) -> Value {
    let whole = |least: u32| json!({ "type": "integer", "minimum": least });
    let text = || json!({ "type": "string" });
    let (schema, what) = match name {
        "framework" => (text(), "a catalogue, such as iso27001-2022"),
        "control" => (text(), "the number of a control in it, such as A.8.5"),
        "entry" => (whole(0), "the number of an entry, from 0"),
        "row" => (whole(0), "the number of a row of that entry, from 0"),
        "limit" => (whole(1), "at most this many, and never more than 1000"),
        "before" => (whole(0), "only what was recorded before this entry"),
        "from" => (whole(0), "leave out this many from the beginning"),
        _ => (text(), ""),
    };
    json!({ "name": name, "in": place, "required": place == "path", "schema": schema, "description": what })
}
