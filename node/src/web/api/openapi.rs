//! The description of the read API in OpenAPI 3.1: one schema a ledger, made from the catalogue in force.

use serde_json::{Map, Value, json};
use taizhang_core::catalogue::{Catalogue, Field, FieldKind, Ledger, Text};

use crate::ops::query::{REPORTS, ROWS_MAX};

/// An address with its words, its parameters and the schema of its answer.
type Operation = (&'static str, &'static str, &'static [&'static str], &'static str);

/// What can be asked. Records of a ledger stand apart: they have an address and a schema each.
const OPERATIONS: [Operation; 10] = [
    ("/api/v1/openapi.json", "本说明 / this description", &[], "Anything"),
    ("/api/v1/ledgers", "台账目录 / ledgers", &[], "Ledgers"),
    ("/api/v1/records/{place}/{record}", "一条记录 / one record", &["/place", "/record"], "Record"),
    ("/api/v1/places", "区划 / places", &[], "Places"),
    ("/api/v1/indicators", "指标 / indicators", &[], "Indicators"),
    ("/api/v1/figures", "汇总数据 / figures", &["place", "from", "to"], "Figures"),
    ("/api/v1/policy", "政策参数 / policy", &[], "Policy"),
    ("/api/v1/policy/{record}/reach", "政策送达 / reach", &["/record"], "Reach"),
    ("/api/v1/reports", "已报报表 / filed reports", &["place", "since", "limit"], "Page"),
    ("/api/v1/reports/{record}", "一份报表 / one report", &["/record"], "Record"),
];

fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

