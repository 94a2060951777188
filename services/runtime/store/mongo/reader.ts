import type { Doc } from "../../model.ts";
import type { Query, Where } from "../../store.ts";
import { testsOf } from "../condition.ts";
import { after, type Filter, filterOf, type SortKey, sortKeys } from "./filter.ts";
import { docOf, type Found, keyOf, type Shelf, type Stored } from "./shelf.ts";

/** Ids that are asked for in one call. */
const IDS = 1_000;

/** Documents of a chunk of a stream. */
const CHUNK = 1_000;

/** Documents that the server sends at once; it sends less when they are large. */
const BATCH = 2_000;

/** The document of this id, as it is stored. */
export async function readStored(shelf: Shelf, id: string): Promise<Stored | undefined> {
  return (await shelf.read(() => shelf.collection.findOne(keyOf(shelf, id)))) ?? undefined;
}

/** The document of this id. */
export async function readOne(shelf: Shelf, id: string): Promise<Found | undefined> {
  const stored = await readStored(shelf, id);
  return stored === undefined ? undefined : docOf(shelf, stored);
}

/** The documents of these ids, as far as they exist. */
export async function readMany(shelf: Shelf, ids: readonly string[]): Promise<Map<string, Found>> {
  const found = new Map<string, Found>();
  const keys = [...new Set(ids)].map((id) => shelf.prefix + id).sort();
  for (let from = 0; from < keys.length; from += IDS) {
    const filter: Filter = { _w: shelf.workspace, _id: { $in: keys.slice(from, from + IDS) } };
    const stored = await shelf.read(() => shelf.collection.find(filter, { batchSize: BATCH }).toArray());
    for (const one of stored) {
      const doc = docOf(shelf, one);
      found.set(doc.id, doc);
    }
  }
  return found;
}

/** How many match. */
export function countDocs(shelf: Shelf, where: Where<Doc> | undefined): Promise<number> {
  const filter = filterOf(shelf, testsOf(shelf.model, where));
  return shelf.read(() => shelf.collection.countDocuments(filter));
}

interface Plan {
  filter: Filter;
  keys: readonly SortKey[];
  limit: number;
  skip: number;
}

function planOf(shelf: Shelf, { where, sort, limit = Number.MAX_SAFE_INTEGER, skip = 0 }: Query<Doc>): Plan {
  for (const number of [limit, skip]) {
    if (!Number.isSafeInteger(number) || number < 0)
      throw new Error(`${shelf.model.name}: limit and skip are whole numbers from 0 on`);
  }
  const tests = testsOf(shelf.model, where);
  return { filter: filterOf(shelf, tests, sort), keys: sortKeys(shelf, sort), limit, skip };
}

/** All documents that match, in order. */
export async function readAll(shelf: Shelf, query: Query<Doc>): Promise<Found[]> {
  const plan = planOf(shelf, query);
  const found = plan.limit === 0 ? [] : await readPage(shelf, plan);
  return found.map((stored) => docOf(shelf, stored));
}

function readPage(shelf: Shelf, { filter, keys, limit, skip }: Plan): Promise<Stored[]> {
  const sort = Object.fromEntries(keys.map(({ name, direction }) => [name, direction]));
  const options = limit < Number.MAX_SAFE_INTEGER ? { sort, skip, limit } : { sort, skip };
  return shelf.read(() => shelf.collection.find(filter, { ...options, batchSize: BATCH }).toArray());
}

/**
 * The documents that match, in order, in chunks, none empty. Each chunk begins after the last document of the one before, and nothing
 * is held open on the server meanwhile. A document that moves ahead of the reading is not shown again: the ids that were shown are
 * remembered, unless the order is by id, in which nothing moves.
 */
export async function* streamDocs(shelf: Shelf, query: Query<Doc>): AsyncGenerator<Found[]> {
  const plan = planOf(shelf, query);
  const shown = plan.keys[0]?.name === "_id" ? undefined : new Set<string>();
  let left = plan.limit;
  let wanted = Math.min(left, CHUNK);
  let page = wanted === 0 ? [] : await readPage(shelf, { ...plan, limit: wanted });
  while (page.length > 0) {
    const fresh = page.filter(({ _id }) => shown?.has(_id) !== true);
    for (const { _id } of fresh) shown?.add(_id);
    left -= fresh.length;
    if (fresh.length > 0) yield fresh.map((stored) => docOf(shelf, stored));
    if (left === 0 || page.length < wanted) return;
    wanted = Math.min(left, CHUNK);
    page = await readAfter(shelf, { ...plan, limit: wanted, skip: 0 }, page.at(-1) as Stored);
  }
}

async function readAfter(shelf: Shelf, plan: Plan, last: Stored): Promise<Stored[]> {
  const page: Stored[] = [];
  for (const beyond of after(plan.keys, last)) {
    const filter = { $and: [plan.filter, beyond] };
    page.push(...(await readPage(shelf, { ...plan, filter, limit: plan.limit - page.length })));
    if (page.length >= plan.limit) break;
  }
  return page;
}
