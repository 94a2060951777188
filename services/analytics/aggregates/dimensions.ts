import { GroupByDimension, GroupByDimensionSchema } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import type { Params } from "../engine/query.ts";
import { fieldOf } from "../fields/fields.ts";
import type { Place } from "../fields/levels.ts";
import { spanOf, visitTypeSql } from "../fields/visit-type.ts";
import { fail } from "../reasons.ts";
import type { Asked } from "./asked.ts";
import { clockOf } from "./clock.ts";

/** What events are grouped by. */
export interface Dimension {
  /** SQL over the view `touches`, as text; empty is not known. */
  key: string;
  /** SQL of rows (key, member): members of a key. Undefined: a key is a member. */
  spread: string | undefined;
  params: Params;
  /** Members are links. */
  isLink: boolean;
  /** What people read of a member that has no name of its own. */
  labelOf: (code: string) => string;
}

/** The field that each dimension shows. */
const FIELDS: Readonly<Record<number, string>> = {
  [GroupByDimension.COUNTRY]: "country",
  [GroupByDimension.CITY]: "city",
  [GroupByDimension.DEVICE_TYPE]: "deviceType",
  [GroupByDimension.BROWSER]: "browserName",
  [GroupByDimension.PLATFORM]: "platformName",
  [GroupByDimension.REGION]: "region",
  [GroupByDimension.ISP]: "isp",
  [GroupByDimension.LANGUAGE]: "language",
  [GroupByDimension.REFERRER]: "referrer",
  [GroupByDimension.UTM_SOURCE]: "utmSource",
  [GroupByDimension.UTM_MEDIUM]: "utmMedium",
  [GroupByDimension.UTM_CAMPAIGN]: "utmCampaign",
  [GroupByDimension.LINK]: "linkId",
  [GroupByDimension.RULE]: "rule",
  [GroupByDimension.DESTINATION]: "destination",
};

/** What people read of a member that is not known. */
export const UNKNOWN = "Unknown";

const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/** Tags of links as they are now; a link without one has none here. */
const TAGS = `SELECT link_id AS key, unnest(list_distinct(tags)) AS member FROM links
  WHERE workspace = $workspace AND test = $test`;

/** For fields that look at no past. */
const PLAIN: Place = { seen: "true", asked: { sql: "true", hasStart: false }, now: "0" };

/** How a question is grouped. */
export function dimensionOf(dimension: GroupByDimension, asked: Asked): Dimension {
  const plain = { spread: undefined, params: {}, isLink: false, labelOf: (code: string) => code || UNKNOWN };
  switch (dimension) {
    case GroupByDimension.TAG:
      return { ...plain, key: "link_id", spread: TAGS, labelOf: (code) => code || "Untagged" };
    case GroupByDimension.HOUR_OF_DAY: {
      const { hour, params } = clockOf("scanned_at", asked);
      return { ...plain, key: textOf(hour), params, labelOf: (code) => `${code.padStart(2, "0")}:00` };
    }
    case GroupByDimension.WEEKDAY: {
      const { weekday, params } = clockOf("scanned_at", asked);
      return { ...plain, key: textOf(weekday), params, labelOf: (code) => DAYS[Number(code) - 1] ?? code };
    }
    case GroupByDimension.VISIT_TYPE:
      return { ...plain, key: textOf(visitTypeSql(spanOf(asked.scope), asked.whole.sql)) };
    default: {
      const field = fieldOf("events", FIELDS[dimension] ?? "");
      if (field === undefined) throw fail("DIMENSION_UNKNOWN", { field: "group_by", known: KNOWN });
      return {
        ...plain,
        key: textOf(field.sql(PLAIN)),
        isLink: dimension === GroupByDimension.LINK,
      };
    }
  }
}

function textOf(sql: string): string {
  return `coalesce((${sql})::VARCHAR, '')`;
}

const PREFIX = "GROUP_BY_DIMENSION_";

const NAMED = GroupByDimensionSchema.values
  .filter(({ number }) => number !== GroupByDimension.UNSPECIFIED)
  .map(({ name, number }) => ({ word: name.slice(PREFIX.length), dimension: number as GroupByDimension }));

/** Names of the fields that have another name here. */
const ALSO: readonly [string, GroupByDimension][] = [
  ["browsername", GroupByDimension.BROWSER],
  ["platformname", GroupByDimension.PLATFORM],
  ["linkid", GroupByDimension.LINK],
  ["device", GroupByDimension.DEVICE_TYPE],
  ["hour", GroupByDimension.HOUR_OF_DAY],
];

const BY_NAME = new Map<string, GroupByDimension>([
  ...NAMED.flatMap(({ word, dimension }) => [word, PREFIX + word].map((name) => [plainOf(name), dimension] as const)),
  ...ALSO,
]);

const KNOWN = namesOf(NAMED.map(({ dimension }) => dimension));

/** The short names, for refusals: "country, deviceType". */
function namesOf(dimensions: readonly GroupByDimension[]): string {
  return NAMED.filter(({ dimension }) => dimensions.includes(dimension))
    .map(({ word }) => word.toLowerCase().replace(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase()))
    .join(", ");
}

/** What a name may stand for. */
export interface Named {
  /** The field that has it. */
  field: string;
  /** What no name stands for. */
  absent: GroupByDimension;
  /** All when it is left out. */
  among?: readonly GroupByDimension[];
}

/** The dimension of a name in any spelling: "country", "device_type", "GROUP_BY_DIMENSION_CITY". Refuses others, and lists them. */
export function dimensionNamed(name: string, { field, absent, among }: Named): GroupByDimension {
  if (name === "") return absent;
  const found = BY_NAME.get(plainOf(name));
  if (found !== undefined && (among?.includes(found) ?? true)) return found;
  throw fail("DIMENSION_UNKNOWN", { field, known: among === undefined ? KNOWN : namesOf(among) });
}

function plainOf(name: string): string {
  return name.replaceAll("_", "").toLowerCase();
}
