import type { FieldFault } from "../dialects/dialect.ts";

/** The most faults that one refusal tells. */
const MAX_FAULTS = 20;

/** The most levels of nesting that a request may have. */
export const MAX_DEPTH = 64;

/** A request that cannot be read. The message is a sentence for the caller; `fields` names what is wrong where. */
export class InputError extends Error {
  override readonly name = "InputError";
  readonly fields: readonly FieldFault[];
  /** HTTP status: 400, or 415 for a content type that the route does not take. */
  readonly status: 400 | 415;

  constructor(message: string, fields: readonly FieldFault[] = [], status: 400 | 415 = 400) {
    super(message);
    this.fields = fields;
    this.status = status;
  }
}

/** How far the reading of one request has come. Names are kept by level, so that a path costs nothing until it is told. */
export interface Reading {
  /** Names and indexes on the way to the value being read; only the first `depth` count. */
  path: (string | number)[];
  depth: number;
  /** Level from which a path is told: above 0 inside an item that is judged alone. */
  base: number;
  faults: FieldFault[];
}

/** Turns a JSON value into what protobuf-es expects; undefined after a fault. `value` is never undefined. */
export type Read = (value: unknown, reading: Reading) => unknown;

/** Begins to read a request. */
export function startReading(): Reading {
  return { path: [], depth: 0, base: 0, faults: [] };
}

/** Notes that the value being read is wrong. `must` follows its name: "must be a string". Returns undefined. */
export function fault(reading: Reading, must: string): undefined {
  if (reading.faults.length >= MAX_FAULTS) return undefined;
  const field = pathText(reading.path.slice(reading.base, reading.depth));
  if (field !== "") reading.faults.push({ field, message: `${field} ${must}` });
  else if (reading.base > 0) reading.faults.push({ field, message: `the item ${must}` });
  else reading.faults.push({ field: "body", message: `the body ${must}` });
  return undefined;
}

/** Throws an InputError when anything was wrong. */
export function refuseFaults(reading: Reading): void {
  const [first] = reading.faults;
  if (first !== undefined) throw new InputError(first.message, reading.faults);
}

/** "scans[3].scanned_at" */
function pathText(path: readonly (string | number)[]): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += text === "" ? step : `.${step}`;
  }
  return text;
}
