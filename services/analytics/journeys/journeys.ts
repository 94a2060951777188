import type { DuckDBListValue } from "@duckdb/node-api";
import { percentOf } from "#runtime/percent.ts";
import { round } from "../cohorts/standing.ts";
import type { Row } from "../engine/query.ts";
import type { NarrowedQuestion } from "../narrowing.ts";
import { linkNames } from "./names.ts";
import { stepsSql } from "./steps.ts";

/** What is asked of journeys. */
export interface JourneyQuestion {
  /** Milliseconds of rest that end a journey; undefined: it never ends. */
  idleMs: number | undefined;
  depth: number;
  limit: number;
  through: string | undefined;
  isEachAStep: boolean;
}

/**
 * One statement over the steps. Rows: `all` sums; `path` with journeys, visitors and median time; `length` journeys by steps;
 * `end` the link at which most journeys of a length end; `link` with steps, entries, exits; `hop` from a link to the next;
 * `id` the links of all numbers that stand in other rows.
 */
function statement(seen: string, { idleMs, depth, through, isEachAStep }: JourneyQuestion): string {
  const rules = { seen, hasSessions: idleMs !== undefined, isEachAStep, depth, isThrough: through !== undefined };
  return `WITH ${stepsSql(rules)},
    frequent AS MATERIALIZED (SELECT path, count(*) AS n FROM steps WHERE opens GROUP BY path ORDER BY n DESC, path LIMIT $limit),
    paths AS MATERIALIZED (SELECT path, count(*) AS n, count(DISTINCT visitor_key) AS people,
      quantile_disc(path_ms, 0.5) AS ms FROM steps SEMI JOIN frequent USING (path) WHERE opens GROUP BY path),
    ends AS MATERIALIZED (SELECT len, path[len] AS lid, count(*) AS n FROM steps WHERE opens AND len <= ${depth}
      GROUP BY len, path[len] QUALIFY row_number() OVER (PARTITION BY len ORDER BY count(*) DESC, path[len]) = 1),
    nodes AS MATERIALIZED (SELECT lid, count(*) AS n, count(*) FILTER (opens) AS entries, count(*) FILTER (closes) AS exits
      FROM steps GROUP BY lid),
    top AS MATERIALIZED (SELECT * FROM nodes ORDER BY n DESC, lid LIMIT $limit),
    common AS MATERIALIZED (SELECT lid, next_lid, count(*) AS n FROM steps WHERE NOT closes GROUP BY ALL
      ORDER BY n DESC, lid, next_lid LIMIT $limit),
    hops AS MATERIALIZED (SELECT lid, next_lid, count(*) AS n, count(DISTINCT visitor_key) AS people,
      quantile_disc(next_ms, 0.5) AS ms FROM steps SEMI JOIN common USING (lid, next_lid) WHERE NOT closes
      GROUP BY lid, next_lid),
    used AS (SELECT unnest(path) AS lid FROM paths UNION SELECT lid FROM ends UNION SELECT lid FROM top
      UNION SELECT unnest([lid, next_lid]) FROM hops)
    SELECT 'all' AS kind, '' AS id, CAST([] AS INTEGER[]) AS path, count(*) AS n, count(*) FILTER (opens) AS a,
      count(DISTINCT visitor_key) AS b, CAST(0 AS BIGINT) AS c FROM steps
    UNION ALL SELECT 'path', '', path, n, people, ms, 0 FROM paths
    UNION ALL SELECT 'length', '', [len], count(*), 0, 0, 0 FROM steps WHERE opens GROUP BY len
    UNION ALL SELECT 'end', '', [len, lid], n, 0, 0, 0 FROM ends
    UNION ALL SELECT 'link', '', [lid], n, entries, exits, 0 FROM top
    UNION ALL SELECT 'hop', '', [lid, next_lid], hops.n, people, ms, nodes.n FROM hops JOIN nodes USING (lid)
    UNION ALL SELECT 'out', '', [lid], exits, 0, 0, 0 FROM nodes SEMI JOIN hops USING (lid)
    UNION ALL SELECT 'id', link_id, [lid], 0, 0, 0, 0 FROM ids SEMI JOIN used USING (lid)`;
}

