import type { DeviceChange } from "#gen/waymark/analytics/v1/revisions_pb.ts";
import type { Session } from "../engine/duck.ts";
import type { Row } from "../engine/query.ts";
import { DAY_MS } from "../rules.ts";
import type { Changed, Difference, Numbers } from "./model.ts";
import { numbersBy, type Range } from "./sql.ts";

/** The most that a difference shows of each kind. */
const MOST_LINKS = 1_000;
const MOST_DAYS = 4_000;
const MOST_MOVES = 100;
const MOST_SAMPLE = 100;

const DAY = `CAST(floor(scanned_at / ${DAY_MS}.0) AS BIGINT)`;

/** How many touches change. */
export async function countChanged(session: Session): Promise<number> {
  const [row] = await session.rows("SELECT count(n) AS changed FROM changed");
  return Number(row?.changed ?? 0);
}

/** Adds up what the table `changed` says of a range. */
export async function readDifference(session: Session, range: Range): Promise<Difference> {
  const [counts] = await session.rows(
    `SELECT count(n) AS changed, count(*) FILTER (unjudged) AS unjudged,
      count(*) FILTER (unjudged_device) AS unjudged_devices FROM changed`,
  );
  const moves = await session.rows(
    `SELECT comes, goes, count(*) AS touches FROM changed WHERE comes <> goes GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT ${MOST_MOVES}`,
  );
  const [all] = await session.rows(numbersBy(range, { by: "''", only: "true" }), range.params);
  const someLinks = `SELECT link_id FROM changed WHERE n IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT ${MOST_LINKS}`;
  const byLink = numbersBy(range, { by: "link_id", only: `link_id IN (${someLinks})` });
  const someDays = `SELECT DISTINCT ${DAY} AS day FROM changed WHERE n IS NOT NULL ORDER BY 1 LIMIT ${MOST_DAYS}`;
  const byDay = numbersBy(range, { by: DAY, only: `${DAY} IN (${someDays})` });
  const links = await session.rows(`${byLink} ORDER BY changed DESC, name`, range.params);
  const days = await session.rows(`${byDay} ORDER BY name`, range.params);
  const sample = await session.rows(
    `SELECT id, link_id, scanned_at, comes, goes, actor, device_change FROM changed WHERE n IS NOT NULL
      ORDER BY scanned_at DESC, id LIMIT ${MOST_SAMPLE}`,
  );
  return {
    considered: Number(all?.considered ?? 0),
    changed: Number(counts?.changed ?? 0),
    unjudged: Number(counts?.unjudged ?? 0),
    unjudgedDevices: Number(counts?.unjudged_devices ?? 0),
    deviceMoves: await readDeviceMoves(session),
    moves: moves.map(({ comes, goes, touches }) => ({
      ...{ from: String(comes), to: String(goes), touches: Number(touches) },
    })),
    totals: numbersOf(all ?? {}),
    byLink: links.map((row) => ({
      ...{ linkId: String(row.name), changed: Number(row.changed), numbers: numbersOf(row) },
    })),
    byDay: days.map((row) => ({ date: dateOf(row), changed: Number(row.changed), numbers: numbersOf(row) })),
    sample: sample.map(changedOf),
  };
}

async function readDeviceMoves(session: Session): Promise<Difference["deviceMoves"]> {
  const rows = await session.rows(
    "SELECT device_change, count(*) AS touches FROM changed WHERE device_change > 0 GROUP BY 1 ORDER BY 2 DESC, 1",
  );
  return rows.map((row) => ({ change: changeIn(row), touches: Number(row.touches) }));
}

function changeIn(row: Row): DeviceChange {
  return Number(row.device_change) as DeviceChange;
}

function numbersOf(row: Row): Numbers {
  return {
    eventsBefore: Number(row.events_before ?? 0),
    eventsAfter: Number(row.events_after ?? 0),
    visitorsBefore: Number(row.visitors_before ?? 0),
    visitorsAfter: Number(row.visitors_after ?? 0),
  };
}

/** "2026-11-20"; a day that no calendar has any more is its number. */
function dateOf({ name }: Row): string {
  const date = new Date(Number(name) * DAY_MS);
  return Number.isNaN(date.getTime()) ? String(name) : date.toISOString().replace(/T.*$/, "");
}

function changedOf(row: Row): Changed {
  return {
    id: String(row.id),
    linkId: String(row.link_id),
    scannedAt: Number(row.scanned_at),
    from: String(row.comes),
    to: String(row.goes),
    actor: String(row.actor),
    device: changeIn(row),
  };
}
