import { LinkSortField, SortDirection } from "#gen/waymark/codes/v1/links_pb.ts";
import { fail } from "#runtime/failure.ts";
import type { Collection } from "#runtime/store.ts";
import { idsOf, inOrder, mustRead, type Order, type Selection, whereOf } from "./listing.ts";
import type { CodeDoc } from "./model.ts";

/** What a page of links is asked for. */
export interface LinkQuery {
  selection: Selection;
  sortBy: LinkSortField;
  sortDirection: SortDirection;
  limit: number;
  /** Empty for the first page. */
  token: string;
  /** Scans of codes, in the order of the ids. */
  count: (ids: readonly string[]) => Promise<readonly bigint[]>;
}

/** A page of links. */
export interface LinkPage {
  docs: CodeDoc[];
  total: number;
  /** Empty at the end. */
  nextToken: string;
}

/**
 * Where the next page begins. `from` is the last value of the sorted field and `skip` how many of that value are done, so
 * links that are made meanwhile shift nothing. Without `from`, for orders that the store cannot give, `skip` counts all.
 */
interface Cursor {
  by: LinkSortField;
  descending: boolean;
  from?: string | number;
  skip: number;
}

const FIELDS: Readonly<Record<number, Order[0]>> = {
  [LinkSortField.CREATED_AT]: "createdAt",
  [LinkSortField.UPDATED_AT]: "updatedAt",
  [LinkSortField.SHORTLINK]: "shortId",
  [LinkSortField.NAME]: "name",
};

/** Reads one page of links. */
export function linkPage(codes: Collection<CodeDoc>, query: LinkQuery): Promise<LinkPage> {
  const by = query.sortBy || LinkSortField.UPDATED_AT;
  const descending = query.sortDirection !== SortDirection.ASC;
  const cursor = query.token === "" ? { by, descending, skip: 0 } : decode(query.token);
  if (cursor.by !== by || cursor.descending !== descending) throw strange();
  const field = FIELDS[by];
  if (field === undefined || mustRead(query.selection)) return readPage(codes, query, cursor);
  return storePage(codes, query, { ...cursor, field });
}

/** A page in an order that the store keeps. */
async function storePage(
  codes: Collection<CodeDoc>,
  { selection, limit }: LinkQuery,
  { field, ...cursor }: Cursor & { field: Order[0] },
): Promise<LinkPage> {
  const where = whereOf(selection);
  const { descending, from, skip } = cursor;
  const rest = from === undefined ? where : { ...where, [field]: descending ? { lte: from } : { gte: from } };
  const order: Order = [field, descending ? -1 : 1];
  const [found, total] = await Promise.all([
    codes.find({ where: rest, sort: [order], skip, limit: limit + 1 }),
    codes.count(where),
  ]);
  const docs = found.slice(0, limit);
  const last = docs.at(-1)?.[field];
  if (found.length <= limit || last === undefined) return { docs, total, nextToken: "" };
  const done = docs.filter((doc) => doc[field] === last).length + (last === from ? skip : 0);
  return { docs, total, nextToken: encode({ ...cursor, from: last, skip: done }) };
}

/** A page for which every link of the selection is read. */
async function readPage(codes: Collection<CodeDoc>, query: LinkQuery, cursor: Cursor): Promise<LinkPage> {
  const { selection, limit } = query;
  const { by, descending, skip } = cursor;
  let ids = await idsOf(codes, selection, [FIELDS[by] ?? "createdAt", descending ? -1 : 1]);
  if (FIELDS[by] === undefined) ids = byCount(ids, await query.count(ids), descending);
  const docs = await inOrder(codes, ids.slice(skip, skip + limit));
  const next = skip + limit;
  return { docs, total: ids.length, nextToken: next < ids.length ? encode({ by, descending, skip: next }) : "" };
}

function byCount(ids: readonly string[], counts: readonly bigint[], descending: boolean): string[] {
  const rows = ids.map((id, i) => ({ id, count: counts[i] ?? 0n }));
  const sign = descending ? -1 : 1;
  rows.sort((a, b) => (a.count === b.count ? 0 : a.count < b.count ? -sign : sign));
  return rows.map(({ id }) => id);
}

function encode(cursor: Cursor): string {
  return Buffer.from(JSON.stringify(cursor)).toString("base64url");
}

function decode(token: string): Cursor {
  try {
    const { by, descending, from, skip } = JSON.parse(Buffer.from(token, "base64url").toString()) as Cursor;
    const value =
      from === undefined ||
      typeof from === (by === LinkSortField.SHORTLINK || by === LinkSortField.NAME ? "string" : "number");
    if (typeof by === "number" && typeof descending === "boolean" && value && Number.isSafeInteger(skip) && skip >= 0)
      return { by, descending, from, skip };
  } catch {
    // what is not JSON was not made here either
  }
  throw strange();
}

function strange(): Error {
  return fail("INVALID_FIELD", { field: "page_token", must: "must be a token that a list in this order gave" });
}
