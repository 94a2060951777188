import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import type { Collection, Where } from "#runtime/store.ts";
import type { CodeDoc } from "./model.ts";
import { mentions } from "./rules.ts";

/** Which marketing codes a list is about. */
export interface Selection {
  /** Test codes, or the others. */
  test: boolean;
  status?: CodeDoc["status"];
  /** Any of these; empty: all codes. */
  tags: readonly string[];
  /** A part of the name or short id; empty: all codes. */
  search: string;
}

/** A field that codes are sorted by, and its direction. */
export type Order = readonly ["createdAt" | "updatedAt" | "shortId" | "name", 1 | -1];

/** What the store can decide of a selection. */
export function whereOf({ test, status, tags }: Selection): Where<CodeDoc> {
  const [tag, ...more] = tags;
  return {
    purpose: Purpose.MARKETING,
    test,
    deleted: false,
    ...(status === undefined ? {} : { status }),
    ...(tag === undefined || more.length > 0 ? {} : { tags: { has: tag } }),
  };
}

/** True when the store cannot decide a selection, so that each code must be read. */
export function mustRead({ tags, search }: Selection): boolean {
  return search !== "" || tags.length > 1;
}

/** Ids of all codes of a selection, read in chunks. */
export async function idsOf(codes: Collection<CodeDoc>, selection: Selection, order: Order): Promise<string[]> {
  const { tags, search } = selection;
  const ids: string[] = [];
  for await (const chunk of codes.stream({ where: whereOf(selection), sort: [order] })) {
    for (const { id, name, shortId, tags: given } of chunk) {
      if (tags.length > 0 && !tags.some((tag) => given.includes(tag))) continue;
      if (search === "" || mentions([name, shortId], search)) ids.push(id);
    }
  }
  return ids;
}

/** A page of a selection, newest first, and how many codes there are in all pages. */
export async function pageOf(
  codes: Collection<CodeDoc>,
  selection: Selection,
  { skip, limit }: { skip: number; limit: number },
): Promise<{ docs: CodeDoc[]; total: number }> {
  const order: Order = ["createdAt", -1];
  if (mustRead(selection)) {
    const ids = await idsOf(codes, selection, order);
    return { docs: await inOrder(codes, ids.slice(skip, skip + limit)), total: ids.length };
  }
  const where = whereOf(selection);
  const [docs, total] = await Promise.all([codes.find({ where, sort: [order], skip, limit }), codes.count(where)]);
  return { docs, total };
}

/** The codes of these ids in this order, without those that have gone. */
export async function inOrder(codes: Collection<CodeDoc>, ids: readonly string[]): Promise<CodeDoc[]> {
  const found = await codes.getMany(ids);
  return ids.map((id) => found.get(id)).filter((doc) => doc !== undefined);
}
