import type { Principal } from "#runtime/context.ts";
import type { Doc, Model } from "#runtime/model.ts";
import type { Bound, Change, Collection, Store, Where } from "#runtime/store.ts";
import { claimModel, type Owned } from "./model.ts";
import { fail } from "./reasons.ts";
import type { Page } from "./rules.ts";

/** The caller's document of this id; undefined when there is none, or when it is test data and the caller's is not. */
export async function getOwn<T extends Doc & { test: boolean }>(
  bound: Bound<T>,
  id: string,
  principal: Principal,
): Promise<T | undefined> {
  const doc = await bound.of(principal.workspace).get(id);
  return doc?.test === principal.test ? doc : undefined;
}

/** The caller's documents of these ids. */
export async function getOwnMany<T extends Doc & { test: boolean }>(
  bound: Bound<T>,
  ids: readonly string[],
  principal: Principal,
): Promise<Map<string, T>> {
  const found = await bound.of(principal.workspace).getMany(ids);
  return new Map([...found].filter(([, { test }]) => test === principal.test));
}

/** Inserts a new document; refuses an id that is taken. */
export async function create<T extends Doc>(collection: Collection<T>, doc: T): Promise<T> {
  const outcome = await collection.insert(doc);
  if (outcome.kind !== "applied") throw fail("ID_TAKEN", { field: "id", id: doc.id });
  return doc;
}

/** A page of the caller's documents, oldest first, and how many match. A filter of "" or 0 is none. */
export async function listOwn<T extends Owned>(
  bound: Bound<T>,
  { filter, page }: { filter: Partial<Record<keyof T & string, string | number>>; page: Page },
  principal: Principal,
): Promise<{ found: T[]; total: number }> {
  const wanted = Object.entries(filter).filter(([, value]) => value !== "" && value !== 0);
  const where = { test: principal.test, ...Object.fromEntries(wanted) } as Where<T>;
  const collection = bound.of(principal.workspace);
  const query = { where, sort: [["createdAt", 1]], ...page } as const;
  const [found, total] = await Promise.all([collection.find(query), collection.count(where)]);
  return { found, total };
}

const ATTEMPTS = 5;

/** Changes a document by what `decide` says of it as it stands; decides anew when someone else was faster. */
export async function revise<T extends Owned>(
  bound: Bound<T>,
  { id, decide }: { id: string; decide: (doc: T) => Change<T> },
  principal: Principal,
): Promise<T | undefined> {
  const collection = bound.of(principal.workspace);
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const doc = await getOwn(bound, id, principal);
    if (doc === undefined) return undefined;
    const guard = doc.version === undefined ? {} : { version: doc.version };
    const changed = await collection.update(id, decide(doc), guard);
    if (changed !== undefined) return changed;
  }
  throw fail("CHANGED_MEANWHILE", { id });
}

/** One request with an idempotency key for an object of one model. */
interface Keyed<T extends Doc> {
  model: Model<T>;
  key: string;
}

/** The object that an earlier request with this key made. */
export async function madeWith<T extends Owned & { idempotencyKey?: string | undefined }>(
  store: Store,
  { model, key }: Keyed<T>,
  principal: Principal,
): Promise<T | undefined> {
  const claim = await store
    .collection(claimModel)
    .of(principal.workspace)
    .get(claimId(model.name, key, principal));
  if (claim === undefined) return undefined;
  const doc = await getOwn(store.collection(model), claim.objectId, principal);
  return doc?.idempotencyKey === key ? doc : undefined;
}

/** Makes the object of this key once: whoever comes first with the key decides its id, all others get what that one made. */
export async function createOnce<T extends Owned & { idempotencyKey?: string | undefined }>(
  store: Store,
  { model, key, doc }: Keyed<T> & { doc: T },
  principal: Principal,
): Promise<T> {
  const claims = store.collection(claimModel).of(principal.workspace);
  const outcome = await claims.insert({ id: claimId(model.name, key, principal), objectId: doc.id });
  const id = outcome.kind === "exists" ? outcome.doc.objectId : doc.id;
  const made = await store
    .collection(model)
    .of(principal.workspace)
    .insert({ ...doc, id });
  if (made.kind === "applied") return { ...doc, id };
  if (made.kind === "exists" && made.doc.idempotencyKey === key && made.doc.test === doc.test) return made.doc;
  throw fail("ID_TAKEN", { field: "id", id });
}

function claimId(model: string, key: string, principal: Principal): string {
  return `${principal.test ? "test" : "live"}/${model}/${key}`;
}
