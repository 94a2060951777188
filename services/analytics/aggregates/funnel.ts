import type { Asking } from "../asking.ts";
import type { Row } from "../engine/query.ts";
import { percentOf } from "./range.ts";

const IDENTIFIED = `coalesce(visitor_key IN (SELECT visitor_key FROM visitors WHERE workspace = $workspace AND test = $test
  AND identified_at IS NOT NULL), false)`;

/** The steps: each holds those events of the one before that meet its condition. */
const STEPS = [
  { kind: "scan", sql: "true", interactions: "0" },
  { kind: "redirect", sql: "destination IS NOT NULL", interactions: "0" },
  { kind: "conversation", sql: "destination IS NOT NULL AND talked", interactions: "messages" },
  { kind: "identify", sql: "destination IS NOT NULL AND talked AND known", interactions: "0" },
] as const;

/** What scans led to, step by step, counted by events; and the share that had a conversation or an identified visitor. */
export async function readFunnel(asking: Asking) {
  const { duck, scope, signal } = asking;
  const columns = STEPS.map(
    ({ sql, interactions }, at) => `count(*) FILTER (${sql}) AS n${at},
      count(*) FILTER (${sql} AND ${interactions} > 0) AS i${at}, count(DISTINCT visitor_key) FILTER (${sql}) AS u${at},
      count(DISTINCT visitor_key) FILTER (${sql} AND known) AS k${at}`,
  );
  const events = `SELECT *, ${IDENTIFIED} AS known FROM touches WHERE ${scope.sql}`;
  const [[row = {}], branches] = await Promise.all([
    duck.rows(
      `SELECT ${columns.join(", ")}, count(*) FILTER (talked OR known) AS completed FROM (${events})`,
      scope.params,
      signal,
    ),
    duck.rows(
      `SELECT coalesce(rule, destination) AS label, count(*) AS n FROM touches WHERE ${scope.sql}
        AND destination IS NOT NULL GROUP BY 1 ORDER BY n DESC, label LIMIT 50`,
      scope.params,
      signal,
    ),
  ]);
  const entry = Number(row.n0 ?? 0);
  return {
    entryVisits: BigInt(entry),
    completionRate: percentOf(Number(row.completed ?? 0), entry),
    steps: STEPS.map((_step, at) => stepOf(row, { at, entry, branches })),
  };
}

function stepOf(row: Row, { at, entry, branches }: { at: number; entry: number; branches: readonly Row[] }) {
  const { kind } = STEPS[at] as (typeof STEPS)[number];
  const visits = Number(row[`n${at}`] ?? 0);
  const before = at === 0 ? visits : Number(row[`n${at - 1}`] ?? 0);
  const interactions = Number(row[`i${at}`] ?? 0);
  return {
    stepKind: kind,
    stepAction: kind,
    visits: BigInt(visits),
    occurrences: BigInt(visits),
    interactions: BigInt(interactions),
    interactionRate: percentOf(interactions, visits),
    conversionRate: percentOf(visits, entry),
    dropOffFromPrevious: BigInt(before - visits),
    identifiedVisitors: BigInt(Number(row[`k${at}`] ?? 0)),
    uniqueVisitors: BigInt(Number(row[`u${at}`] ?? 0)),
    branches: kind === "redirect" ? branches.map((branch) => branchOf(branch, visits)) : [],
  };
}

function branchOf({ label, n }: Row, step: number) {
  return { label: String(label), visits: BigInt(Number(n)), shareOfStep: percentOf(Number(n), step) };
}
