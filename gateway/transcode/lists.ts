import { create, type DescField, type DescMessage, getOption } from "@bufbuild/protobuf";
import { field as validate } from "#gen/buf/validate/validate_pb.ts";
import { ItemFaultSchema } from "#gen/waymark/options/v1/options_pb.ts";
import { fault, type Read, type Reading } from "./fault.ts";
import { fieldRules } from "./names.ts";
import type { MessagePlan, Plans } from "./reader.ts";

/** The most items of a list that no rule limits: a body of 16 MiB could hold five times as many empty ones. */
const MOST_ITEMS = 1_000_000;

/** How a repeated field is read. `read` reads one item. A field with faults_field is read into JudgedItems. */
export function listReader(field: DescField, { read, planOf }: { read: Read; planOf: Plans }): Read {
  const most = maxItems(field);
  if (faultsField(field) === undefined) return plainListReader(read, most);
  return judgedListReader(read, { plan: planOf(field.message as DescMessage), most });
}

/** The most items that buf.validate allows; known before reading, so that a flood of items is not read at all. */
export function maxItems(field: DescField): number {
  const { type } = getOption(field, validate);
  const most = type.case === "repeated" ? type.value.maxItems : 0n;
  return most > 0n ? Number(most) : MOST_ITEMS;
}

function plainListReader(read: Read, most: number): Read {
  return (json, reading) => {
    if (!Array.isArray(json)) return fault(reading, "must be a list");
    if (json.length > most) return fault(reading, `must have at most ${most} items`);
    const { depth, path } = reading;
    const items = new Array<unknown>(json.length);
    reading.depth = depth + 1;
    for (let index = 0; index < json.length; index++) {
      path[depth] = index;
      items[index] = read(json[index], reading);
    }
    reading.depth = depth;
    return items;
  };
}

/** What a list is read into whose items are judged alone. */
export interface JudgedItems {
  items: unknown[];
  faults: unknown[];
}

/** The field that takes the faults of the items of this one, or undefined. */
export function faultsField(field: DescField): DescField | undefined {
  const name = fieldRules(field).faultsField;
  if (name === "") return undefined;
  const faults = field.parent.fields.find((other) => other.name === name);
  const fits = faults?.fieldKind === "list" && faults.message?.typeName === ItemFaultSchema.typeName;
  if (!fits || !fieldRules(faults).internal)
    throw new Error(`${field}: faults_field must name an internal repeated ItemFault`);
  if (field.fieldKind !== "list" || field.listKind !== "message")
    throw new Error(`${field}: faults_field is for repeated messages`);
  return faults;
}

function judgedListReader(read: Read, { plan, most }: { plan: MessagePlan; most: number }): Read {
  return (json, reading) => {
    if (!Array.isArray(json)) return fault(reading, "must be a list");
    if (json.length > most) return fault(reading, `must have at most ${most} items`);
    const judged: JudgedItems = { items: new Array<unknown>(json.length), faults: [] };
    for (let index = 0; index < json.length; index++) {
      judged.items[index] = judge(judged, { index, read: () => read(json[index], reading) }, { reading, plan });
    }
    return judged;
  };
}

/** Reads one item of a judged list; what is wrong with it goes to the list's faults, not to the request's. */
export function judge(
  { faults }: JudgedItems,
  item: { index: number; read: () => unknown },
  { reading, plan }: { reading: Reading; plan: MessagePlan },
): unknown {
  const { depth, base, faults: outer } = reading;
  const own: Reading["faults"] = [];
  reading.path[depth] = item.index;
  reading.depth = depth + 1;
  reading.base = depth + 1;
  reading.faults = own;
  const value = item.read();
  reading.depth = depth;
  reading.base = base;
  reading.faults = outer;
  const [first] = own;
  if (first === undefined) return value;
  faults.push(create(ItemFaultSchema, { index: item.index, field: first.field, message: first.message }));
  return plan.fresh();
}
