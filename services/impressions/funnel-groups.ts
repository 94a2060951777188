import type { Principal } from "#runtime/context.ts";
import type { Store, Where } from "#runtime/store.ts";
import { type Met, scannedIn, type Window } from "./funnel-steps.ts";
import { ambassadorModel, type ImpressionDoc, impressionModel, posterModel } from "./model.ts";

/** Groups of a page, with how many impressions each has, and how a referral finds its own. */
export interface Grouping {
  groups: { key: string; label: string | undefined; impressions: number }[];
  /** How many groups there are in all. */
  total: number;
  keyOf: (met: Met) => string;
}

/** What is grouped, and which page of the groups is shown. */
export interface Asked {
  by: "poster" | "student" | "day";
  programId: string;
  window: Window;
  zone: string;
  page: { limit: number; skip: number };
}

/** Counts that are asked of the store at a time. */
const ABREAST = 16;

/** Posters and ambassadors of the program, oldest first, or the days from its first impression to its last. */
export function groupsOf(asked: Asked, store: Store, principal: Principal): Promise<Grouping> {
  if (asked.by === "day") return daysOf(asked, store, principal);
  return asked.by === "poster" ? postersOf(asked, store, principal) : studentsOf(asked, store, principal);
}

async function postersOf(asked: Asked, store: Store, principal: Principal): Promise<Grouping> {
  const { programId, page, window } = asked;
  const where = { test: principal.test, programId };
  const posters = store.collection(posterModel).of(principal.workspace);
  const [found, total] = await Promise.all([
    posters.find({ where, sort: [["createdAt", 1]], ...page }),
    posters.count(where),
  ]);
  const counts = await countEach(
    found.map(({ id }) => ({ test: principal.test, posterId: id, ...scannedIn(window) })),
    store,
    principal,
  );
  const groups = found.map(({ id, location }, index) => ({
    key: id,
    label: location,
    impressions: counts[index] ?? 0,
  }));
  return { groups, total, keyOf: ({ posterId }) => posterId };
}

async function studentsOf(asked: Asked, store: Store, principal: Principal): Promise<Grouping> {
  const { programId, page, window } = asked;
  const where = { test: principal.test, programId };
  const ambassadors = store.collection(ambassadorModel).of(principal.workspace);
  const [found, total] = await Promise.all([
    ambassadors.find({ where, sort: [["createdAt", 1]], ...page }),
    ambassadors.count(where),
  ]);
  const counts = await countEach(
    found.map(({ id }) => ({ ...where, studentId: id, ...scannedIn(window) })),
    store,
    principal,
  );
  const groups = found.map(({ id, firstName, lastName }, index) => ({
    ...{ key: id, label: `${firstName} ${lastName}`, impressions: counts[index] ?? 0 },
  }));
  return { groups, total, keyOf: ({ studentId }) => studentId };
}

async function daysOf(asked: Asked, store: Store, principal: Principal): Promise<Grouping> {
  const { programId, page, window, zone } = asked;
  const where = { test: principal.test, programId, ...scannedIn(window) };
  const impressions = store.collection(impressionModel).of(principal.workspace);
  const [[first], [last]] = await Promise.all([
    impressions.find({ where, sort: [["scannedAt", 1]], limit: 1 }),
    impressions.find({ where, sort: [["scannedAt", -1]], limit: 1 }),
  ]);
  const dayOf = (at: number) => Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone).toPlainDate();
  const keyOf = ({ scannedAt }: Met) => dayOf(scannedAt).toString();
  if (first === undefined || last === undefined) return { groups: [], total: 0, keyOf };
  const begin = dayOf(first.scannedAt);
  const total = begin.until(dayOf(last.scannedAt)).days + 1;
  const shown = Math.max(0, Math.min(page.limit, total - page.skip));
  const days = Array.from({ length: shown }, (_, index) => begin.add({ days: page.skip + index }));
  const startOf = (day: Temporal.PlainDate) => day.toZonedDateTime({ timeZone: zone }).epochMilliseconds;
  const counts = await countEach(
    days.map((day) => ({ test: principal.test, programId, scannedAt: between(day, { startOf, window }) })),
    store,
    principal,
  );
  return {
    groups: days.map((day, index) => ({ key: day.toString(), label: undefined, impressions: counts[index] ?? 0 })),
    total,
    keyOf,
  };
}

/** The part of a day that is in the window. */
function between(
  day: Temporal.PlainDate,
  { startOf, window }: { startOf: (day: Temporal.PlainDate) => number; window: Window },
): { gte: number; lt: number } {
  const since = window.since ?? Number.NEGATIVE_INFINITY;
  const until = window.until ?? Number.POSITIVE_INFINITY;
  return { gte: Math.max(startOf(day), since), lt: Math.min(startOf(day.add({ days: 1 })), until) };
}

async function countEach(
  questions: readonly Where<ImpressionDoc>[],
  store: Store,
  { workspace }: Principal,
): Promise<number[]> {
  const impressions = store.collection(impressionModel).of(workspace);
  const counts: number[] = [];
  for (let first = 0; first < questions.length; first += ABREAST)
    counts.push(
      ...(await Promise.all(questions.slice(first, first + ABREAST).map((where) => impressions.count(where)))),
    );
  return counts;
}
