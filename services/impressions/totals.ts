import type { Principal } from "#runtime/context.ts";
import { PARTITIONS, partitionOf } from "#runtime/log.ts";
import type { Store } from "#runtime/store.ts";
import { totalModel } from "./model.ts";

/**
 * Ids of the totals that one impression belongs to. A total counts one partition of the log, so that projections may be
 * spread over replicas by partition and each total still has one writer.
 */
export function totalIdsOf(impression: { test: boolean; posterId: string; programId: string }, partition: number) {
  const kind = kindOf(impression.test);
  return [
    `${kind}/all/${partition}`,
    `${kind}/program/${impression.programId}/${partition}`,
    `${kind}/poster/${impression.posterId}/${partition}`,
  ];
}

/** How many impressions the caller has, of all, of a program or of a poster. */
export async function totalOf(
  of: { programId: string; posterId: string },
  store: Store,
  principal: Principal,
): Promise<number> {
  const kind = kindOf(principal.test);
  const ids =
    of.posterId !== ""
      ? [`${kind}/poster/${of.posterId}/${partitionOf(of.posterId)}`] // a poster is a code, and a code has one partition
      : Array.from({ length: PARTITIONS }, (_, partition) =>
          of.programId !== "" ? `${kind}/program/${of.programId}/${partition}` : `${kind}/all/${partition}`,
        );
  const totals = await store.collection(totalModel).of(principal.workspace).getMany(ids);
  return [...totals.values()].reduce((sum, { total }) => sum + total, 0);
}

function kindOf(test: boolean): string {
  return test ? "test" : "live";
}
