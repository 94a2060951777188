import { ScalarType } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import type { Duration, FieldMask, ListValue, Timestamp, Value } from "@bufbuild/protobuf/wkt";
import { isLong } from "./scalars.ts";
import { formatDuration, formatTime } from "./time.ts";

/** Turns a value of a message into JSON text; undefined: it is not there. */
export type Write = (value: unknown) => string | undefined;

// Nothing that JSON must escape, and no surrogates, which may be alone: "Ada – 5 €"
const PLAIN = /^[ !#-[\]-\ud7ff\ue000-\uffff]*$/;

/** A string as JSON. */
export function stringText(value: string): string {
  return value.length < 64 && PLAIN.test(value) ? `"${value}"` : JSON.stringify(value);
}

/** A number as JSON; what JSON cannot say is null. */
function numberText(value: number): string {
  return Number.isFinite(value) ? String(value) : "null";
}

/** How a scalar is written. */
export function scalarWriter(type: ScalarType, longAsString: boolean): Write {
  if (isLong(type)) return longAsString ? (value) => `"${value}"` : (value) => String(value);
  switch (type) {
    case ScalarType.STRING:
      return (value) => stringText(value as string);
    case ScalarType.BOOL:
      return (value) => (value === true ? "true" : "false");
    case ScalarType.BYTES:
      return (value) => `"${base64Encode(value as Uint8Array)}"`;
    default:
      return (value) => numberText(value as number);
  }
}

/** How a google.protobuf type with a JSON form of its own is written, by its name. Wrappers are not among them. */
export function wellKnownWriter(typeName: string, milliseconds: boolean): Write | undefined {
  switch (typeName) {
    case "google.protobuf.Timestamp":
      return (value) => timeText(value as Timestamp, milliseconds);
    case "google.protobuf.Duration":
      return (value) => `"${formatDuration((value as Duration).seconds, (value as Duration).nanos)}"`;
    case "google.protobuf.FieldMask":
      return (value) => stringText((value as FieldMask).paths.map(camelCase).join(","));
    case "google.protobuf.Struct":
      return (value) => JSON.stringify(value);
    case "google.protobuf.Value":
      return (value) => JSON.stringify(plainValue(value as Value));
    case "google.protobuf.ListValue":
      return (value) => JSON.stringify(plainList(value as ListValue));
    default:
      return undefined;
  }
}

function timeText({ seconds, nanos }: Timestamp, milliseconds: boolean): string | undefined {
  const text = formatTime(Number(seconds) * 1000 + Math.floor(nanos / 1_000_000), milliseconds);
  return text && `"${text}"`;
}

function camelCase(path: string): string {
  return path.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function plainValue({ kind }: Value): unknown {
  switch (kind.case) {
    case "structValue": {
      const entries = Object.entries(kind.value.fields).map(([key, value]) => [key, plainValue(value)]);
      return Object.fromEntries(entries);
    }
    case "listValue":
      return plainList(kind.value);
    case "numberValue":
    case "stringValue":
    case "boolValue":
      return kind.value;
    default:
      return null;
  }
}

function plainList({ values }: ListValue): unknown[] {
  return values.map(plainValue);
}
