import { LRUCache } from "lru-cache";
import type { Store } from "#runtime/store.ts";
import { touchModel } from "./model.ts";

/** What is known of ids that clients gave, before their touches are taken. */
export interface IdLookup {
  /** A touch of this id is known, and it cannot be the same as one behind this wall: it was counted, or is of another purpose. */
  isTaken: (id: string, wall: string) => boolean;
}

/** Ids of touches that are on their way into the documents, and those that are there. */
export interface KnownIds {
  lookUp: (workspace: string, ids: readonly string[]) => Promise<IdLookup>;
  /** Notes ids that are being appended, with the walls of their touches. */
  note: (workspace: string, given: ReadonlyMap<string, string>) => void;
  /** Takes that back: the append has failed. */
  drop: (workspace: string, ids: Iterable<string>) => void;
}

/**
 * Keeps ids unique in a workspace over all purposes. Projections know a repeated id by themselves, each within its own
 * purpose; what needs this look-up is an id that comes again for another purpose. An id that is not yet in the documents
 * is remembered here, for as long as some tens of thousands are on their way.
 */
export function openKnownIds({ store }: { store: Store }): KnownIds {
  const onTheWay = new LRUCache<string, string>({ max: 50_000 });
  const none: IdLookup = { isTaken: () => false };
  return {
    lookUp: async (workspace, ids) => {
      if (ids.length === 0) return none;
      const stored = await store.collection(touchModel).of(workspace).getMany(ids);
      return {
        isTaken: (id, wall) => stored.has(id) || (onTheWay.get(`${workspace}/${id}`) ?? wall) !== wall,
      };
    },
    note: (workspace, given) => {
      for (const [id, wall] of given) onTheWay.set(`${workspace}/${id}`, wall);
    },
    drop: (workspace, ids) => {
      for (const id of ids) onTheWay.delete(`${workspace}/${id}`);
    },
  };
}
