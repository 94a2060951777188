import type { Doc, Model } from "../../model.ts";
import type { Change } from "../../store.ts";
import { checkKind, fieldOf } from "../document.ts";
import { encodeName, encodeValue } from "./names.ts";

/** A change in operators of MongoDB. */
export interface Operators {
  $set?: Record<string, unknown>;
  $unset?: Record<string, unknown>;
  $inc: Record<string, number>;
  $min?: Record<string, number>;
  $max?: Record<string, number>;
}

/**
 * The change in operators, each checked against the model, with the version counting up; undefined when two parts of the change meet in
 * one path: operators have no order, the change has one.
 */
export function operatorsOf(model: Model<Doc>, change: Change<Doc>): Operators | undefined {
  const $set: Record<string, unknown> = {};
  const $unset: Record<string, unknown> = {};
  const set = change.set as Record<string, unknown> | undefined;
  for (const path in set) {
    const value = set[path];
    if (value === undefined) continue;
    if (value === null) $unset[unsetPath(model, path)] = true;
    else $set[setPath(model, path, value)] = encodeValue(value);
  }
  for (const path of change.unset ?? []) $unset[unsetPath(model, path)] = true;
  const parts = {
    $set,
    $unset,
    $inc: numbers(model, change.inc),
    $min: numbers(model, change.min),
    $max: numbers(model, change.max),
  };
  if (meet(Object.values(parts).flatMap(Object.keys))) return undefined;
  parts.$inc.version = 1;
  const used = Object.entries(parts).filter(([, operands]) => Object.keys(operands).length > 0);
  return Object.fromEntries(used) as unknown as Operators;
}

/** The fields of the model that a change touches. */
export function touchedBy({ set, unset, inc, min, max }: Change<Doc>): Set<string> {
  const touched = new Set<string>();
  const add = (path: string) => touched.add(path.split(".", 1)[0] as string);
  for (const paths of [set, inc, min, max]) for (const path in paths) add(path);
  for (const path of unset ?? []) add(path);
  return touched;
}

function setPath(model: Model<Doc>, path: string, value: unknown): string {
  if (path.includes(".")) return innerPath(model, path);
  checkKind(model, path, value);
  return path;
}

function unsetPath(model: Model<Doc>, path: string): string {
  if (path.includes(".")) return innerPath(model, path);
  if (fieldOf(model, path).required === true) throw new Error(`${model.name}: the field ${path} is required`);
  return path;
}

function numbers(model: Model<Doc>, changes: Readonly<Record<string, number>> | undefined): Record<string, number> {
  const operands: Record<string, number> = {};
  for (const path in changes) {
    const value = changes[path];
    if (typeof value !== "number" || !Number.isFinite(value))
      throw new Error(`${model.name}: ${path} can only be changed by a finite number`);
    operands[countedPath(model, path)] = value + 0;
  }
  return operands;
}

function countedPath(model: Model<Doc>, path: string): string {
  if (path.includes(".")) return innerPath(model, path);
  if (fieldOf(model, path).kind !== "number")
    throw new Error(`${model.name}: ${path} is not a number and cannot be counted`);
  return path;
}

function innerPath(model: Model<Doc>, path: string): string {
  const [head = "", ...inner] = path.split(".");
  if (fieldOf(model, head).kind !== "object" || inner.includes(""))
    throw new Error(`${model.name}: ${path} is not a path into an object field`);
  return [head, ...inner.map(encodeName)].join(".");
}

/** True when one path is another or leads to it. */
function meet(paths: readonly string[]): boolean {
  if (paths.length < 2) return false;
  const known = new Set(paths);
  if (known.size < paths.length) return true;
  return paths.some((path) => {
    for (let dot = path.indexOf("."); dot >= 0; dot = path.indexOf(".", dot + 1))
      if (known.has(path.slice(0, dot))) return true;
    return false;
  });
}