/** Reads the journeys of a question. */
export async function readJourneys(question: NarrowedQuestion, asked: JourneyQuestion) {
  const { duck, scope, signal } = question;
  const params = {
    ...scope.params,
    limit: BigInt(asked.limit),
    ...(asked.idleMs !== undefined && { idle: BigInt(asked.idleMs) }),
    ...(asked.through !== undefined && { through: asked.through }),
  };
  const rows = await duck.rows(statement(`${scope.sql} AND visitor_key IS NOT NULL`, asked), params, signal);
  const byKind = Map.groupBy(rows.map(plain), ({ kind }) => kind);
  const of = (kind: string): readonly Plain[] => byKind.get(kind) ?? [];
  const ids = new Map(of("id").map(({ id, path }) => [path[0], id]));
  const names = await linkNames(question, [...ids.values()]);
  const link = (lid: number | undefined) => {
    const id = ids.get(lid) ?? "";
    return { id, name: names.get(id) ?? id };
  };
  const [all] = of("all");
  const journeys = all?.a ?? 0;
  const dropOff = dropOffOf(of("length"), asked.depth);
  return {
    journeys,
    visitors: all?.b ?? 0,
    steps: all?.n ?? 0,
    paths: of("path")
      .toSorted(byCount)
      .map((row) => pathOf(row, journeys, link)),
    transitions: of("hop")
      .toSorted(byCount)
      .map((row) => transitionOf(row, of("out"), link)),
    dropOff,
    links: of("link")
      .toSorted(byCount)
      .map((row) => linkOf(row, link)),
    bottleneck: bottleneckOf(dropOff, of("end"), link),
  };
}

/** A row in plain values. */
interface Plain {
  kind: string;
  id: string;
  path: number[];
  n: number;
  a: number;
  b: number;
  c: number;
}

type Link = (lid: number | undefined) => { id: string; name: string };

function plain({ kind, id, path, n, a, b, c }: Row): Plain {
  const lids = (path as DuckDBListValue).items.map(Number);
  return { kind: String(kind), id: String(id), path: lids, n: Number(n), a: Number(a), b: Number(b), c: Number(c) };
}

/** The most frequent first; of equals those whose links have the lesser ids. */
function byCount(one: Plain, other: Plain): number {
  if (one.n !== other.n) return other.n - one.n;
  const at = one.path.findIndex((lid, n) => lid !== other.path[n]);
  if (at === -1) return one.path.length - other.path.length;
  return (one.path[at] ?? -1) - (other.path[at] ?? -1);
}

function pathOf({ path, n, a, b }: Plain, journeys: number, link: Link) {
  const links = path.map(link);
  return {
    steps: links.map(({ id }) => id),
    names: links.map(({ name }) => name),
    journeys: n,
    visitors: a,
    percentage: percentOf(n, journeys),
    medianMinutes: round(b / 60_000),
  };
}

function transitionOf({ path: [from, to], n, a, b, c }: Plain, outs: readonly Plain[], link: Link) {
  const exits = outs.find(({ path }) => path[0] === from)?.n ?? 0;
  const rates = { percentage: percentOf(n, c), dropOffRate: percentOf(exits, c) };
  return { from: link(from).id, to: link(to).id, count: n, visitors: a, ...rates, medianSeconds: b / 1_000 };
}

function linkOf({ path: [lid], n, a, b }: Plain, link: Link) {
  const { id: linkId, name } = link(lid);
  return { linkId, name, steps: n, entries: a, exits: b, exitRate: percentOf(b, n) };
}

interface DropOff {
  step: number;
  reached: number;
  continued: number;
  dropped: number;
  dropOffRate: number;
}

function dropOffOf(lengths: readonly Plain[], depth: number): DropOff[] {
  const reach = (steps: number): number =>
    lengths.reduce((sum, { path: [len = 0], n }) => sum + (len >= steps ? n : 0), 0);
  return Array.from({ length: depth }, (_, index) => index + 1)
    .map((step) => ({ step, reached: reach(step), continued: reach(step + 1) }))
    .filter(({ reached }) => reached > 0)
    .map((one) => {
      const dropped = one.reached - one.continued;
      return { ...one, dropped, dropOffRate: percentOf(dropped, one.reached) };
    });
}

/** The step at which most journeys ended while others went on; of equals the first. */
function bottleneckOf(dropOff: readonly DropOff[], ends: readonly Plain[], link: Link) {
  const [worst] = dropOff
    .filter(({ continued, dropped }) => continued > 0 && dropped > 0)
    .toSorted((one, other) => other.dropped - one.dropped || one.step - other.step);
  const end = ends.find(({ path: [len] }) => len === worst?.step);
  if (worst === undefined || end === undefined) return undefined;
  const { id: linkId, name } = link(end.path[1]);
  return { step: worst.step, dropped: worst.dropped, linkId, name, droppedAtLink: end.n };
}
