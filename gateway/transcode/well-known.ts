import { type DescField, type DescMessage, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { isWrapperDesc, ListValueSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import { fault, MAX_DEPTH, type Read, type Reading } from "./fault.ts";
import { scalarReader } from "./scalars.ts";
import { parseDuration, parseTime } from "./time.ts";

const readTime: Read = (value, reading) => {
  const time = typeof value === "string" ? parseTime(value) : undefined;
  if (time === undefined) return fault(reading, "must be an ISO 8601 time with zone");
  const seconds = Math.floor(time / 1000);
  return {
    $typeName: "google.protobuf.Timestamp",
    seconds: BigInt(seconds),
    nanos: (time - seconds * 1000) * 1_000_000,
  };
};

const readDuration: Read = (value, reading) => {
  const duration = typeof value === "string" ? parseDuration(value) : undefined;
  if (duration === undefined) return fault(reading, 'must be a duration in seconds, as "3.5s"');
  return { $typeName: "google.protobuf.Duration", ...duration };
};

// "displayName", "routing.rules"
const MASK_PATH = /^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*$/;

const readMask: Read = (value, reading) => {
  const words = typeof value === "string" ? value.split(",").filter((word) => word !== "") : undefined;
  if (!words?.every((word) => MASK_PATH.test(word))) return fault(reading, "must be a comma list of field names");
  const paths = words.map((word) => word.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
  return { $typeName: "google.protobuf.FieldMask", paths };
};

const readStruct: Read = (value, reading) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fault(reading, "must be an object");
  return isTame(value, reading) ? value : undefined;
};

const readValue: Read = (value, reading) =>
  isTame(value, reading) ? fromJson(ValueSchema, value as JsonValue, { recursionLimit: 1000 }) : undefined;

const readListValue: Read = (value, reading) => {
  if (!Array.isArray(value)) return fault(reading, "must be a list");
  return isTame(value, reading) ? fromJson(ListValueSchema, value as JsonValue, { recursionLimit: 1000 }) : undefined;
};

/** Checks the depth, the numbers and the texts of free JSON, and takes keys named __proto__ out of it. */
function isTame(value: unknown, reading: Reading): boolean {
  const wrong = wildness(value, MAX_DEPTH - reading.depth);
  if (wrong !== undefined) fault(reading, wrong);
  return wrong === undefined;
}

function wildness(value: unknown, levels: number): string | undefined {
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) return "has a number that is too large";
  if (typeof value === "string") return value.isWellFormed() ? undefined : "must be well-formed Unicode";
  if (typeof value !== "object" || value === null) return undefined;
  if (levels <= 0) return `must not be nested deeper than ${MAX_DEPTH} levels`;
  const object = value as Record<string, unknown>;
  for (const key of Object.keys(object)) {
    const wrong = key === "__proto__" ? undefined : (wildness(key, levels) ?? wildness(object[key], levels - 1));
    if (wrong !== undefined) return wrong;
    if (key === "__proto__") delete object[key];
  }
  return undefined;
}

/** The scalar that a google.protobuf wrapper type wraps, or undefined. */
export function wrappedField(message: DescMessage): Extract<DescField, { fieldKind: "scalar" }> | undefined {
  const [field] = message.fields;
  return isWrapperDesc(message) && field?.fieldKind === "scalar" ? field : undefined;
}

/** Whether the messages keep a wrapper as the bare scalar in this place. */
export function isUnwrapped(field: DescField): boolean {
  return field.fieldKind === "message" && field.oneof === undefined;
}

/** How a google.protobuf type with a JSON form of its own is read in a field; undefined for other messages. */
export function wellKnownReader(message: DescMessage, field: DescField): Read | undefined {
  const wrapped = wrappedField(message);
  if (wrapped !== undefined) {
    const read = scalarReader(wrapped.scalar, wrapped.longAsString);
    if (isUnwrapped(field)) return read;
    return (json, reading) => {
      const value = read(json, reading);
      return value === undefined ? undefined : { $typeName: message.typeName, value };
    };
  }
  return READERS[message.typeName];
}

const READERS: Record<string, Read | undefined> = {
  "google.protobuf.Timestamp": readTime,
  "google.protobuf.Duration": readDuration,
  "google.protobuf.FieldMask": readMask,
  "google.protobuf.Struct": readStruct,
  "google.protobuf.Value": readValue,
  "google.protobuf.ListValue": readListValue,
};