fn rows(of: Value) -> Value {
    object(json!({"rows": {"type": "array", "items": of}}), &["rows"])
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn text(of: &Text) -> String {
    format!("{} / {}", of.zh, of.en)
}

/// The choices of a vocabulary, as notes: rows may hold a value of a newer one.
fn choices(catalogue: &Catalogue, vocab: &str) -> Value {
    let values = catalogue.vocabs.get(vocab).into_iter().flat_map(|vocab| &vocab.values);
    let pairs = values.map(|(id, label)| (id.clone(), json!(text(label))));
    Value::Object(pairs.collect())
}

/// The schema of a kind's canonical values.
fn kind_schema(kind: &FieldKind, catalogue: &Catalogue) -> Value {
    match kind {
        FieldKind::Attach => {
            let file = object(
                json!({
                    "hash": {"type": "string"}, "bytes": {"type": "integer"},
                    "media": {"type": "string"}, "name": {"type": "string"},
                }),
                &["hash", "bytes", "media", "name"],
            );
            json!({"type": "array", "items": file})
        }
        FieldKind::Bool => json!({"type": "boolean"}),
        FieldKind::Date => json!({"type": "string", "format": "date"}),
        FieldKind::Enum(vocab) => json!({"type": "string", "x-values": choices(catalogue, vocab)}),
        FieldKind::Int | FieldKind::Year => json!({"type": "integer"}),
        FieldKind::Log(columns) => {
            let columns = columns.iter().map(|column| {
                let mut schema = kind_schema(&column.kind, catalogue);
                describe(&mut schema, &column.label);
                (column.id.clone(), schema)
            });
            let line = object(Value::Object(columns.collect()), &[]);
            json!({"type": "array", "items": line})
        }
        FieldKind::Money => json!({"type": "integer", "x-unit": "分"}),
        FieldKind::Month => json!({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"}),
        FieldKind::Place => json!({"type": "string", "x-place": true}),
        FieldKind::Ref(ledger) => json!({"type": "string", "x-ledger": ledger}),
        FieldKind::Set(vocab) => {
            let member = json!({"type": "string", "x-values": choices(catalogue, vocab)});
            json!({"type": "array", "items": member})
        }
        _ => json!({"type": "string"}),
    }
}

fn describe(schema: &mut Value, label: &Text) {
    if let Value::Object(map) = schema {
        map.insert("description".into(), json!(text(label)));
    }
}

fn field_schema(field: &Field, catalogue: &Catalogue) -> Value {
    let mut schema = kind_schema(&field.kind, catalogue);
    describe(&mut schema, &field.label);
    if let Value::Object(map) = &mut schema {
        map.insert("x-privacy".into(), json!(field.privacy));
    }
    schema
}

/// What every record has, whatever its fields.
fn record_schema(fields: Value) -> Value {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    object(
        json!({
            "record": {"type": "string"},
            "place": {"type": "string"},
            "slice": {"type": "string", "enum": ["ledger", "directive"]},
            "title": {"type": "string"},
            "state": {"type": "string"},
            "void": {"type": "boolean"},
            "conflicts": {"type": "integer"},
            "changed_ms": {"type": "integer"},
            "fields": fields,
            "masked": {"type": "object", "additionalProperties": {"type": "string"}},
            "mistyped": texts,
            "ledger": {"type": "string"},
            "findings": {"type": "array", "items": {"type": "object"}},
            "conflict_items": {"type": "array", "items": {"type": "object"}},
        }),
        &[
            "record",
            "place",
            "slice",
            "title",
            "state",
            "void",
            "conflicts",
            "changed_ms",
            "fields",
            "masked",
            "mistyped",
        ],
    )
}

/// The schema of a ledger's records: only values that show stand among the fields.
fn ledger_schema(ledger: &Ledger, catalogue: &Catalogue) -> Value {
    let fields = ledger.fields.iter();
    let fields = fields.map(|field| (field.id.clone(), field_schema(field, catalogue)));
    let fields = json!({
        "type": "object", "properties": Value::Object(fields.collect()),
        "additionalProperties": false,
    });
    let mut schema = record_schema(fields);
    describe(&mut schema, &ledger.label);
    schema
}

fn page_schema(of: Value) -> Value {
    object(
        json!({
            "rows": {"type": "array", "items": of}, "next": {"type": "string"},
            "more": {"type": "boolean"},
        }),
        &["rows", "next", "more"],
    )
}

fn coverage_schema() -> Value {
    let mut coverage = flat(&[
        "places:integer",
        "reported:integer",
        "oldest:integer",
        "missing:array",
        "parked:integer",
        "has_data:boolean",
    ]);
    coverage["properties"]["missing"]["items"] = flat(&["name:string", "heard:integer"]);
    coverage
}

/// An object whose properties are all there, each `name:type`.
fn flat(properties: &[&str]) -> Value {
    let pairs = properties.iter().filter_map(|one| one.split_once(':'));
    let schemas = pairs.clone().map(|(name, kind)| (name.to_owned(), json!({"type": kind})));
    let required: Vec<&str> = pairs.map(|(name, _)| name).collect();
    object(Value::Object(schemas.collect()), &required)
}

fn figures_schema() -> Value {
    let figure = object(
        json!({
            "place": {"type": "string"},
            "name": {"type": "string"},
            "values": {"type": "object", "additionalProperties": {"type": "integer"}},
            "coverage": reference("Coverage"),
        }),
        &["place", "name", "values", "coverage"],
    );
    object(
        json!({
            "as_of_ms": {"type": "integer"},
            "from": {"type": "string"},
            "to": {"type": "string"},
            "rows": {"type": "array", "items": figure},
        }),
        &["as_of_ms", "from", "to", "rows"],
    )
}

fn places_schema() -> Value {
    let mut place = flat(&["id:string", "code:string", "name:string", "level:string"]);
    // The city has no place above.
    place["properties"]["parent"] = json!({"type": ["string", "null"]});
    rows(place)
}

/// Schemas that do not depend on the catalogue.
fn fixed_schemas() -> Map<String, Value> {
    let reached =
        ["place:string", "name:string", "level:string", "held_ms:integer", "applied_ms:integer"];
    let ledger = ["id:string", "zh:string", "en:string", "fields:array", "readable:boolean"];
    let indicator =
        ["id:string", "zh:string", "en:string", "ledger:string", "flow:boolean", "money:boolean"];
    let schemas = [
        ("Anything", json!({})),
        ("Coverage", coverage_schema()),
        ("Error", flat(&["error:string", "zh:string", "en:string"])),
        ("Figures", figures_schema()),
        ("Indicators", rows(flat(&indicator))),
        ("Ledgers", rows(flat(&ledger))),
        ("Page", page_schema(reference("Record"))),
        ("Places", places_schema()),
        ("Policy", flat(&["place:string", "versions:array", "params:array"])),
        ("Reach", rows(flat(&reached))),
        ("Record", record_schema(json!({"type": "object"}))),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// Parameters by name; those of the path begin with `/`.
fn parameters(names: &[&str]) -> Value {
    let one = |name: &&str| {
        let in_path = name.starts_with('/');
        let schema = match *name {
            "limit" => json!({"type": "integer", "minimum": 1, "maximum": ROWS_MAX}),
            "from" | "to" => json!({"type": "string", "pattern": "^[0-9]{4}(-[0-9]{2})?$"}),
            _ => json!({"type": "string"}),
        };
        json!({
            "name": name.trim_start_matches('/'), "in": if in_path { "path" } else { "query" },
            "required": in_path, "schema": schema,
        })
    };
    names.iter().map(one).collect()
}

fn operation(words: &str, names: &[&str], schema: &str) -> Value {
    let content = |name: &str| json!({"application/json": {"schema": reference(name)}});
    json!({"get": {
        "summary": words,
        "parameters": parameters(names),
        "responses": {
            "200": {"description": words, "content": content(schema)},
            "default": {"description": "没有答复 / no answer", "content": content("Error")},
        },
    }})
}

/// The whole description.
pub fn document(catalogue: &Catalogue) -> Value {
    let (mut paths, mut schemas) = (Map::new(), fixed_schemas());
    for (path, words, names, schema) in OPERATIONS {
        paths.insert(path.to_owned(), operation(words, names, schema));
    }
    let asked = ["place", "state", "since", "limit"];
    for ledger in catalogue.ledgers_for_people().filter(|ledger| !ledger.closed) {
        let id = &ledger.id;
        let (one, page) = (format!("ledger.{id}"), format!("page.{id}"));
        paths.insert(
            format!("/api/v1/ledgers/{id}"),
            operation(&text(&ledger.label), &asked, &page),
        );
        schemas.insert(page, page_schema(reference(&one)));
        schemas.insert(one, ledger_schema(ledger, catalogue));
    }
    let about = format!(
        "只读接口 / read only. 令牌 / token: Authorization: Bearer tzt_… 金额以分计 / money in 分; \
         已报报表 / filed reports: {REPORTS}"
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "台账 / Taizhang", "version": env!("CARGO_PKG_VERSION"), "description": about,
            "x-catalogue": catalogue.digest(),
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_api_is_described() {
        let parts = taizhang_core::base_catalogue();
        let catalogue = taizhang_core::catalogue::parse::parse(&parts).unwrap();
        let document = document(&catalogue);
        let paths = document["paths"].as_object().unwrap();
        for route in super::super::super::ROUTES {
            let described = match route.path {
                "/api/v1/ledgers/{ledger}" => paths.contains_key("/api/v1/ledgers/poor_household"),
                path => !path.starts_with(super::super::API) || paths.contains_key(path),
            };
            assert!(described, "{}", route.path);
        }
    }
}
