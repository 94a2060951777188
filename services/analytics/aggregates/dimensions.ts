import { GroupByDimension, GroupByDimensionSchema } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { fieldOf } from "../fields/fields.ts";
import { fail } from "../reasons.ts";

/** What events are grouped by. */
export interface Dimension {
  /** SQL of the member over the view `touches`, as text; NULL is not known. */
  sql: (seen: string) => string;
  /** SQL of what people read in place of the member, over the table `links` where it is a link. */
  isLink: boolean;
}

/** The field that each dimension shows. */
const FIELDS: Readonly<Record<number, string>> = {
  [GroupByDimension.COUNTRY]: "country",
  [GroupByDimension.CITY]: "city",
  [GroupByDimension.DEVICE_TYPE]: "deviceType",
  [GroupByDimension.VISIT_TYPE]: "visitType",
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
  [GroupByDimension.DESTINATION]: "destination",
  [GroupByDimension.RULE]: "rule",
};

/** How a dimension reads its member. `seen`: the condition of all events that the caller sees. */
export function dimensionOf(dimension: GroupByDimension): Dimension {
  const field = fieldOf("events", FIELDS[dimension] ?? "");
  if (field === undefined) throw fail("DIMENSION_UNKNOWN", { field: "group_by", known: NAMES.join(", ") });
  return {
    sql: (seen) => field.sql({ seen, now: "0" }),
    isLink: dimension === GroupByDimension.LINK,
  };
}

const PREFIX = "GROUP_BY_DIMENSION_";

/** The short names: "country", "deviceType". */
const NAMES: readonly string[] = GroupByDimensionSchema.values
  .filter(({ number }) => number !== GroupByDimension.UNSPECIFIED)
  .map(({ name }) => camel(name.slice(PREFIX.length)));

const BY_NAME = new Map<string, GroupByDimension>(
  GroupByDimensionSchema.values
    .filter(({ number }) => number !== GroupByDimension.UNSPECIFIED)
    .flatMap(({ name, number }) => {
      const dimension = number as GroupByDimension;
      return [plain(name), plain(name.slice(PREFIX.length))].map((word) => [word, dimension] as const);
    }),
);

/** Names of the vendor's clients and of the fields, in whatever case: "device_type", "Browser", "linkId". */
const ALSO = new Map<string, GroupByDimension>([
  ["browsername", GroupByDimension.BROWSER],
  ["platformname", GroupByDimension.PLATFORM],
  ["linkid", GroupByDimension.LINK],
  ["device", GroupByDimension.DEVICE_TYPE],
]);

/** The dimension of a name; the default for none. Refuses others, and lists those that there are. */
export function dimensionNamed(name: string, given: { field: string; absent: GroupByDimension }): GroupByDimension {
  if (name === "") return given.absent;
  const found = BY_NAME.get(plain(name)) ?? ALSO.get(plain(name));
  if (found === undefined) throw fail("DIMENSION_UNKNOWN", { field: given.field, known: NAMES.join(", ") });
  return found;
}

function plain(name: string): string {
  return name.replaceAll("_", "").toLowerCase();
}

function camel(name: string): string {
  return name.toLowerCase().replace(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase());
}

/** What people read of a member that is not known. */
export const UNKNOWN = "Unknown";
