import type { Params } from "../engine/query.ts";
import { fail } from "../reasons.ts";

/** By what visitors are put into cohorts, in SQL. */
export interface Dimension {
  /** Value of a member over `f` (columns `visitor_key`, `first`, `first_row`); unknown is "". Several rows: several cohorts. */
  cohort: string;
  /** Joined to `f`. */
  join: string;
  params: Params;
  /** It looks at the visitor's first event: `first_row` is its row. */
  looksAtFirst: boolean;
  /** Values are ids of links. */
  isLink: boolean;
  /** How values are called, where not by themselves. */
  labels?: ReadonlyMap<string, string>;
  /** Visitors may be in no cohort at all. */
  isPartial?: boolean;
  /** Whether its values tell who somebody is. */
  isPersonal: boolean;
}

const EVENT = "JOIN events e ON e.rowid = f.first_row";
const LINK = `${EVENT} LEFT JOIN links l ON l.workspace = e.workspace AND l.test = e.test AND l.link_id = e.link_id`;
const KINDS = ["DEVICE_TYPE_UNKNOWN", "DEVICE_TYPE_MOBILE", "DEVICE_TYPE_TABLET", "DEVICE_TYPE_DESKTOP"];

/** Columns of the first event by the names of dimensions. */
const COLUMNS: Readonly<Record<string, string>> = {
  country: "e.country",
  region: "e.region",
  city: "e.city",
  deviceType: `CASE e.device_type ${KINDS.map((kind, n) => `WHEN ${n} THEN '${kind}'`).join(" ")} END`,
  browserName: "e.browser",
  platformName: "e.platform",
  language: "e.language",
  firstReferrer: "e.referrer",
  utmSource: "e.utm_source",
  utmMedium: "e.utm_medium",
  utmCampaign: "e.utm_campaign",
};

const KNOWN = [...Object.keys(COLUMNS), "firstLink", "firstTag", "converted", "attributes.KEY"].join(", ");
const ATTRIBUTE = "attributes.";

const CONVERTED = new Map([
  ["true", "Converted"],
  ["false", "Not converted"],
]);

/** The dimension of a name; refuses unknown ones and lists the known. */
export function dimensionOf(name: string): Dimension {
  const plain = { join: "", params: {}, looksAtFirst: false, isLink: false, isPersonal: false };
  const first = { ...plain, join: EVENT, looksAtFirst: true };
  const column = Object.hasOwn(COLUMNS, name) ? COLUMNS[name] : undefined;
  if (column !== undefined) return { ...first, cohort: `coalesce(${column}, '')` };
  if (name === "firstLink") return { ...first, cohort: "e.link_id", isLink: true };
  if (name === "firstTag")
    return {
      ...first,
      join: LINK,
      cohort: "unnest(CASE WHEN len(l.tags) > 0 THEN list_distinct(l.tags) ELSE [''] END)",
    };
  if (name === "converted")
    return {
      ...plain,
      labels: CONVERTED,
      cohort: "CASE WHEN f.visitor_key IN (SELECT visitor_key FROM won) THEN 'true' ELSE 'false' END",
    };
  if (name.startsWith(ATTRIBUTE) && name.length > ATTRIBUTE.length) return attribute(name.slice(ATTRIBUTE.length));
  throw fail("FIELD_UNKNOWN", { field: "behaviour.dimension", known: KNOWN });
}

function attribute(key: string): Dimension {
  const join = `LEFT JOIN attributes a ON a.workspace = $workspace AND a.test = $test AND a.key = $attribute
    AND a.visitor_key = f.visitor_key`;
  const cohort = "coalesce(a.text, CAST(a.number AS VARCHAR), CAST(a.truth AS VARCHAR), '')";
  return {
    cohort,
    join,
    params: { attribute: key },
    looksAtFirst: false,
    isLink: false,
    isPersonal: true,
  };
}
