import type { Store } from "#runtime/store.ts";

function deny(): never {
  throw new Error("this service keeps no documents; its definition names no collection");
}

const refuse = async (): Promise<never> => deny();

/** The store of a process whose services keep no documents: any use of it is a fault of ours. */
export const noStore: Store = {
  collection: () => ({ of: deny }),
  batch: (run) => run(),
  atomicBatch: false,
  watermark: refuse,
  progress: refuse,
  begin: refuse,
  advance: refuse,
  ping: async () => undefined,
  close: async () => undefined,
};
