import type { Doc, Model } from "../model.ts";
import type { Change } from "../store.ts";
import { checkKind, type Fields, fieldOf } from "./document.ts";

/**
 * Applies the change to the fields, in place: set, unset, inc, min, max. A missing number counts from 0 for `inc` and is
 * set by `min` and `max`.
 */
export function applyChange(model: Model<Doc>, fields: Fields, change: Change<Doc>): void {
  const at = (path: string, next: (old: unknown) => unknown) => put({ model, fields, path, next });
  for (const path in change.set) {
    const value = (change.set as Fields)[path];
    if (value !== undefined) at(path, () => (value === null ? undefined : copyObject(value)));
  }
  for (const path of change.unset ?? []) at(path, () => undefined);
  for (const path in change.inc) {
    const by = amount({ model, path, value: change.inc[path] });
    at(path, (old) => counted({ model, path, value: old ?? 0 }) + by);
  }
  for (const path in change.min) {
    const bound = amount({ model, path, value: change.min[path] });
    at(path, (old) => Math.min(counted({ model, path, value: old ?? bound }), bound));
  }
  for (const path in change.max) {
    const bound = amount({ model, path, value: change.max[path] });
    at(path, (old) => Math.max(counted({ model, path, value: old ?? bound }), bound));
  }
}

/** A copy of the objects in a value, so that a later change by path does not reach what the caller holds. */
export function copyObject(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const copy = { ...value } as Fields;
  for (const name of Object.keys(copy)) define(copy, name, copyObject(copy[name]));
  return copy;
}

interface Amount {
  model: Model<Doc>;
  path: string;
  value: unknown;
}

function amount({ model, path, value }: Amount): number {
  if (typeof value !== "number" || !Number.isFinite(value))
    throw new Error(`${model.name}: ${path} can only be changed by a finite number`);
  return value;
}

function counted({ model, path, value }: Amount): number {
  if (typeof value !== "number") throw new Error(`${model.name}: ${path} is not a number and cannot be counted`);
  return value;
}

interface Put {
  model: Model<Doc>;
  fields: Fields;
  path: string;
  next: (old: unknown) => unknown;
}

function put({ model, fields, path, next }: Put): void {
  const dot = path.indexOf(".");
  if (dot < 0) {
    assign({ model, fields, name: path, value: next(own(fields, path)) });
    return;
  }
  const [head = "", ...inner] = path.split(".");
  if (fieldOf(model, head).kind !== "object" || inner.includes(""))
    throw new Error(`${model.name}: ${path} is not a path into an object field`);
  const last = inner.pop() as string;
  let node = fields;
  for (const name of [head, ...inner]) node = child({ model, node, name, path });
  define(node, last, next(own(node, last)));
}

function assign({
  model,
  fields,
  name,
  value,
}: {
  model: Model<Doc>;
  fields: Fields;
  name: string;
  value: unknown;
}): void {
  const { required } = fieldOf(model, name);
  if (value !== undefined) checkKind(model, name, value);
  else if (required === true) throw new Error(`${model.name}: the field ${name} is required`);
  define(fields, name, value);
}

function child({ model, node, name, path }: { model: Model<Doc>; node: Fields; name: string; path: string }): Fields {
  const found = own(node, name);
  if (found === undefined) {
    const made: Fields = {};
    define(node, name, made);
    return made;
  }
  if (typeof found !== "object" || found === null || Array.isArray(found))
    throw new Error(`${model.name}: ${path} leads through something that is not an object`);
  return found as Fields;
}

function own(node: Fields, name: string): unknown {
  return Object.hasOwn(node, name) ? node[name] : undefined;
}

/** Names in documents may come from outside: `__proto__` becomes a member like any other. */
function define(node: Fields, name: string, value: unknown): void {
  if (value === undefined) delete node[name];
  else if (name === "__proto__")
    Object.defineProperty(node, name, { value, enumerable: true, configurable: true, writable: true });
  else node[name] = value;
}
