import type { Doc } from "../model.ts";
import type { Collection, Store } from "../store.ts";
import { readsOf, withCollections } from "./stores.ts";

/**
 * The store as a holder of a lease sees it: `check`, which throws when the lease may be another's by now, goes before every write.
 * A process that was stopped in the middle of a step and goes on later ends at its next write.
 */
export function fenced(store: Store, check: () => void): Store {
  const guarded = <R>(write: () => Promise<R>): Promise<R> => {
    try {
      check();
    } catch (error) {
      return Promise.reject(error);
    }
    return write();
  };
  const wrap = <T extends Doc>(collection: Collection<T>): Collection<T> => ({
    ...readsOf(collection),
    insert: (doc) => guarded(() => collection.insert(doc)),
    update: (id, change, guard) => guarded(() => collection.update(id, change, guard)),
    bulk: (writes) => guarded(() => collection.bulk(writes)),
    delete: (id) => guarded(() => collection.delete(id)),
  });
  return {
    ...withCollections(store, wrap),
    begin: (projection, from, to) => guarded(() => store.begin(projection, from, to)),
    advance: (projection, from, to) => guarded(() => store.advance(projection, from, to)),
  };
}
