import { isUtf8 } from "node:buffer";
import type { DescField } from "@bufbuild/protobuf";
import { fault, InputError, type Read, type Reading } from "./fault.ts";
import { jsonFaultAt } from "./json-position.ts";
import { faultsField, type JudgedItems, judge, maxItems } from "./lists.ts";
import { fieldRules } from "./names.ts";
import type { Draft, MessagePlan, Plans, Slot } from "./reader.ts";

/** How the body of a route is read. */
export interface BodyPlan {
  /** The message that is being filled. */
  plan: MessagePlan;
  /** The field that is the body; undefined: the whole message. */
  slot: Slot | undefined;
  /** The field that application/x-ndjson fills, and how an item of it is read; undefined: NDJSON is not accepted. */
  lines: LinesPlan | undefined;
}

/** How NDJSON is read. */
export interface LinesPlan {
  slot: Slot;
  item: MessagePlan;
  /** Items are judged alone. */
  judged: boolean;
  most: number;
  /** The internal bool `from_lines` beside the field, if the message has one: it is set, so that the service can tell. */
  flag: string | undefined;
}

/** Plans the NDJSON field of a message. */
export function planLines(name: string, { plan, planOf }: { plan: MessagePlan; planOf: Plans }): LinesPlan {
  const slot = plan.slots.get(name);
  const field: DescField | undefined = slot?.field;
  if (slot === undefined || field?.fieldKind !== "list" || field.listKind !== "message") {
    throw new Error(`ndjson_field "${name}" is not a repeated message of ${plan.desc}`);
  }
  const judged = faultsField(field) !== undefined;
  const flag = plan.desc.fields.find((other) => other.name === "from_lines" && fieldRules(other).internal);
  return { slot, item: planOf(field.message), judged, most: maxItems(field), flag: flag?.localName };
}

function acceptedTypes({ lines }: BodyPlan): readonly string[] {
  return lines === undefined ? ["application/json"] : ["application/json", "application/x-ndjson"];
}

/** Reads a body into a new request. An empty body is `{}`. Throws an InputError when it is no JSON, or of another type. */
export function readBody(
  bytes: Uint8Array,
  contentType: string | undefined,
  to: { plan: BodyPlan; reading: Reading },
): Draft {
  const { plan, reading } = to;
  if (bytes.length === 0) return plan.slot ? filled(plan, readEmpty(plan.slot, reading)) : plan.plan.fresh();
  const kind = mediaKind(contentType, plan);
  const text = decode(bytes);
  if (kind === "lines" && plan.lines !== undefined)
    return readLines(text, plan.plan.fresh(), { lines: plan.lines, reading });
  const json = parse(text);
  if (plan.slot !== undefined) return filled(plan, plan.slot.read(json, reading));
  return (plan.plan.read(json, reading) ?? plan.plan.fresh()) as Draft;
}

function filled({ plan, slot }: BodyPlan, value: unknown): Draft {
  const request = plan.fresh();
  if (value !== undefined) slot?.put(request, value);
  return request;
}

function readEmpty(slot: Slot, reading: Reading): unknown {
  const { field } = slot;
  const isMessage = field.fieldKind === "message" && !field.message.typeName.startsWith("google.protobuf.");
  return isMessage ? slot.read({}, reading) : undefined;
}

function mediaKind(contentType: string | undefined, plan: BodyPlan): "json" | "lines" {
  const type = contentType?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (type === "" || type === "application/json" || type === "text/json" || type.endsWith("+json")) return "json";
  if (plan.lines !== undefined && /^application\/(?:x-ndjson|ndjson|jsonl|x-jsonlines)$/.test(type)) return "lines";
  throw new InputError(`Content-Type must be ${acceptedTypes(plan).join(" or ")}`, [], 415);
}

function decode(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new InputError("the body must be UTF-8");
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const { line, column } = jsonFaultAt(text);
    throw new InputError(`the body is not valid JSON: line ${line}, column ${column}`);
  }
}

function readLines(text: string, request: Draft, { lines, reading }: { lines: LinesPlan; reading: Reading }): Draft {
  const texts = text.split("\n").filter((line) => line.trim() !== "");
  const { slot, item, judged, most, flag } = lines;
  if (flag !== undefined) request[flag] = true;
  reading.path[0] = slot.name;
  reading.depth = 1;
  const list: JudgedItems = { items: [], faults: [] };
  if (texts.length > most) fault(reading, `must have at most ${most} items`);
  else {
    for (const [index, line] of texts.entries()) {
      const read = () => readLine(line, item.read, reading);
      reading.path[1] = index;
      if (judged) list.items.push(judge(list, { index, read }, { reading, plan: item }));
      else {
        reading.depth = 2;
        list.items.push(read());
        reading.depth = 1;
      }
    }
  }
  reading.depth = 0;
  slot.put(request, judged ? list : list.items);
  return request;
}

function readLine(line: string, read: Read, reading: Reading): unknown {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return fault(reading, `is not valid JSON: column ${jsonFaultAt(line).column}`);
  }
  return read(json, reading);
}
