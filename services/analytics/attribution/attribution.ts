import { AttributionBy, AttributionMember, AttributionModel } from "#gen/waymark/analytics/v1/attribution_pb.ts";
import { percentOf } from "#runtime/percent.ts";
import type { Row } from "../engine/query.ts";
import { linkNames } from "../journeys/names.ts";
import type { NarrowedQuestion } from "../narrowing.ts";
import { attributionSql, MANY, SHARES, type Share, UNIT } from "./credits-sql.ts";
import type { Goals } from "./goals.ts";

/** What is asked of attribution. Times are milliseconds. */
export interface AttributionQuestion {
  goals: Goals;
  isOnce: boolean;
  by: AttributionBy;
  models: readonly AttributionModel[];
  from: number;
  until: number;
  lookbackMs: number;
  halfLifeMs: number;
  limit: number;
}

/** Name and computation of each model. */
const MODELS = new Map<AttributionModel, { name: string; share: Share }>([
  [AttributionModel.FIRST, { name: "FIRST", share: "first" }],
  [AttributionModel.LAST, { name: "LAST", share: "last" }],
  [AttributionModel.LINEAR, { name: "LINEAR", share: "linear" }],
  [AttributionModel.TIME_DECAY, { name: "TIME_DECAY", share: "decay" }],
  [AttributionModel.POSITION, { name: "POSITION", share: "position" }],
]);

/** What is answered when no model is named. */
export const ALL_MODELS: readonly AttributionModel[] = [...MODELS.keys()];

const TAGS = `(SELECT list_sort(list_distinct(list_filter(l.tags, tag -> tag <> ''))) FROM links l
  WHERE l.workspace = touches.workspace AND l.test = touches.test AND l.link_id = touches.link_id LIMIT 1)`;

const one = (column: string): string => `CASE WHEN ${column} <> '' THEN [${column}] ELSE CAST([] AS VARCHAR[]) END`;

const MEMBERS = {
  [AttributionBy.UNSPECIFIED]: one("link_id"),
  [AttributionBy.LINK]: one("link_id"),
  [AttributionBy.TAG]: `coalesce(${TAGS}, CAST([] AS VARCHAR[]))`,
  [AttributionBy.UTM_SOURCE]: one("utm_source"),
  [AttributionBy.UTM_MEDIUM]: one("utm_medium"),
  [AttributionBy.UTM_CAMPAIGN]: one("utm_campaign"),
  [AttributionBy.REFERRER]: one("referrer"),
  [AttributionBy.COUNTRY]: one("country"),
} as const satisfies Record<AttributionBy, string>;

/** Reads conversions and shares them out. */
export async function readAttribution(question: NarrowedQuestion, asked: AttributionQuestion) {
  const { duck, scope, signal } = question;
  const { goals, isOnce, by } = asked;
  const seen = `${scope.sql} AND visitor_key IS NOT NULL`;
  const params = {
    ...scope.params,
    ...goals.params,
    from: BigInt(asked.from),
    until: BigInt(asked.until),
    lookback: BigInt(asked.lookbackMs),
    half: BigInt(asked.halfLifeMs),
    limit: BigInt(asked.limit),
  };
  const rows = await duck.rows(
    attributionSql({ goals, seen, members: MEMBERS[by as keyof typeof MEMBERS], isOnce }),
    params,
    signal,
  );
  const byKind = Map.groupBy(rows, ({ kind }) => String(kind));
  const conversions = Number(byKind.get("all")?.[0]?.n ?? 0);
  const lengths = lengthsOf(byKind.get("length") ?? [], conversions);
  const count = (of: (touches: number) => boolean): number =>
    lengths.reduce((sum, { touches, conversions: n }) => sum + (of(touches) ? n : 0), 0);
  const direct = count((touches) => touches === 0);
  const members = membersOf(byKind.get("member") ?? [], { ...asked, direct });
  return {
    conversions,
    direct,
    multiTouch: count((touches) => touches > 1),
    rows: await named(credited(members, asked.models, conversions), question, by),
    overlaps: (byKind.get("pair") ?? []).toSorted(byRank).map(({ a, b, n }) => ({
      a: String(a ?? ""),
      b: String(b ?? ""),
      conversions: Number(n),
    })),
    lengths,
  };
}

