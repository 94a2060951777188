import { SpanKind } from "@opentelemetry/api";
import type { Doc, Model } from "../model.ts";
import type { Bound, Collection, Store } from "../store.ts";
import { inSpan } from "../telemetry.ts";

/** The store with a span around each call of a collection, which names the collection and never a value. */
export function tracedStore(store: Store): Store {
  return {
    ...store,
    collection: <T extends Doc>(model: Model<T>): Bound<T> => {
      const bound = store.collection(model);
      return { of: (workspace) => traced(bound.of(workspace), model.name) };
    },
  };
}

function traced<T extends Doc>(collection: Collection<T>, name: string): Collection<T> {
  const around = <R>(operation: string, work: () => Promise<R>): Promise<R> =>
    inSpan(
      {
        name: "store",
        kind: SpanKind.CLIENT,
        attributes: { "db.collection.name": name, "db.operation.name": operation },
      },
      work,
    );
  return {
    insert: (doc) => around("insert", () => collection.insert(doc)),
    get: (id) => around("get", () => collection.get(id)),
    getMany: (ids) => around("getMany", () => collection.getMany(ids)),
    find: (query) => around("find", () => collection.find(query)),
    count: (where) => around("count", () => collection.count(where)),
    update: (id, change, guard) => around("update", () => collection.update(id, change, guard)),
    bulk: (writes) => around("bulk", () => collection.bulk(writes)),
    delete: (id) => around("delete", () => collection.delete(id)),
    stream: (query) => collection.stream(query),
  };
}
