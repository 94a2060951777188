import type { ServiceImpl } from "@connectrpc/connect";
import type { RegistryService } from "#gen/waymark/scans/v1/registry_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { fail } from "#runtime/failure.ts";
import type { Store } from "#runtime/store.ts";
import { touchModel } from "./model.ts";
import { scansProjection } from "./project.ts";

const MOST = 10_000;

/** Handlers of RegistryService. */
export function registryHandlers({ store }: { store: Store }): ServiceImpl<typeof RegistryService> {
  return {
    async listCounted({ touches }, handler) {
      if (touches.length > MOST)
        throw fail("INVALID_FIELD", { field: "touches", must: `must have at most ${MOST} items` });
      // Asked before the documents: what is complete then is complete in them.
      const completeTo = await store.watermark(scansProjection.name);
      const documents = store.collection(touchModel).of(contextOf(handler).principal.workspace);
      const known = await documents.getMany(touches.map(({ id }) => id));
      const counted = touches.map(({ id, position }) => known.get(id)?.position === Number(position));
      return { counted, completeTo: BigInt(completeTo) };
    },
  };
}