function byRank(one: Row, other: Row): number {
  return Number(one.rank) - Number(other.rank);
}

function lengthsOf(rows: readonly Row[], conversions: number) {
  const touched = rows.toSorted(byRank).map(({ rank, n }) => ({ touches: Number(rank), conversions: Number(n) }));
  const direct = touched.reduce((left, { conversions: n }) => left - n, conversions);
  return [{ touches: 0, conversions: direct }, ...touched]
    .filter(({ conversions: n }) => n > 0)
    .map((length) => ({ ...length, orMore: length.touches === MANY }));
}

/** A member with its credits in parts of a conversion. */
interface Member {
  id: string;
  member: AttributionMember;
  touches: number;
  conversions: number;
  parts: Readonly<Record<Share, bigint>>;
}

function membersOf(rows: readonly Row[], { limit, direct }: { limit: number; direct: number }): Member[] {
  const members = rows.toSorted(byRank).map((row): Member => {
    const isOther = Number(row.rank) > limit;
    const known = row.a === null ? AttributionMember.UNKNOWN : AttributionMember.KNOWN;
    return {
      id: isOther ? "" : String(row.a ?? ""),
      member: isOther ? AttributionMember.OTHER : known,
      touches: Number(row.touches),
      conversions: Number(row.n),
      parts: partsOf((share) => BigInt(Number(row[share]))),
    };
  });
  if (direct === 0) return members;
  const parts = partsOf(() => BigInt(direct) * BigInt(UNIT));
  return [...members, { id: "", member: AttributionMember.DIRECT, touches: 0, conversions: direct, parts }];
}

function partsOf(of: (share: Share) => bigint): Record<Share, bigint> {
  return Object.fromEntries(SHARES.map((share) => [share, of(share)])) as Record<Share, bigint>;
}

/** Credits are told in millionths of a conversion. */
const MILLION = 1_000_000n;
const PARTS_A_MILLIONTH = BigInt(UNIT) / MILLION;

/**
 * Rounds parts to millionths so that they still add up: all down, and what is lost goes, a millionth each, to those who lost
 * most; of equals to the first. The parts add up to whole conversions.
 */
export function toMillionths(parts: readonly bigint[]): number[] {
  const down = parts.map((part) => part / PARTS_A_MILLIONTH);
  const lost = parts.reduce((sum, part) => sum + (part % PARTS_A_MILLIONTH), 0n) / PARTS_A_MILLIONTH;
  const order = parts.map((part, index) => ({ index, rest: part % PARTS_A_MILLIONTH }));
  const winners = order.toSorted((a, b) => Number(b.rest - a.rest) || a.index - b.index).slice(0, Number(lost));
  for (const { index } of winners) down[index] = (down[index] ?? 0n) + 1n;
  return down.map((millionths) => Number(millionths) / Number(MILLION));
}

function credited(members: readonly Member[], models: readonly AttributionModel[], conversions: number) {
  const columns = models.flatMap((model) => {
    const known = MODELS.get(model);
    return known === undefined
      ? []
      : [{ ...known, credits: toMillionths(members.map(({ parts }) => parts[known.share])) }];
  });
  return members.map(({ parts: _, ...member }, index) => ({
    ...member,
    credit: Object.fromEntries(columns.map(({ name, credits }) => [name, credits[index] ?? 0])),
    percentage: Object.fromEntries(
      columns.map(({ name, credits }) => [name, percentOf(credits[index] ?? 0, conversions)]),
    ),
  }));
}

const WORDS: Readonly<Partial<Record<AttributionMember, string>>> = {
  [AttributionMember.UNKNOWN]: "Unknown",
  [AttributionMember.OTHER]: "Other",
  [AttributionMember.DIRECT]: "Direct",
};

async function named<T extends Pick<Member, "id" | "member">>(
  rows: readonly T[],
  question: NarrowedQuestion,
  by: AttributionBy,
): Promise<(T & { name: string })[]> {
  const isLink = by === AttributionBy.LINK || by === AttributionBy.UNSPECIFIED;
  const names = isLink
    ? await linkNames(
        question,
        rows.map(({ id }) => id),
      )
    : new Map<string, string>();
  return rows.map((row) => ({ ...row, name: WORDS[row.member] ?? names.get(row.id) ?? row.id }));
}
