import type { Doc, Model } from "../../model.ts";
import type { Write } from "../../store.ts";
import { touchedBy } from "./change.ts";

/** A write of a bulk and its place there. */
export interface Placed {
  write: Write<Doc>;
  place: number;
}

/** The id that a write is about. */
export function idOf(write: Write<Doc>): string {
  return write.kind === "insert" ? write.doc.id : write.id;
}

/**
 * Parts of a bulk that go to the server one after the other, while the writes of one part may be carried out in any order and come out
 * the same: each is about another document, and they do not compete for a place in a unique index.
 */
export function segmentsOf(model: Model<Doc>, writes: readonly Write<Doc>[]): Placed[][] {
  const unique = model.indexes.filter((index) => index.unique === true).map(({ fields }) => fields);
  return unique.length === 0 ? waves(writes) : runs(writes, unique);
}

/** Without unique indexes: the first write of each document, then the second of each, and so on. */
function waves(writes: readonly Write<Doc>[]): Placed[][] {
  const segments: Placed[][] = [];
  const times = new Map<string, number>();
  writes.forEach((write, place) => {
    const id = idOf(write);
    const time = times.get(id) ?? 0;
    times.set(id, time + 1);
    segments[time] ??= [];
    segments[time].push({ write, place });
  });
  return segments;
}

interface Run {
  segment: Placed[];
  ids: Set<string>;
  /** Places in unique indexes that inserts of this run take. */
  taken: Set<string>;
  /** True when a write is in it that frees or takes places in a way that is not known beforehand. */
  moves: boolean;
}

function runs(writes: readonly Write<Doc>[], unique: readonly (readonly string[])[]): Placed[][] {
  const segments: Placed[][] = [];
  let run: Run | undefined;
  writes.forEach((write, place) => {
    const claims = claimsOf(write, unique);
    if (run === undefined || !fits(run, idOf(write), claims)) {
      run = { segment: [], ids: new Set(), taken: new Set(), moves: false };
      segments.push(run.segment);
    }
    run.segment.push({ write, place });
    run.ids.add(idOf(write));
    for (const claim of claims ?? []) run.taken.add(claim);
    run.moves ||= claims === undefined;
  });
  return segments;
}

function fits({ ids, taken, moves }: Run, id: string, claims: readonly string[] | undefined): boolean {
  if (ids.has(id)) return false;
  if (claims === undefined) return !moves && taken.size === 0;
  return claims.length === 0 || (!moves && !claims.some((claim) => taken.has(claim)));
}

/** The places in unique indexes that a write takes; undefined when it may free one, or when they depend on what is stored. */
function claimsOf(write: Write<Doc>, unique: readonly (readonly string[])[]): string[] | undefined {
  if (write.kind === "delete") return undefined;
  if (write.kind === "update") {
    const touched = touchedBy(write.change);
    const isFree = write.upsert === undefined && !unique.some((fields) => fields.some((field) => touched.has(field)));
    return isFree ? [] : undefined;
  }
  const doc = write.doc as Doc & Record<string, unknown>;
  return unique
    .map((fields, index) => [index, ...fields.map((field) => doc[field] ?? undefined)])
    .filter((values) => !values.includes(undefined))
    .map((values) => JSON.stringify(values));
}
