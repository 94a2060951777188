import { type DescMessage, ScalarType } from "@bufbuild/protobuf";
import type { Dialect } from "../dialects/dialect.ts";
import { fault, type Read, type Reading } from "./fault.ts";
import { queryName } from "./names.ts";
import { type Draft, type MessagePlan, openField, type Plans, type Slot } from "./reader.ts";
import { wrappedField } from "./well-known.ts";

/** A request field that a parameter of the path or query fills. */
export interface Parameter {
  /** In proto names, from the request down: "filter.since". */
  protoPath: string;
  /** In the dialect's query names, for the caller. */
  names: readonly string[];
  repeated: boolean;
  /** Reads the text of one value. */
  read: Read;
  /** Opens the message that holds the field, making what is missing on the way. */
  open: (request: Draft) => Draft;
  slot: Slot;
}

/** What is needed to find parameters. */
export interface Finding {
  plan: MessagePlan;
  planOf: Plans;
  dialect: Dialect;
}

/** The parameter of a dotted name, in proto or json names; undefined when no text can fill such a field. */
export function findParameter(name: string, { plan, planOf, dialect }: Finding): Parameter | undefined {
  const parents: Slot[] = [];
  const steps = name.split(".");
  let at = plan;
  for (const [index, step] of steps.entries()) {
    const slot = at.slots.get(step);
    if (slot === undefined) return undefined;
    if (index === steps.length - 1) return parameter([...parents, slot], { planOf, dialect });
    const { field } = slot;
    if (field.fieldKind !== "message" || field.message.typeName.startsWith("google.protobuf.")) return undefined;
    parents.push(slot);
    at = planOf(field.message);
  }
  return undefined;
}

function parameter(chain: readonly Slot[], { planOf, dialect }: Omit<Finding, "plan">): Parameter | undefined {
  const slot = chain.at(-1) as Slot;
  const read = textReader(slot);
  if (read === undefined) return undefined;
  const fields = chain.flatMap(({ flat, field }) => [...flat, field]);
  const messages = chain.slice(0, -1).flatMap(({ flat, field }) => [...flat, field]);
  return {
    protoPath: fields.map((field) => field.name).join("."),
    names: chain.map(({ field }) => queryName(field, dialect)),
    repeated: slot.field.fieldKind === "list",
    read,
    open: (request) =>
      messages.reduce((message, field) => openField(message, field, planOf(field.message as DescMessage)), request),
    slot,
  };
}

/** How the text of a parameter becomes the value of a field; undefined for fields that a text cannot fill. */
function textReader(slot: Slot): Read | undefined {
  const { field } = slot;
  if (field.fieldKind === "map") return undefined;
  const read = slot.readOne;
  if (field.enum !== undefined || field.scalar !== undefined) return byScalar(field.scalar, read);
  switch (field.message?.typeName) {
    case "google.protobuf.Timestamp":
      return (text, reading) => read(withPlus(text as string), reading);
    case "google.protobuf.Duration":
    case "google.protobuf.FieldMask":
      return read;
    default: {
      const wrapped = field.message && wrappedField(field.message);
      return wrapped && byScalar(wrapped.scalar, read);
    }
  }
}

const BOOLEANS: Record<string, boolean | undefined> = { true: true, false: false, 1: true, 0: false };

function byScalar(scalar: ScalarType | undefined, read: Read): Read {
  if (scalar !== ScalarType.BOOL) return read;
  return (text, reading) => read(BOOLEANS[text as string] ?? text, reading);
}

/** A "+" of a zone that was not percent-encoded arrives as a space: "2026-03-20T15:30:00 02:00". */
function withPlus(text: string): string {
  return text.replace(/ (?=\d\d:?\d\d$)/, "+");
}

/** Fills a request from the path. Values stand in the order of the parameters. */
export function readPath(
  request: Draft,
  values: readonly string[],
  to: { parameters: readonly Parameter[]; reading: Reading },
): void {
  for (const [index, parameter] of to.parameters.entries()) {
    fill(request, { parameter, text: values[index] ?? "", reading: to.reading });
  }
}

/** What is known of the query of a route. */
export interface QueryPlan extends Finding {
  /** Fields, by proto path, that the path or the body holds: the query may not touch them. */
  taken: readonly string[];
}

/** Fills a request from a query. Unknown parameters are left alone. */
export function readQuery(
  request: Draft,
  query: string,
  { plan, reading }: { plan: QueryPlan; reading: Reading },
): void {
  const seen = new Set<string>();
  for (const [name, text] of new URLSearchParams(query)) {
    const parameter = findParameter(name, plan);
    if (parameter === undefined || isTaken(parameter.protoPath, plan.taken)) continue;
    if (seen.has(parameter.protoPath) && !parameter.repeated) {
      told(parameter, reading, () => fault(reading, "must be given once"));
      continue;
    }
    seen.add(parameter.protoPath);
    fill(request, { parameter, text, reading });
  }
}

function isTaken(path: string, taken: readonly string[]): boolean {
  return taken.some((other) => path === other || path.startsWith(`${other}.`));
}

function fill(
  request: Draft,
  { parameter, text, reading }: { parameter: Parameter; text: string; reading: Reading },
): void {
  const value = told(parameter, reading, () => parameter.read(text, reading));
  if (value === undefined) return;
  const message = parameter.open(request);
  if (parameter.repeated) parameter.slot.add(message, value);
  else parameter.slot.put(message, value);
}

function told<T>({ names }: Parameter, reading: Reading, read: () => T): T {
  reading.path.splice(0, reading.path.length, ...names);
  reading.depth = names.length;
  const value = read();
  reading.depth = 0;
  return value;
}
