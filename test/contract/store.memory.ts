import type { Change, Guard, Outcome, Query, Where, Write } from "#runtime/store.ts";
import type { Thing } from "./store.models.ts";

type Plain = Record<string, unknown>;
type Found = Map<string, Thing>;

const absent = (value: unknown) => value === undefined;
const rank = (value: unknown) => (absent(value) ? 0 : 1);

/** Order of two field values: what is absent first, numbers by size, strings by their bytes. */
function order(a: unknown, b: unknown): number {
  if (absent(a) || absent(b)) return rank(a) - rank(b);
  if (typeof a === "string") return Buffer.compare(Buffer.from(a), Buffer.from(b as string));
  return Number(a) - Number(b);
}

function matches(doc: Thing, where: Where<Thing> = {}): boolean {
  return Object.entries(where).every(([field, condition]) => {
    const value = (doc as unknown as Plain)[field];
    if (typeof condition !== "object") return value === condition;
    return Object.entries(condition as Plain).every(([operator, operand]) => {
      if (operator === "exists") return absent(value) !== operand;
      if (operator === "ne") return value !== operand;
      if (absent(value)) return false;
      if (operator === "in") return (operand as unknown[]).includes(value);
      if (operator === "has") return (value as unknown[]).includes(operand);
      const sign = order(value, operand);
      return { gt: sign > 0, gte: sign >= 0, lt: sign < 0, lte: sign <= 0 }[operator];
    });
  });
}

function changed(doc: Thing, { set = {}, unset = [], inc = {}, min = {}, max = {} }: Change<Thing>): Thing {
  const next = structuredClone(doc) as unknown as Plain;
  const at = (path: string, to: (old: number | undefined) => unknown) => {
    const names = path.split(".");
    const last = names.pop() as string;
    let node = next;
    for (const name of names) {
      node[name] ??= {};
      node = node[name] as Plain;
    }
    const value = to(node[last] as number | undefined);
    if (value === undefined) delete node[last];
    else node[last] = value;
  };
  for (const [path, value] of Object.entries(set)) at(path, () => structuredClone(value));
  for (const path of unset) at(path, () => undefined);
  for (const [path, by] of Object.entries(inc)) at(path, (old = 0) => old + by);
  for (const [path, bound] of Object.entries(min)) at(path, (old = bound) => Math.min(old, bound));
  for (const [path, bound] of Object.entries(max)) at(path, (old = bound) => Math.max(old, bound));
  return { ...(next as unknown as Thing), version: (doc.version ?? 0) + 1 };
}

/** The port's promises in their plainest form: a Map. It knows the model `things`, its defaults and its unique index. */
export function memoryShelf() {
  const docs: Found = new Map();
  const complete = (doc: Thing): Thing => ({ size: 0, labels: ["new"], ...structuredClone(doc) });
  const conflicts = (doc: Thing) =>
    !absent(doc.owner) &&
    !absent(doc.slug) &&
    [...docs.values()].some((one) => one.id !== doc.id && one.owner === doc.owner && one.slug === doc.slug);

  const put = (doc: Thing): Outcome<Thing> => {
    if (conflicts(doc)) return { kind: "conflict", index: "owner_slug" };
    docs.set(doc.id, doc);
    return { kind: "applied" };
  };
  const guarded = (doc: Thing, guard: Guard<Thing> = {}) =>
    (guard.version === undefined || guard.version === doc.version) && matches(doc, guard.where);

  const write = (one: Write<Thing>): Outcome<Thing> => {
    if (one.kind === "insert") {
      const there = docs.get(one.doc.id);
      return there === undefined ? put({ ...complete(one.doc), version: 1 }) : { kind: "exists", doc: there };
    }
    if (one.kind === "delete") return docs.delete(one.id) ? { kind: "applied" } : { kind: "unmet" };
    const there = docs.get(one.id);
    if (there !== undefined) return guarded(there, one.guard) ? put(changed(there, one.change)) : { kind: "unmet" };
    if (one.upsert === undefined || (one.guard?.version ?? 0) !== 0) return { kind: "unmet" };
    return put(changed(complete({ ...(one.upsert as Thing), id: one.id }), one.change));
  };
  const find = ({ where, sort = [], limit = Number.POSITIVE_INFINITY, skip = 0 }: Query<Thing>): Thing[] => {
    const keys: [string, number][] = sort.map(([field, direction]) => [field, direction]);
    keys.push(["id", sort.at(-1)?.[1] ?? 1]);
    const sorted = [...docs.values()]
      .filter((doc) => matches(doc, where))
      .sort((a, b) => {
        for (const [field, direction] of keys) {
          const sign = order((a as unknown as Plain)[field], (b as unknown as Plain)[field]) * direction;
          if (sign !== 0) return sign;
        }
        return 0;
      });
    return sorted.slice(skip, skip + limit);
  };
  return { write, find };
}
