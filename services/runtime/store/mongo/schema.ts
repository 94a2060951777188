import { type IndexOptions, Schema, type SchemaDefinition, type SchemaDefinitionProperty } from "mongoose";
import type { Doc, Field, FieldKind, Index, Model } from "../../model.ts";

const types: Readonly<Record<FieldKind, unknown>> = {
  string: String,
  number: Number,
  boolean: Boolean,
  strings: [String],
  object: Schema.Types.Mixed,
  list: [Schema.Types.Mixed],
};

/**
 * The mongoose Schema of a model: its fields with defaults and what is required, its indexes. Nothing is cast and nothing that is not
 * declared gets in. Throws when the model cannot be a collection, saying why.
 */
export function schemaOf(model: Model<Doc>): Schema {
  checkModel(model);
  const definition: SchemaDefinition = {
    _id: { type: String, required: true, cast: false },
    _w: { type: String, required: true, cast: false },
    version: { type: Number, required: true, cast: false },
  };
  for (const name in model.fields) definition[name] = pathOf(model.fields[name] as Field);
  const schema = new Schema(definition, {
    strict: "throw",
    strictQuery: "throw",
    versionKey: false,
    id: false,
    autoIndex: false,
    autoCreate: false,
    minimize: false,
  });
  for (const index of model.indexes) schema.index(keysOf(index), optionsOf(model, index));
  return schema;
}

function pathOf({ kind, required, default: given }: Field): SchemaDefinitionProperty {
  const path = { type: types[kind], required: required === true, default: given, cast: false };
  return path as unknown as SchemaDefinitionProperty;
}

/** The workspace first, the id last: pages are in the order of the index, and a sharded cluster asks one shard. */
function keysOf({ fields, unique }: Index): Record<string, 1> {
  const names = fields.map((field) => (field === "id" ? "_id" : field));
  const last = unique === true || names.includes("_id") ? [] : ["_id"];
  return Object.fromEntries(["_w", ...names, ...last].map((name) => [name, 1 as const]));
}

/** A unique index binds only documents that have all of its fields. */
function optionsOf(model: Model<Doc>, { name, fields, unique }: Index): IndexOptions {
  if (unique !== true) return { name };
  const optional = fields.filter((field) => model.fields[field]?.required !== true);
  if (optional.length === 0) return { name, unique };
  const partial = Object.fromEntries(optional.map((field) => [field, { $exists: true }]));
  return { name, unique, partialFilterExpression: partial };
}

function checkModel({ name, fields, indexes }: Model<Doc>): void {
  if (!/^[a-z][a-zA-Z0-9_.-]*$/.test(name) || name.startsWith("system."))
    throw new Error(`${name} is not a name for a collection; use lower-case words joined by dots`);
  for (const field in fields) {
    if (!/^[A-Za-z][A-Za-z0-9_]*$/.test(field)) throw new Error(`${name}: ${field} is not a name for a field`);
  }
  for (const index of indexes) {
    if (index.fields.length === 0) throw new Error(`${name}: the index ${index.name} has no fields`);
    for (const field of index.fields) {
      const kind = field === "id" ? "string" : field === "version" ? "number" : fields[field]?.kind;
      if (kind === undefined || kind === "object" || kind === "list")
        throw new Error(`${name}: the index ${index.name} names ${field}, which is ${kind ?? "not in the model"}`);
    }
  }
}
