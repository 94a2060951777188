import {
  type DescField,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  ScalarType,
  toJson,
} from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import { type Routing, RoutingSchema } from "#gen/waymark/codes/v1/directory_pb.ts";
import { fail } from "#runtime/failure.ts";
import { checkRouting } from "./routing-rules.ts";

const reading = { ignoreUnknownFields: true } as const;

/** Routing as it is stored. */
export function storeRouting(routing: Routing): JsonObject {
  return toJson(RoutingSchema, routing) as JsonObject;
}

/** Routing from how it is stored. */
export function loadRouting(stored: JsonObject): Routing {
  return fromJson(RoutingSchema, stored, reading);
}

/** The routing of a PATCH, in the names of either dialect; undefined is null, and clears. */
export function readRouting(value: Value, field: string): Routing | undefined {
  const json = toJson(ValueSchema, value);
  if (json === null) return undefined;
  const dated = withTimes(json);
  if (!reads(RoutingSchema, dated)) throw fail("INVALID_FIELD", faultIn(RoutingSchema, dated, field));
  return checkRouting(fromJson(RoutingSchema, dated, reading), field);
}

/** "2026-03-20" → "2026-03-20T00:00:00Z" where a rule has a time. */
function withTimes(json: JsonValue, key = ""): JsonValue {
  if (Array.isArray(json)) return json.map((item) => withTimes(item, key));
  if (isObject(json))
    return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, withTimes(value, name)]));
  const dated = (key === "after" || key === "before") && typeof json === "string" && /^\d{4}-\d\d-\d\d$/.test(json);
  return dated ? `${json}T00:00:00Z` : json;
}

function reads(schema: DescMessage, json: JsonValue): boolean {
  try {
    fromJson(schema, json, reading);
    return true;
  } catch {
    return false;
  }
}

interface Fault {
  [fact: string]: string;
  field: string;
  must: string;
}

/** The first field that cannot be read, found by reading each alone. */
function faultIn(schema: DescMessage, json: JsonValue, path: string): Fault {
  if (!isObject(json)) return { field: path, must: "must be an object" };
  for (const field of schema.fields) {
    const value = json[field.name] ?? json[field.jsonName];
    if (value === undefined || reads(schema, { [field.jsonName]: value })) continue;
    return faultOf(field, value, `${path}.${field.name}`);
  }
  return { field: path, must: "must be an object with known fields" };
}

function faultOf(field: DescField, value: JsonValue, path: string): Fault {
  const nested = nestedOf(field);
  if (field.fieldKind !== "list") return nested ? faultIn(nested, value, path) : { field: path, must: kindOf(field) };
  if (!Array.isArray(value)) return { field: path, must: "must be a list" };
  if (nested === undefined) return { field: path, must: "must be a list of texts" };
  const at = value.findIndex((item) => !reads(nested, item));
  return faultIn(nested, value[at] ?? null, `${path}[${at}]`);
}

/** The message that a field holds, unless it is one of protobuf's own. */
function nestedOf(field: DescField): DescMessage | undefined {
  const message = field.fieldKind === "message" || field.fieldKind === "list" ? field.message : undefined;
  return message?.typeName.startsWith("google.") ? undefined : message;
}

function kindOf(field: DescField): string {
  if (field.fieldKind === "message") return "must be an ISO 8601 time with zone";
  if (field.fieldKind === "scalar" && field.scalar === ScalarType.STRING) return "must be a text";
  return "must be a whole number";
}

function isObject(json: JsonValue | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
