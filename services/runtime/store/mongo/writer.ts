import { setTimeout as pause } from "node:timers/promises";
import type { mongo } from "mongoose";
import type { Doc } from "../../model.ts";
import type { Change, Guard, Outcome } from "../../store.ts";
import { applyChange, copyObject } from "../change.ts";
import { meets, testsOf } from "../condition.ts";
import { checkId, checkRequired, type Fields, newFields } from "../document.ts";
import { fail } from "../failure.ts";
import { operatorsOf } from "./change.ts";
import { duplicateOf } from "./failure.ts";
import { guardedFilter } from "./filter.ts";
import { readOne, readStored } from "./reader.ts";
import { docOf, encodeFields, type Found, fieldsOf, keyOf, type Shelf, type Stored, storedOf } from "./shelf.ts";

/** Rounds of compare-and-set after which a write gives up against others; nothing was written then. */
const ROUNDS = 40;

/** An update as the port gives it. */
export interface Update {
  id: string;
  change: Change<Doc>;
  guard?: Guard<Doc>;
  upsert?: Fields;
}

/** What an update did; `doc` is the document after it. */
export type Updated = { kind: "applied"; doc: Found } | { kind: "conflict"; index: string } | { kind: "unmet" };

/** The fields of a new document, checked. */
export function insertable(shelf: Shelf, doc: Doc): Fields {
  checkId(shelf.model, doc.id);
  const fields = newFields(shelf.model, doc as Found);
  checkRequired(shelf.model, fields);
  return fields;
}

/** The fields of the document that an update makes when there is none; `checkRequired` is left to do. */
export function upsertable(shelf: Shelf, { change, upsert }: Update): Fields {
  const fields = newFields(shelf.model, upsert as Fields);
  for (const name in fields) fields[name] = copyObject(fields[name]);
  applyChange(shelf.model, fields, change);
  return fields;
}

/** Inserts by id; never overwrites. */
export async function insertDoc(shelf: Shelf, doc: Doc): Promise<Outcome<Doc>> {
  const fields = insertable(shelf, doc);
  for (let round = 0; round < ROUNDS; round++) {
    const index = await tryInsert(shelf, doc.id, fields);
    if (index === undefined) return { kind: "applied" };
    const existing = await readOne(shelf, doc.id);
    if (existing !== undefined) return { kind: "exists", doc: existing };
    if (index !== "_id_") return { kind: "conflict", index };
  }
  throw busy();
}

/** The index that stands against a new document; undefined when it was inserted. */
function tryInsert(shelf: Shelf, id: string, fields: Fields): Promise<string | undefined> {
  return unlessDuplicate(shelf, () => shelf.collection.insertOne(storedOf(shelf, id, fields)));
}

async function unlessDuplicate(shelf: Shelf, write: () => Promise<unknown>): Promise<string | undefined> {
  return shelf.run(async () => {
    try {
      await write();
    } catch (error) {
      const index = duplicateOf(error as { code?: unknown });
      if (index === undefined) throw error;
      return index;
    }
  });
}

/** Applies a change to a document that is there. One call, unless the parts of the change depend on their order. */
export async function updateDoc(shelf: Shelf, update: Update): Promise<Updated> {
  checkId(shelf.model, update.id);
  const operators = operatorsOf(shelf.model, update.change);
  const filter = guardedFilter(shelf, update.id, update.guard);
  if (operators === undefined || filter === undefined) return writeAlone(shelf, update);
  let after: Stored | null = null;
  const index = await unlessDuplicate(shelf, async () => {
    const change = operators as mongo.UpdateFilter<Stored>;
    after = await shelf.collection.findOneAndUpdate(filter, change, { returnDocument: "after" });
  });
  if (index === "") return writeAlone(shelf, update);
  if (index !== undefined) return { kind: "conflict", index };
  return after === null ? { kind: "unmet" } : { kind: "applied", doc: docOf(shelf, after) };
}

/** Reads, decides and writes as the embedded store does, with the version that was read as the guard. Begins anew when it changed. */
export async function writeAlone(shelf: Shelf, update: Update): Promise<Updated> {
  checkId(shelf.model, update.id);
  for (let round = 0; round < ROUNDS; round++) {
    if (round > 1) await pause(Math.random() * 5 * round);
    const stored = await readStored(shelf, update.id);
    const updated = stored === undefined ? await tryMake(shelf, update) : await tryReplace(shelf, update, stored);
    if (updated !== undefined) return updated;
  }
  throw busy();
}

/** Undefined when somebody else has made the document meanwhile. */
async function tryMake(shelf: Shelf, update: Update): Promise<Updated | undefined> {
  if (update.upsert === undefined || (update.guard?.version ?? 0) !== 0) return { kind: "unmet" };
  const fields = upsertable(shelf, update);
  checkRequired(shelf.model, fields);
  const index = await tryInsert(shelf, update.id, fields);
  if (index === undefined) return { kind: "applied", doc: { ...fields, id: update.id, version: 1 } };
  if (index === "_id_" || (await readStored(shelf, update.id)) !== undefined) return undefined;
  return { kind: "conflict", index };
}

/** Undefined when somebody else has written the document meanwhile. */
async function tryReplace(shelf: Shelf, update: Update, stored: Stored): Promise<Updated | undefined> {
  if (!allows(shelf, update.guard, docOf(shelf, stored))) return { kind: "unmet" };
  const fields = fieldsOf(shelf, stored);
  applyChange(shelf.model, fields, update.change);
  const { version } = stored;
  const next = { _w: shelf.workspace, ...encodeFields(fields), version: version + 1 };
  let matched = 0;
  const index = await unlessDuplicate(shelf, async () => {
    const key = { ...keyOf(shelf, update.id), version };
    matched = (await shelf.collection.replaceOne(key, next)).matchedCount;
  });
  if (index !== undefined) return { kind: "conflict", index };
  if (matched === 0) return undefined;
  return { kind: "applied", doc: { ...fields, id: update.id, version: version + 1 } };
}

/** True when the document meets the guard. */
export function allows({ model }: Shelf, guard: Guard<Doc> | undefined, doc: Found): boolean {
  if (guard?.version !== undefined && guard.version !== doc.version) return false;
  return guard?.where === undefined || meets((field) => doc[field], testsOf(model, guard.where));
}

/** True when there was one. */
export async function deleteDoc(shelf: Shelf, id: string): Promise<boolean> {
  return (await shelf.run(() => shelf.collection.deleteOne(keyOf(shelf, id)))).deletedCount === 1;
}

/** Others were faster too often. Nothing was written. */
export function busy(): Error {
  return fail("STORE_UNAVAILABLE", { why: "too many write the same document at once; try again shortly" });
}
