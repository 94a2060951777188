import type { Doc, Model } from "../model.ts";
import { applyChange, copyObject } from "../store/change.ts";
import { testsOf } from "../store/condition.ts";
import { checkId, checkRequired, type Fields, newFields } from "../store/document.ts";
import type { Collection, Store, Write } from "../store.ts";
import { readsOf, withCollections } from "./stores.ts";

/**
 * A store to try on: reads pass, writes are checked against the model as an engine checks them, answered as applied, and
 * dropped. What a step does against it tells which of its entries cannot be taken.
 */
export function dry(store: Store): Store {
  const wrap = <T extends Doc>(given: Collection<T>, model: Model<Doc>): Collection<T> => {
    const collection = given as unknown as Collection<Doc>;
    const attempt = async (writes: readonly Write<Doc>[]) => {
      const ids = writes.flatMap((write) => (write.kind === "update" ? [write.id] : []));
      const stored = ids.length === 0 ? new Map<string, Doc>() : await collection.getMany([...new Set(ids)]);
      return writes.map((write) => outcomeOf(model, write, stored));
    };
    const trial: Collection<Doc> = {
      ...readsOf(collection),
      insert: async (doc) => {
        await attempt([{ kind: "insert", doc }]);
        return { kind: "applied" };
      },
      update: async (id, change, guard) => (await attempt([{ kind: "update", id, change, guard }]))[0],
      bulk: async (writes) => (await attempt(writes)).map(() => ({ kind: "applied" })),
      delete: async (id) => (await collection.get(id)) !== undefined,
    };
    return trial as unknown as Collection<T>;
  };
  return { ...withCollections(store, wrap), begin: async () => true, advance: async () => true };
}

/** Throws what an engine would throw; else the document as an update would leave it. */
function outcomeOf(model: Model<Doc>, write: Write<Doc>, stored: ReadonlyMap<string, Doc>): Doc | undefined {
  if (write.kind === "delete") return undefined;
  if (write.kind === "insert") {
    checkId(model, write.doc.id);
    checkRequired(model, newFields(model, write.doc as Doc & Fields));
    return undefined;
  }
  checkId(model, write.id);
  testsOf(model, write.guard?.where);
  const known = stored.get(write.id);
  const base = known ?? write.upsert;
  if (base === undefined) return undefined;
  const fields = newFields(model, base as Fields);
  for (const name in fields) fields[name] = copyObject(fields[name]);
  applyChange(model, fields, write.change);
  checkRequired(model, fields);
  return { ...fields, id: write.id, version: (known?.version ?? 0) + 1 };
}
