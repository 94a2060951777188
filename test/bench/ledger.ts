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

/** How often the state of the projections is asked, in milliseconds: often enough for the figure, too seldom to cost much. */
const POLL_MS = 50;

/** Waits until no projection is behind; answers how long that took, in milliseconds. */
export async function settled({ lags }: Measured): Promise<number> {
  const begun = performance.now();
  while (performance.now() - begun < 120_000) {
    const entries = Object.values(await lags());
    if (entries.length > 0 && entries.every((behind) => behind === 0)) return performance.now() - begun;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error("projections did not catch up in 120 s");
}

/** Why a run is void: the ledger does not balance, or does not hold what was sent. */
export function verdict(before: Total, after: Total, sent: { accepted: number; counted: number }): string | undefined {
  if (!after.balanced) return "the ledger does not balance";
  const accepted = after.accepted - before.accepted;
  if (accepted !== sent.accepted) return `${sent.accepted} were acknowledged, the ledger accepted ${accepted}`;
  const counted = after.counted - before.counted;
  return counted === sent.counted ? undefined : `${sent.counted} should count, the ledger counted ${counted}`;
}
