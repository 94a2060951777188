import { create, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import type { Dialect } from "../dialects/dialect.ts";
import { fault, MAX_DEPTH, type Read } from "./fault.ts";
import { faultsField, type JudgedItems, listReader } from "./lists.ts";
import { bodyName, enumWords, isFlat, publicFields } from "./names.ts";
import { scalarReader } from "./scalars.ts";
import { wellKnownReader } from "./well-known.ts";

/** A message as protobuf-es keeps it, while it is being filled. */
export type Draft = Record<string, unknown>;

/** Where a value of a message goes, and how it is read. */
export interface Slot {
  field: DescField;
  /** Name in the dialect's bodies, for faults. */
  name: string;
  /** Fields whose members stand in place of them, from the message down to this field's parent. */
  flat: readonly DescField[];
  read: Read;
  /** Reads one item of a repeated field; of others the same as `read`. */
  readOne: Read;
  /** Puts a value that was read into the message. */
  put: (message: Draft, value: unknown) => void;
  /** Adds an item to a repeated field of the message. */
  add: (message: Draft, item: unknown) => void;
  /** JSON null is a value here, and not absence. */
  takesNull: boolean;
}

/** How messages of one type are read in one dialect. */
export interface MessagePlan {
  desc: DescMessage;
  /** Slots by proto name and by json name. */
  slots: ReadonlyMap<string, Slot>;
  /** An empty message. */
  fresh: () => Draft;
  /** Reads a JSON object. */
  read: Read;
}

/** Plans of one dialect, each compiled once. */
export type Plans = (desc: DescMessage) => MessagePlan;

/** Makes the plans of a dialect. A plan compiles its fields at once, so a message that cannot be read fails at start. */
export function createPlans(dialect: Dialect): Plans {
  const plans = new Map<DescMessage, MessagePlan>();
  const planOf: Plans = (desc) => {
    const existing = plans.get(desc);
    if (existing !== undefined) return existing;
    const slots = new Map<string, Slot>();
    const fresh = freshMessage(desc);
    const plan = { desc, slots, fresh, read: messageReader(slots, fresh) };
    plans.set(desc, plan); // before its fields, which may hold the message itself
    addSlots(slots, { desc, dialect, planOf });
    return plan;
  };
  return planOf;
}

/** The message in a singular message field; it is made when it is not there. */
export function openField(message: Draft, field: DescField, { fresh }: MessagePlan): Draft {
  const local = field.localName;
  if (field.oneof === undefined) {
    message[local] ??= fresh();
    return message[local] as Draft;
  }
  const group = message[field.oneof.localName] as { case: string | undefined; value?: unknown };
  if (group.case !== local) Object.assign(group, { case: local, value: fresh() });
  return group.value as Draft;
}

interface Compiling {
  desc: DescMessage;
  dialect: Dialect;
  planOf: Plans;
}

function addSlots(slots: Map<string, Slot>, compiling: Compiling): void {
  for (const field of publicFields(compiling.desc)) {
    if (isFlat(field)) addFlatSlots(slots, field, compiling);
    else addSlot(slots, compileSlot(field, compiling));
  }
}

function addSlot(slots: Map<string, Slot>, slot: Slot): void {
  for (const name of new Set([slot.field.name, slot.field.jsonName])) {
    if (slots.has(name)) throw new Error(`${slot.field} has the name "${name}" of another field beside it`);
    slots.set(name, slot);
  }
}

/** The members of a flat message field are slots of its parent; the message comes into being with the first of them. */
function addFlatSlots(slots: Map<string, Slot>, field: DescField, { planOf }: Compiling): void {
  if (field.fieldKind !== "message") return;
  if (field.oneof !== undefined)
    throw new Error(`${field} cannot be read: a flat field of a oneof only works in replies`);
  const plan = planOf(field.message);
  for (const slot of new Set(plan.slots.values())) {
    const open = (message: Draft) => openField(message, field, plan);
    addSlot(slots, {
      ...slot,
      flat: [field, ...slot.flat],
      put: (message, value) => slot.put(open(message), value),
      add: (message, item) => slot.add(open(message), item),
    });
  }
}

function compileSlot(field: DescField, compiling: Compiling): Slot {
  const readOne = field.fieldKind === "map" ? mapReader(field, compiling) : singleReader(field, compiling);
  return {
    field,
    name: bodyName(field, compiling.dialect),
    flat: [],
    read: field.fieldKind === "list" ? listReader(field, { read: readOne, planOf: compiling.planOf }) : readOne,
    readOne,
    put: putter(field),
    add: (message, item) => (message[field.localName] as unknown[]).push(item),
    takesNull: field.fieldKind === "message" && field.message.typeName === "google.protobuf.Value",
  };
}

function putter(field: DescField): Slot["put"] {
  const local = field.localName;
  if (field.oneof !== undefined) {
    const oneof = field.oneof.localName;
    return (message, value) => {
      message[oneof] = { case: local, value };
    };
  }
  const faults = faultsField(field)?.localName;
  if (faults === undefined) {
    return (message, value) => {
      message[local] = value;
    };
  }
  return (message, value) => {
    const judged = value as JudgedItems;
    message[local] = judged.items;
    message[faults] = judged.faults;
  };
}

/** How one value of a field is read, whether it stands alone, in a list or in a map. */
function singleReader(field: DescField, { dialect, planOf }: Compiling): Read {
  if (field.scalar !== undefined) return scalarReader(field.scalar, "longAsString" in field && field.longAsString);
  if (field.enum !== undefined) return enumReader(enumWords(field.enum, dialect));
  if (field.message === undefined) throw new Error(`${field} cannot be read`);
  if (field.message.typeName === "google.protobuf.Any")
    throw new Error(`${field} cannot be read: Any has no place in REST`);
  return wellKnownReader(field.message, field) ?? planOf(field.message).read;
}

/** Reads an enum from its word. */
function enumReader({ read, choices }: ReturnType<typeof enumWords>): Read {
  const must = `must be one of ${choices.join(", ")}`;
  return (value, reading) => {
    const number = typeof value === "string" ? read.get(value) : undefined;
    return number ?? fault(reading, must);
  };
}

function messageReader(slots: ReadonlyMap<string, Slot>, fresh: () => Draft): Read {
  return (json, reading) => {
    if (typeof json !== "object" || json === null || Array.isArray(json)) return fault(reading, "must be an object");
    const { depth, path } = reading;
    if (depth >= MAX_DEPTH) return fault(reading, `must not be nested deeper than ${MAX_DEPTH} levels`);
    const message = fresh();
    reading.depth = depth + 1;
    const object = json as Record<string, unknown>;
    for (const key of Object.keys(object)) {
      const slot = slots.get(key);
      if (slot === undefined) continue;
      const item = object[key];
      if (item === null && !slot.takesNull) continue;
      path[depth] = slot.name;
      const value = slot.read(item, reading);
      if (value !== undefined) slot.put(message, value);
    }
    reading.depth = depth;
    return message;
  };
}

function mapReader(field: Extract<DescField, { fieldKind: "map" }>, compiling: Compiling): Read {
  const read = singleReader(field, compiling);
  const readKey = keyReader(field.mapKey);
  return (json, reading) => {
    if (typeof json !== "object" || json === null || Array.isArray(json)) return fault(reading, "must be an object");
    const { depth, path } = reading;
    const entries: Draft = {};
    reading.depth = depth + 1;
    for (const [key, item] of Object.entries(json)) {
      if (key === "__proto__") continue;
      path[depth] = key;
      const name = readKey(key, reading);
      const value = name === undefined ? undefined : read(item, reading);
      if (value !== undefined) entries[String(name)] = value;
    }
    reading.depth = depth;
    return entries;
  };
}

function keyReader(type: ScalarType): Read {
  if (type === ScalarType.STRING) return (key) => key;
  if (type === ScalarType.BOOL) {
    return (key, reading) =>
      key === "true" || key === "false" ? key : fault(reading, "must have true or false as key");
  }
  return scalarReader(type, true);
}

function freshMessage(desc: DescMessage): () => Draft {
  const zero = create(desc) as Draft;
  if (Object.getPrototypeOf(zero) !== Object.prototype) throw new Error(`${desc} must be proto3`);
  const containers = desc.members.flatMap((member) => {
    if (member.kind === "oneof") return [{ local: member.localName, make: () => ({ case: undefined }) }];
    if (member.fieldKind === "list") return [{ local: member.localName, make: () => [] }];
    if (member.fieldKind === "map") return [{ local: member.localName, make: () => ({}) }];
    return [];
  });
  return () => {
    const message = { ...zero };
    for (const { local, make } of containers) message[local] = make();
    return message;
  };
}
