import { type DescEnum, type DescField, ScalarType } from "@bufbuild/protobuf";
import type { Dialect } from "../dialects/dialect.ts";
import { enumWords, int64AsString } from "../transcode/names.ts";
import { isLong } from "../transcode/scalars.ts";
import { wrappedField } from "../transcode/well-known.ts";
import { commentOf } from "./comments.ts";
import type { Schema } from "./constraints.ts";

const UNSIGNED = [ScalarType.UINT32, ScalarType.FIXED32, ScalarType.UINT64, ScalarType.FIXED64];

/** The schema of one value of a field that is no message of our own; undefined when it is one. */
export function plainValue(field: DescField, dialect: Dialect): Schema | undefined {
  if (field.scalar !== undefined) return scalarSchema(field.scalar, int64AsString(field, dialect));
  if (field.enum !== undefined) return enumSchema(field.enum, dialect);
  if (field.message === undefined) return {};
  const wrapped = wrappedField(field.message);
  if (wrapped !== undefined) return scalarSchema(wrapped.scalar, int64AsString(field, dialect));
  return WELL_KNOWN[field.message.typeName];
}

const WELL_KNOWN: Readonly<Record<string, Schema | undefined>> = {
  "google.protobuf.Timestamp": { type: "string", format: "date-time" },
  "google.protobuf.Duration": { type: "string", pattern: "^-?\\d+(\\.\\d{1,9})?s$", examples: ["3.5s"] },
  "google.protobuf.FieldMask": { type: "string" },
  "google.protobuf.Struct": { type: "object", additionalProperties: true },
  "google.protobuf.Value": {},
  "google.protobuf.ListValue": { type: "array", items: {} },
};

function scalarSchema(type: ScalarType, longAsString: boolean): Schema {
  const unsigned = UNSIGNED.includes(type);
  if (isLong(type)) {
    const format = unsigned ? "uint64" : "int64";
    if (longAsString) return { type: "string", format, pattern: unsigned ? "^\\d+$" : "^-?\\d+$" };
    return unsigned ? { type: "integer", format, minimum: 0 } : { type: "integer", format };
  }
  switch (type) {
    case ScalarType.STRING:
      return { type: "string" };
    case ScalarType.BOOL:
      return { type: "boolean" };
    case ScalarType.BYTES:
      return { type: "string", contentEncoding: "base64" };
    case ScalarType.DOUBLE:
      return { type: "number", format: "double" };
    case ScalarType.FLOAT:
      return { type: "number", format: "float" };
    default:
      return unsigned ? { type: "integer", format: "uint32", minimum: 0 } : { type: "integer", format: "int32" };
  }
}

function enumSchema(desc: DescEnum, dialect: Dialect): Schema {
  const { write } = enumWords(desc, dialect);
  const values = desc.values.filter(({ number }) => write.has(number));
  const lines = values.flatMap((value) => {
    const comment = commentOf(value);
    return comment === "" ? [] : [`- \`${write.get(value.number)}\`: ${comment}`];
  });
  const words = [...new Set(write.values())];
  return { type: "string", enum: words, ...(lines.length > 0 && { description: lines.join("\n") }) };
}

/** The same, or null. */
export function orNull(schema: Schema): Schema {
  if (schema.enum !== undefined)
    return { ...schema, type: [schema.type, "null"], enum: [...(schema.enum as unknown[]), null] };
  if (typeof schema.type === "string") return { ...schema, type: [schema.type, "null"] };
  return Object.keys(schema).length === 0 ? schema : { anyOf: [schema, { type: "null" }] };
}
