import type { DescEnum, DescField, DescMessage } from "@bufbuild/protobuf";
import type { Dialect } from "../dialects/dialect.ts";
import { bodyName, enumWords, fieldRules, int64AsString, isFlat, publicFields } from "./names.ts";
import { isLong } from "./scalars.ts";
import { scalarWriter, stringText, type Write, wellKnownWriter } from "./text.ts";
import { isUnwrapped, wrappedField } from "./well-known.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Writes members of a message, each with a comma before it: `,"id":"a","total":0`. */
type WriteMembers = (message: Fields) => string;

/** How messages of a dialect are written, each type compiled once. */
export interface Writers {
  /** The members of a message, without the named field. */
  members: (desc: DescMessage, without?: string) => WriteMembers;
  /** A whole message as a JSON object. */
  message: (desc: DescMessage) => Write;
  /** The value of one field of a message; "null" when it is not there. */
  field: (field: DescField) => (message: Fields) => string;
}

/** Makes the writers of a dialect. */
export function createWriters(dialect: Dialect): Writers {
  const compiled = new Map<DescMessage, { members: WriteMembers }>();
  const membersOf = (desc: DescMessage): { members: WriteMembers } => {
    const existing = compiled.get(desc);
    if (existing !== undefined) return existing;
    const later: { members: WriteMembers } = { members: () => "" };
    compiled.set(desc, later); // before its fields, which may hold the message itself
    later.members = compileMembers(publicFields(desc), compiling);
    return later;
  };
  const compiling: Compiling = { dialect, membersOf };
  return {
    members: (desc, without) =>
      without === undefined
        ? membersOf(desc).members
        : compileMembers(
            publicFields(desc).filter((field) => field.name !== without),
            compiling,
          ),
    message: (desc) => messageWriter(desc, compiling),
    field: (field) => {
      const read = getter(field);
      const write = presentWriter(field, compiling);
      return (message) => write(read(message)) ?? "null";
    },
  };
}

interface Compiling {
  dialect: Dialect;
  membersOf: (desc: DescMessage) => { members: WriteMembers };
}

function compileMembers(fields: readonly DescField[], compiling: Compiling): WriteMembers {
  const names = new Map<string, DescField>();
  const writers = fields.map((field) => {
    if (isFlat(field)) return flatWriter(field, compiling);
    const name = bodyName(field, compiling.dialect);
    const namesake = names.get(name);
    if (namesake !== undefined && (field.oneof === undefined || namesake.oneof !== field.oneof))
      throw new Error(`${field} has the name "${name}" of another field beside it`);
    names.set(name, field);
    return memberWriter(field, compiling);
  });
  return (message) => {
    let text = "";
    for (let index = 0; index < writers.length; index++) text += (writers[index] as WriteMembers)(message);
    return text;
  };
}

function memberWriter(field: DescField, compiling: Compiling): WriteMembers {
  const prefix = `,${JSON.stringify(bodyName(field, compiling.dialect))}:`;
  const absent = fieldRules(field).nullable ? `${prefix}null` : "";
  const read = getter(field);
  const write = presentWriter(field, compiling);
  return (message) => {
    const text = write(read(message));
    return text === undefined ? absent : prefix + text;
  };
}

/** The members of a flat field stand in place of the field itself. */
function flatWriter(field: DescField, { membersOf }: Compiling): WriteMembers {
  const read = getter(field);
  const inner = membersOf(field.message as DescMessage);
  return (message) => {
    const value = read(message);
    return value === undefined ? "" : inner.members(value as Fields);
  };
}

function getter(field: DescField): (message: Fields) => unknown {
  const local = field.localName;
  if (field.oneof === undefined) return (message) => message[local];
  const oneof = field.oneof.localName;
  return (message) => {
    const group = message[oneof] as { case: string | undefined; value?: unknown };
    return group.case === local ? group.value : undefined;
  };
}

/** Writes a field as it stands in its message; undefined when it is absent. */
function presentWriter(field: DescField, compiling: Compiling): Write {
  if (field.fieldKind === "list") return listWriter(field, compiling);
  if (field.fieldKind === "map") return mapWriter(field, compiling);
  const write = valueWriter(field, compiling);
  const isStruct = field.message?.typeName === "google.protobuf.Struct";
  if (isStruct && !fieldRules(field).nullable && field.oneof === undefined) {
    return (value) => (value === undefined ? "{}" : write(value));
  }
  return (value) => (value === undefined ? undefined : write(value));
}

/** Writes one value of a field, whether it stands alone, in a list or in a map. */
function valueWriter(field: DescField, compiling: Compiling): Write {
  const { dialect } = compiling;
  if (field.scalar !== undefined) return scalarWriter(field.scalar, int64AsString(field, dialect));
  if (field.enum !== undefined) return enumWriter(field.enum, dialect);
  const message = field.message as DescMessage;
  if (message.typeName === "google.protobuf.Any")
    throw new Error(`${field} cannot be written: Any has no place in REST`);
  const wrapped = wrappedField(message);
  if (wrapped === undefined)
    return wellKnownWriter(message.typeName, dialect.milliseconds) ?? messageWriter(message, compiling);
  const write = scalarWriter(wrapped.scalar, isLong(wrapped.scalar) && int64AsString(field, dialect));
  return isUnwrapped(field) ? write : (value) => write((value as { value: unknown }).value);
}

function messageWriter(desc: DescMessage, { membersOf }: Compiling): Write {
  const inner = membersOf(desc);
  return (message) => `{${inner.members(message as Fields).slice(1)}}`;
}

/** A value that this gateway does not know yet is written as its number. */
function enumWriter(desc: DescEnum, dialect: Dialect): Write {
  const texts = new Map<number, string | undefined>(desc.values.map(({ number }) => [number, undefined]));
  for (const [number, word] of enumWords(desc, dialect).write) texts.set(number, JSON.stringify(word));
  return (value) => texts.get(value as number) ?? (texts.has(value as number) ? undefined : String(value));
}

function listWriter(field: DescField, compiling: Compiling): Write {
  const { omitEmpty, nullable } = fieldRules(field);
  const empty = omitEmpty || nullable ? undefined : "[]";
  const write = valueWriter(field, compiling);
  return (value) => {
    const items = value as readonly unknown[];
    if (items.length === 0) return empty;
    let text = "[";
    for (let index = 0; index < items.length; index++) {
      if (index > 0) text += ",";
      text += write(items[index]) ?? "null";
    }
    return `${text}]`;
  };
}

function mapWriter(field: DescField, compiling: Compiling): Write {
  const { omitEmpty, nullable } = fieldRules(field);
  const empty = omitEmpty || nullable ? undefined : "{}";
  const write = valueWriter(field, compiling);
  return (value) => {
    let text = "";
    for (const [key, item] of Object.entries(value as Fields)) text += `,${stringText(key)}:${write(item) ?? "null"}`;
    return text === "" ? empty : `{${text.slice(1)}}`;
  };
}
