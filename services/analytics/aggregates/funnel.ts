import { percentOf } from "#runtime/percent.ts";
import type { Row } from "../engine/query.ts";
import { DESTINATION } from "../fields/destination.ts";
import { IDENTIFIED } from "../fields/levels.ts";
import type { Asked } from "./asked.ts";

/** The steps, and which events of the entry reach each. */
const STEPS = [
  { kind: "scan", sql: "true" },
  { kind: "redirect", sql: "destination IS NOT NULL" },
  { kind: "conversation", sql: "talked" },
  { kind: "identify", sql: "known" },
] as const;

/** What scans led to, counted by events and by visitors; and the share that had a conversation or a known visitor. */
export async function readFunnel({ duck, scope, signal }: Asked) {
  const columns = STEPS.map(({ sql }, at) => {
    const before = STEPS[at - 1]?.sql ?? "false";
    return `count(*) FILTER (${sql}) AS n${at}, count(*) FILTER (${before} AND NOT ${sql}) AS lost${at},
      count(DISTINCT visitor_key) FILTER (${sql}) AS u${at},
      count(DISTINCT visitor_key) FILTER (${sql} AND known) AS k${at}`;
  });
  const events = `SELECT visitor_key, destination, coalesce(talked, false) AS talked, messages, ${IDENTIFIED} AS known
    FROM touches WHERE ${scope.sql}`;
  const [[row = {}], branches] = await Promise.all([
    duck.rows(
      `SELECT ${columns.join(", ")}, count(*) FILTER (talked AND messages > 0) AS talks,
        count(*) FILTER (talked OR known) AS completed FROM (${events})`,
      scope.params,
      signal,
    ),
    duck.rows(
      `SELECT coalesce(rule, ${DESTINATION}) AS label, count(*) AS n FROM events WHERE ${scope.sql}
        AND destination IS NOT NULL GROUP BY 1 ORDER BY n DESC, label LIMIT 50`,
      scope.params,
      signal,
    ),
  ]);
  const entry = Number(row.n0 ?? 0);
  return {
    entryVisits: BigInt(entry),
    completionRate: percentOf(Number(row.completed ?? 0), entry),
    steps: STEPS.map(({ kind }, at) => stepOf(row, { kind, at, entry, branches })),
  };
}

interface Step {
  kind: string;
  at: number;
  entry: number;
  branches: readonly Row[];
}

function stepOf(row: Row, { kind, at, entry, branches }: Step) {
  const of = (name: string) => Number(row[name] ?? 0);
  const visits = of(`n${at}`);
  const interactions = kind === "conversation" ? of("talks") : 0;
  return {
    stepKind: kind,
    stepAction: kind,
    visits: BigInt(visits),
    occurrences: BigInt(visits),
    interactions: BigInt(interactions),
    interactionRate: percentOf(interactions, visits),
    conversionRate: percentOf(visits, entry),
    dropOffFromPrevious: BigInt(of(`lost${at}`)),
    identifiedVisitors: BigInt(of(`k${at}`)),
    uniqueVisitors: BigInt(of(`u${at}`)),
    branches: kind === "redirect" ? branches.map((branch) => branchOf(branch, visits)) : [],
  };
}

function branchOf({ label, n }: Row, step: number) {
  return { label: String(label), visits: BigInt(Number(n)), shareOfStep: percentOf(Number(n), step) };
}
