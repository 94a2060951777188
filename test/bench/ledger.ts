import { KEY, type Measured } from "./process.ts";

/** The sums of the ledger since a time. */
export interface Total {
  received: number;
  accepted: number;
  counted: number;
  duplicate: number;
  pending: number;
  balanced: boolean;
  filtered: Record<string, number>;
}

/** Asks for the ledger's sums. */
export async function total({ call }: Measured): Promise<Total> {
  const { body } = await call("GET", "/waymark/v1/ledger", { key: KEY });
  return body.total as Total;
}

/** Waits until nothing is pending; answers how long that took, in milliseconds. */
export async function settled(measured: Measured): Promise<number> {
  const begun = performance.now();
  while (performance.now() - begun < 60_000) {
    const { pending } = await total(measured);
    if (pending === 0) return performance.now() - begun;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("projections did not catch up in 60 s");
}

/** Why a run is void: the ledger does not balance, or does not hold what was sent. */
export function verdict(before: Total, after: Total, sent: { accepted: number; counted: number }): string | undefined {
  if (!after.balanced) return "the ledger does not balance";
  const accepted = after.accepted - before.accepted;
  if (accepted !== sent.accepted) return `${sent.accepted} were acknowledged, the ledger accepted ${accepted}`;
  const counted = after.counted - before.counted;
  return counted === sent.counted ? undefined : `${sent.counted} should count, the ledger counted ${counted}`;
}
