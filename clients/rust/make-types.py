"""Writes src/types.rs from openapi.yaml.

    make-types.py OPENAPI OUTPUT

It knows the part of JSON Schema that the contract uses, and ends with an error at any other.
"""

import re
import sys
import textwrap

import yaml

HEAD = """\
// Made from openapi.yaml by clients/make-types. Do not edit.

//! The types of the contract. A member or a word that this version does not know is no error: a
//! member is left out, a word is `Unknown`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
"""

# Schemas that no client has a use for.
LEFT_OUT = {"Contract", "ProblemType", "HeaderName"}
KEYWORDS = {"type", "ref", "match", "self", "in", "use", "where"}
RENAMED = {"type": "kind"}


def pascal(text):
    words = re.split(r"[^0-9A-Za-z]+", text)
    return "".join(word[:1].upper() + word[1:] for word in words if word)


def snake(text):
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower().replace("-", "_")
    return RENAMED.get(text, text + "_" if text in KEYWORDS else text)


def doc(schema, indent=""):
    text = schema.get("description", "")
    lines = []
    for paragraph in text.strip().split("\n\n"):
        if not paragraph.strip():
            continue
        if lines:
            lines.append("")
        lines += textwrap.wrap(" ".join(paragraph.split()), 96 - len(indent))
    # rustdoc reads brackets as links.
    return [f"{indent}/// {line}".rstrip().replace("[", "\\[").replace("]", "\\]") for line in lines]


def is_null(schema):
    return schema.get("type") == "null"


class Types:
    def __init__(self, schemas):
        self.schemas = schemas
        self.out = []

    def all(self):
        for name, schema in self.schemas.items():
            if name not in LEFT_OUT:
                self.named(name, schema)
        return "\n".join([HEAD, *self.out]) + "\n"

    def named(self, name, schema):
        """Defines what a name of the contract stands for."""
        if "enum" in schema:
            self.words(name, schema)
        elif "oneOf" in schema:
            inner = self.type_of(schema, name, define=True)
            if inner != name:
                self.alias(name, schema, inner)
        elif "properties" in schema:
            self.struct(name, schema)
        else:
            self.alias(name, schema, self.type_of(schema, name))

    def alias(self, name, schema, inner):
        self.out += [*doc(schema), f"pub type {name} = {inner};", ""]

    def words(self, name, schema, is_tag=False):
        lines = [*doc(schema)]
        lines += ["#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]"]
        lines += ["#[non_exhaustive]", f"pub enum {name} {{"]
        for word in schema["enum"]:
            variant = pascal(word.removeprefix("/problems/"))
            lines += [f"    /// `{word}`.", f'    #[serde(rename = "{word}")]', f"    {variant},"]
        # A tag that is not known is one of another alternative.
        if not is_tag:
            lines += ["    /// A word that this version does not know."]
            lines += ["    #[serde(other, skip_serializing)]", "    Unknown,"]
        self.out += [*lines, "}", ""]

    def one_word(self, name, word):
        variant = pascal(word)
        self.out += [
            f"/// Always `{word}`.",
            "#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]",
            f"pub enum {name} {{",
            f"    /// `{word}`.",
            f'    #[serde(rename = "{word}")]',
            f"    {variant},",
            "}",
            "",
        ]

    def struct(self, name, schema):
        is_request = schema.get("additionalProperties") is False
        required = set(schema.get("required", []))
        lines = [*doc(schema)]
        derives = "Clone, Debug, Default, " if is_request else "Clone, Debug, "
        lines += [f"#[derive({derives}Deserialize, PartialEq, Serialize)]"]
        if not is_request:
            lines += ["#[non_exhaustive]"]
        lines += ['#[serde(rename_all = "camelCase")]', f"pub struct {name} {{"]
        for member, inner in schema["properties"].items():
            kind = self.type_of(inner, name + pascal(member))
            attributes = []
            if member not in required:
                if not kind.startswith("Option<"):
                    kind = f"Option<{kind}>"
                attributes += ["default", 'skip_serializing_if = "Option::is_none"']
            field = snake(member)
            if field.rstrip("_") != snake(member.rstrip("_")).rstrip("_") or member in KEYWORDS:
                attributes.insert(0, f'rename = "{member}"')
            lines += doc(self.described(inner), "    ") or [f"    /// `{member}`."]
            if attributes:
                lines += [f"    #[serde({', '.join(attributes)})]"]
            lines += [f"    pub {field}: {kind},"]
        lines += ["}", ""]
        self.out += lines

    def described(self, schema):
        """The schema, or the one that it refers to when it says nothing itself."""
        if "description" not in schema and "$ref" in schema:
            return self.schemas[schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def union(self, name, schema, forms):
        lines = []
        for form in forms:
            if "$ref" in form:
                inner = form["$ref"].rsplit("/", 1)[1]
                lines += doc(self.described(form), "    ") or [f"    /// [`{inner}`]."]
                lines += [f"    {inner.removesuffix('Event')}(Box<{inner}>),"]
                continue
            tag = form.get("properties", {}).get("kind", {}).get("const")
            shape = {"string": "Text", "array": "List", "object": "Map"}[form["type"]]
            variant = pascal(tag) if tag else shape
            inner = self.type_of(form, name + variant)
            lines += doc(form, "    ") or [f"    /// A {shape.lower()}."]
            lines += [f"    {variant}({inner}),"]
        lines += ["    /// What this version does not know.", "    Unknown(serde_json::Value),"]
        derives = ["#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]"]
        head = [*doc(schema), *derives, "#[non_exhaustive]", "#[serde(untagged)]"]
        self.out += [*head, f"pub enum {name} {{", *lines, "}", ""]

    def type_of(self, schema, name, define=False):
        """The Rust type of a schema. What has no name in the contract is defined as `name`."""
        if "$ref" in schema:
            return schema["$ref"].rsplit("/", 1)[1]
        if "oneOf" in schema:
            forms = [form for form in schema["oneOf"] if not is_null(form)]
            if len(forms) == 1:
                inner = self.type_of(forms[0], name)
            else:
                self.union(name, {} if not define else schema, forms)
                inner = name
            return f"Option<{inner}>" if len(forms) < len(schema["oneOf"]) else inner
        kind = schema["type"]
        if isinstance(kind, list):
            (kind,) = [one for one in kind if one != "null"]
            return f"Option<{self.type_of({**schema, 'type': kind}, name)}>"
        if "const" in schema and kind == "string":
            self.one_word(name, schema["const"])
            return name
        if "enum" in schema:
            self.words(name, schema, is_tag=name.endswith("EventType"))
            return name
        if kind == "string":
            return "String"
        if kind == "integer":
            return "u64"
        if kind == "boolean":
            return "bool"
        if kind == "array":
            return f"Vec<{self.type_of(schema['items'], name + 'Item')}>"
        if kind == "object" and "properties" in schema:
            self.struct(name, schema)
            return name
        if kind == "object":
            inner = self.type_of(schema["additionalProperties"], name + "Value")
            return f"BTreeMap<String, {inner}>"
        raise SystemExit(f"{name}: {schema} is not known to this program")


with open(sys.argv[1], encoding="utf-8") as contract:
    schemas = yaml.safe_load(contract)["components"]["schemas"]
with open(sys.argv[2], "w", encoding="utf-8") as output:
    output.write(Types(schemas).all())
