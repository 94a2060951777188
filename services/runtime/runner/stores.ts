import type { Doc, Model } from "../model.ts";
import type { Collection, Store } from "../store.ts";

/** The same store whose collections are what `wrap` makes of them. */
export function withCollections(
  store: Store,
  wrap: <T extends Doc>(collection: Collection<T>, model: Model<Doc>) => Collection<T>,
): Store {
  return {
    collection: (model) => {
      const bound = store.collection(model);
      return { of: (workspace) => wrap(bound.of(workspace), model as unknown as Model<Doc>) };
    },
    atomicBatch: store.atomicBatch,
    batch: (run) => store.batch(run),
    watermark: (projection) => store.watermark(projection),
    progress: (projection) => store.progress(projection),
    begin: (projection, from, to) => store.begin(projection, from, to),
    advance: (projection, from, to) => store.advance(projection, from, to),
    ping: () => store.ping(),
    close: () => store.close(),
  };
}

/** The reading half of a collection. */
export function readsOf<T extends Doc>(
  collection: Collection<T>,
): Pick<Collection<T>, "get" | "getMany" | "find" | "count" | "stream"> {
  return {
    get: (id) => collection.get(id),
    getMany: (ids) => collection.getMany(ids),
    find: (query) => collection.find(query),
    count: (where) => collection.count(where),
    stream: (query) => collection.stream(query),
  };
}
