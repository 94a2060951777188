import type { HandlerContext } from "@connectrpc/connect";
import { contextOf } from "#runtime/context.ts";
import { type AnalyticsDeps, type Asking, ask } from "../asking.ts";
import type { Row } from "../engine/query.ts";
import { readAverageScore, readLeadScores } from "./scores.ts";
import { scoringOf } from "./weights.ts";

/** What scores need of the world around. */
export interface Scoring {
  store: AnalyticsDeps["store"];
  handler: HandlerContext;
}

/**
 * What events include of the lead scores of their visitors: a function of a row with `id` and `device_key`. One of an
 * unknown device includes nothing. `asking` has the scope of the caller without narrowing.
 */
export async function leadScoresOf({ store, handler }: Scoring, asking: Asking, rows: readonly Row[]) {
  const keys = [...new Set(rows.flatMap((row) => (typeof row.device_key === "bigint" ? [row.device_key] : [])))];
  const { weights } = await scoringOf(store, contextOf(handler).principal);
  const scores = await readLeadScores(asking, weights, keys);
  return (row: Row) => {
    const leadScore = scores.get(String(row.device_key));
    return leadScore === undefined ? {} : { leadScore, leadScoreId: String(row.id) };
  };
}

/** The average lead score of the events of a question; undefined when no event has one. */
export async function averageScoreOf(
  own: AnalyticsDeps,
  handler: HandlerContext,
  { question, events }: { question: Asking; events: number },
): Promise<number | undefined> {
  if (events === 0) return undefined;
  const [{ weights }, { scope: seen }] = await Promise.all([
    scoringOf(own.store, contextOf(handler).principal),
    ask(own, handler),
  ]);
  return readAverageScore(question, { seen, weights, events });
}
