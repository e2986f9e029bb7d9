//! `api/*.yaml`, read once, and every answer held against it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{LazyLock, Mutex},
};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::{Answer, Listener};

/// One operation that a description promises.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Operation {
    /// In upper case.
    pub method: String,
    /// With parameters in braces.
    pub path: String,
    /// In the camel case of `api/*.yaml`.
    pub id: String,
}

static PUBLIC: LazyLock<Description> = LazyLock::new(|| Description::read("public.yaml"));
static INTERNAL: LazyLock<Description> = LazyLock::new(|| Description::read("internal.yaml"));

/// The description of one listener.
pub struct Description {
    document: Value,
    validators: Mutex<HashMap<String, std::sync::Arc<Validator>>>,
}

/// The description of `listener`.
pub fn of(listener: Listener) -> &'static Description {
    match listener {
        Listener::Public => &PUBLIC,
        Listener::Internal => &INTERNAL,
    }
}

/// Fails unless `answer` is one that the listener's description allows for this request.
#[track_caller]
pub fn check(listener: Listener, method: &str, path: &str, answer: &Answer) {
    let description = of(listener);
    let Some(template) = description.template(path) else {
        return assert!(matches!(answer.status, 401 | 404 | 413), "{method} {path} is not described");
    };
    let Some(operation) = description.document["paths"][&template].get(method.to_lowercase()) else {
        return assert!(matches!(answer.status, 401 | 405 | 413), "{method} {path} is not described");
    };
    let status = answer.status.to_string();
    let pointer = format!("/paths/{}/{}/responses/{status}", escape(&template), method.to_lowercase());
    let response = description.resolve(&operation["responses"][&status]);
    assert!(!response.is_null(), "{method} {template}: {status} is not described: {}", answer.text);
    let kind = answer.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    if let Some(schema) = response["content"][kind].get("schema")
        && kind == "application/json"
    {
        description.validate(&pointer, schema, &answer.json());
    } else {
        assert!(
            response["content"].get(kind).is_some(),
            "{method} {template} {status}: {kind} not described"
        );
    }
}

impl Description {
    /// Reads `api/<file>`.
    pub fn read(file: &str) -> Self {
        let path = format!("{}/api/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let document = serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { document, validators: Mutex::default() }
    }

    /// Every operation of it.
    pub fn operations(&self) -> BTreeSet<Operation> {
        let mut all = BTreeSet::new();
        for (path, methods) in self.document["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                if let Some(id) = operation["operationId"].as_str() {
                    let (method, id) = (method.to_uppercase(), id.to_owned());
                    all.insert(Operation { method, path: path.clone(), id });
                }
            }
        }
        all
    }

    /// Fails unless `body` is what the request body schema of the operation allows: for the fakes of the upstreams.
    #[track_caller]
    pub fn check_request(&self, method: &str, path: &str, body: &Value) {
        let template = self.template(path).unwrap_or_else(|| panic!("{path} is not described"));
        let method = method.to_lowercase();
        let request = self.resolve(&self.document["paths"][&template][&method]["requestBody"]).clone();
        let schema = &request["content"]["application/json"]["schema"];
        assert!(!schema.is_null(), "{method} {template} has no body schema");
        self.validate(&format!("/paths/{}/{method}/requestBody", escape(&template)), schema, body);
    }

    /// The example of an operation's request body, and whether other bodies are what the description allows; nothing
    /// for an operation that takes none.
    pub fn body_of(&self, operation: &Operation) -> Option<(Value, impl Fn(&Value) -> bool + use<>)> {
        let method = operation.method.to_lowercase();
        let content =
            &self.document["paths"][&operation.path][&method]["requestBody"]["content"]["application/json"];
        let example = content["example"].clone();
        let example = if example.is_null() { first_example(content)? } else { example };
        let whole = json!({ "allOf": [content["schema"]], "components": self.document["components"] });
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
        let validator = options.should_validate_formats(true).build(&whole).expect("a schema");
        Some((example, move |body: &Value| validator.is_valid(body)))
    }

    fn template(&self, path: &str) -> Option<String> {
        let fits = |template: &str| {
            let (mut left, mut right) = (template.split('/'), path.split('/'));
            loop {
                match (left.next(), right.next()) {
                    (None, None) => return true,
                    (Some(named), Some(given)) if named.starts_with('{') && !given.is_empty() => {}
                    (Some(named), Some(given)) if named == given => {}
                    _ => return false,
                }
            }
        };
        let paths = self.document["paths"].as_object().expect("paths");
        paths.keys().find(|template| fits(template)).cloned()
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => self.document.pointer(pointer).expect("a reference that leads somewhere"),
            None => value,
        }
    }

    #[track_caller]
    fn validate(&self, place: &str, schema: &Value, body: &Value) {
        let mut known = self.validators.lock().unwrap();
        let validator = known.entry(place.to_owned()).or_insert_with(|| {
            let whole = json!({ "allOf": [schema], "components": self.document["components"] });
            let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
            options.should_validate_formats(true).build(&whole).expect("a schema").into()
        });
        let validator = validator.clone();
        drop(known);
        let faults: Vec<String> = validator.iter_errors(body).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{place}: {faults:?} in {body}");
    }
}

fn first_example(content: &Value) -> Option<Value> {
    content["examples"].as_object()?.values().next().map(|example| example["value"].clone())
}

fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}
