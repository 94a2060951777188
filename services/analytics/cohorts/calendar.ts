import { CohortInterval } from "#gen/waymark/analytics/v1/cohorts_pb.ts";
import type { Params } from "../engine/query.ts";
import { dateOf, localOf, localSql, offsetsOf } from "../forecast/zone.ts";
import { DAY_MS } from "../rules.ts";

/** Calendar intervals of a zone, each with an index that counts up. */
export interface Calendar {
  /** SQL of the index of a time; `at` is a column of milliseconds since 1970. */
  indexSql: (at: string) => string;
  /** Values of the parameters in it. */
  params: Params;
  /** The index of a time in milliseconds since 1970. */
  indexOf: (at: number) => number;
  /** When an interval begins, milliseconds since 1970. */
  startOf: (index: number) => number;
  /** Its first day: "2026-03-01". */
  dateOf: (index: number) => string;
}

/** How days, counted from 1970, make intervals. */
interface Unit {
  sql: (day: string) => string;
  of: (day: number) => number;
  firstDay: (index: number) => number;
}

/** 1970-01-01 was a Thursday: three days after the Monday of week 0. */
const THURSDAY = 3;

const UNITS = {
  [CohortInterval.DAY]: { sql: (day) => day, of: (day) => day, firstDay: (index) => index },
  [CohortInterval.WEEK]: {
    sql: (day) => `(${day} + ${THURSDAY}) // 7`,
    of: (day) => Math.floor((day + THURSDAY) / 7),
    firstDay: (index) => index * 7 - THURSDAY,
  },
  [CohortInterval.MONTH]: month(),
  [CohortInterval.UNSPECIFIED]: month(),
} satisfies Record<CohortInterval, Unit>;

function month(): Unit {
  return {
    sql: (day) => `datediff('month', DATE '1970-01-01', DATE '1970-01-01' + CAST(${day} AS INTEGER))`,
    of: (day) => {
      const date = new Date(day * DAY_MS);
      return (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth();
    },
    firstDay: (index) => Date.UTC(1970, index, 1) / DAY_MS,
  };
}

/** The calendar of a zone; in SQL it is right for times from `start` to `end`. */
export function calendarOf(zone: string, interval: CohortInterval, range: { start: number; end: number }): Calendar {
  const unit = UNITS[interval as keyof typeof UNITS];
  const offsets = offsetsOf(zone, range);
  const local = localSql(offsets);
  return {
    indexSql: (at) => unit.sql(`(${local.sql.replaceAll("scanned_at", at)} // ${DAY_MS})`),
    params: local.params,
    indexOf: (at) => unit.of(Math.floor(localOf(offsets, at) / DAY_MS)),
    startOf: (index) =>
      Temporal.PlainDate.from(dateOf(unit.firstDay(index))).toZonedDateTime({ timeZone: zone }).epochMilliseconds,
    dateOf: (index) => dateOf(unit.firstDay(index)),
  };
}
