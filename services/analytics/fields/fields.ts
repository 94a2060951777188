import { DESTINATION } from "./destination.ts";
import { type From, IDENTIFIED, type Level, type Place } from "./levels.ts";
import { visitTypeSql } from "./visit-type.ts";

/** Kinds of values. Times are milliseconds since 1970 in SQL and ISO 8601 outside; `strings` are several texts. */
export type FieldKind = "string" | "number" | "time" | "boolean" | "enum" | "strings";

/** One field that can be asked for. */
export interface QueryField {
  /** As the API has it. */
  name: string;
  kind: FieldKind;
  level: Level;
  /** SQL of its value over the columns of its level, see `levels.ts`. An enum's value is its word. */
  sql: (place: Place) => string;
  /** SQL of what a record of an event says, where that is more than what events are grouped and compared by. */
  record: string | undefined;
  /** It looks at all that the caller sees, whatever else narrows the question. */
  isPast: boolean;
  /** The words of an enum, in full. */
  words: readonly string[];
  /** The key of an attribute. */
  key: string | undefined;
  /** What it is, in a sentence. */
  about: string;
}

const NOTHING_MORE = { record: undefined, words: [], key: undefined };

type Given = Partial<Omit<QueryField, "name" | "kind" | "about">> & { column?: string };

function field(name: string, kind: FieldKind, about: string, given: Given = {}): QueryField {
  const { column = name, ...rest } = given;
  return { name, kind, about, level: "event", sql: () => column, isPast: false, ...NOTHING_MORE, ...rest };
}

const DEVICE_WORDS = ["DEVICE_TYPE_UNKNOWN", "DEVICE_TYPE_MOBILE", "DEVICE_TYPE_TABLET", "DEVICE_TYPE_DESKTOP"];
const METHOD_WORDS = ["HTTP_METHOD_GET", "HTTP_METHOD_POST", "HTTP_METHOD_HEAD"];
const VISIT_WORDS = ["VISIT_TYPE_FIRST", "VISIT_TYPE_RETURNING"];

const DEVICE_TYPE = `CASE device_type ${DEVICE_WORDS.map((word, n) => `WHEN ${n} THEN '${word}'`).join(" ")}
  ELSE 'DEVICE_TYPE_UNKNOWN' END`;
const METHOD = `CASE method ${METHOD_WORDS.map((word) => `WHEN '${word.slice(12)}' THEN '${word}'`).join(" ")} END`;

/** Columns of events, with names that mean the same of a visitor's latest event. */
const PLACED: readonly QueryField[] = [
  field("country", "string", "ISO 3166-1 alpha-2 code of the country."),
  field("region", "string", "Region."),
  field("city", "string", "City."),
  field("timezone", "string", "IANA time zone of the place."),
  field("isp", "string", "Internet provider."),
  field("asn", "number", "Number of the provider's autonomous system."),
  field("deviceType", "enum", "Kind of device.", { sql: () => DEVICE_TYPE, words: DEVICE_WORDS }),
  field("browserName", "string", "Browser.", { column: "browser" }),
  field("browserVersion", "string", "Version of the browser.", { column: "browser_version" }),
  field("platformName", "string", "Operating system.", { column: "platform" }),
  field("platformVersion", "string", "Version of the operating system.", { column: "platform_version" }),
  field("deviceBrand", "string", "Maker of the device.", { column: "brand" }),
  field("language", "string", "First language that the browser asks for."),
];

const OF_EVENTS: readonly QueryField[] = [
  field("id", "string", "Id of the event."),
  field("scannedAt", "time", "When it was scanned.", { column: "scanned_at" }),
  field("createdAt", "time", "When it arrived.", { column: "recorded_at" }),
  field("updatedAt", "time", "When it was judged last, or arrived.", { column: "coalesce(revised_at, recorded_at)" }),
  field("linkId", "string", "Id of the link.", { column: "link_id" }),
  field("shortlink", "string", "Short id of the link at that time.", { column: "short_id" }),
  field("visitorId", "string", "Id of the visitor.", { column: "visitor_id" }),
  field("deviceId", "string", "Pseudonym of the device.", { column: "device_id" }),
  field("action", "enum", "What it was.", { column: "'ACTION_SCAN'", words: ["ACTION_SCAN"] }),
  field("visitType", "enum", "Whether the device met this link before.", {
    sql: ({ asked, seen }) => visitTypeSql(asked, seen),
    words: VISIT_WORDS,
    isPast: true,
  }),
  ...PLACED,
  field("actor", "enum", "Who used the device.", { column: "'DEVICE_ACTOR_HUMAN'", words: ["DEVICE_ACTOR_HUMAN"] }),
  field("referrer", "string", "Host of the page before."),
  field("utmSource", "string", "utm_source of the scan.", { column: "utm_source" }),
  field("utmMedium", "string", "utm_medium of the scan.", { column: "utm_medium" }),
  field("utmCampaign", "string", "utm_campaign of the scan.", { column: "utm_campaign" }),
  field("destination", "string", "Where the device was sent, without the parameter that says which scan it was.", {
    sql: () => DESTINATION,
    record: "destination",
  }),
  field("rule", "string", "Name of the routing rule that decided."),
  field("httpMethod", "enum", "HTTP method of the scan.", { sql: () => METHOD, words: METHOD_WORDS }),
  field("conversationStarted", "boolean", "Whether a conversation began.", { column: "talked" }),
  field("conversationMessages", "number", "Messages of the conversation.", { column: "messages" }),
];

const OF_LINKS: readonly QueryField[] = [
  field("linkName", "string", "Name of the link as it is now.", { level: "link", column: "name" }),
  field("tag", "strings", "Tags of the link as it is now; an event counts for each.", {
    level: "link",
    column: "tags",
  }),
];

const profile = (name: string, about: string, column = name): QueryField =>
  field(name, "string", about, { level: "profile", column });

const past = (name: string, kind: FieldKind, about: string, column = name): QueryField =>
  field(name, kind, about, { level: "visitor", column, isPast: true });

/** What is known of a visitor. */
const PROFILE: readonly QueryField[] = [
  profile("email", "Address of the visitor, once identified."),
  profile("phone", "Telephone number of the visitor, once identified."),
  profile("firstName", "First name of the visitor, once identified.", "first_name"),
  profile("lastName", "Last name of the visitor, once identified.", "last_name"),
  field("identified", "boolean", "Whether the visitor was identified.", { column: IDENTIFIED }),
];

/** What a visitor did. */
const PAST: readonly QueryField[] = [
  past("visitCount", "number", "Events of the visitor.", "visit_count"),
  past("linkCount", "number", "Links that the visitor met.", "link_count"),
  past("deviceCount", "number", "Devices of the visitor.", "device_count"),
  past("firstAt", "time", "Time of the visitor's first event.", "first_at"),
  past("lastAt", "time", "Time of the visitor's latest event.", "last_at"),
  past("daysSinceLast", "number", "Whole days since the visitor's latest event.", "days_since_last"),
  past("conversations", "number", "Events at which the visitor talked."),
];

/** Its parameters are the workspace's weights: see `Seen`. */
const SCORE: QueryField = field("score", "number", "Lead score of the visitor now, 0 to 100.", {
  level: "score",
  column: "round(score, 2)",
  isPast: true,
});

const VERDICT: QueryField = field("verdict", "enum", "Who it was: events by programs are not asked about.", {
  column: "'VERDICT_HUMAN'",
  words: ["VERDICT_HUMAN"],
});

/** Of visitors their own columns are those of the question; `last` holds the columns of the latest event. */
const OF_VISITORS: readonly QueryField[] = [
  past("id", "string", "Id of the visitor.", "visitor_id"),
  ...PROFILE.map((one) => (one.level === "event" ? { ...one, level: "visitor" as const } : one)),
  ...PAST,
  SCORE,
  ...PLACED.map((one) => ({ ...one, level: "last" as const, about: `${one.about} Of the latest event.` })),
];

/** Other names of fields, as the API's contract has them. */
const ALIASES: Readonly<Record<From, Readonly<Record<string, string>>>> = {
  events: { time: "scannedAt", browser: "browserName", platform: "platformName", leadScore: "score" },
  visitors: {
    visitorId: "id",
    browser: "browserName",
    platform: "platformName",
    firstSeen: "firstAt",
    lastSeen: "lastAt",
    eventCount: "visitCount",
    leadScore: "score",
  },
};

const TABLES: Readonly<Record<From, ReadonlyMap<string, QueryField>>> = {
  events: named([...OF_EVENTS, VERDICT, ...OF_LINKS, ...PROFILE, ...PAST, SCORE]),
  visitors: named(OF_VISITORS),
};

function named(fields: readonly QueryField[]): ReadonlyMap<string, QueryField> {
  return new Map(fields.map((one) => [one.name, one]));
}

/** Whether a field tells who somebody is: the scope visitors:read is needed for it. */
export function isPersonal({ level }: QueryField): boolean {
  return level === "profile" || level === "attribute";
}

/** All fields that have a fixed name; attributes come to them as "attributes.KEY". */
export function fieldsOf(from: From): readonly QueryField[] {
  return [...TABLES[from].values()];
}

const ATTRIBUTE = "attributes.";

/** The field of this name; undefined when there is none. An attribute is there whatever its key. */
export function fieldOf(from: From, name: string): QueryField | undefined {
  const aliases = ALIASES[from];
  const known = TABLES[from].get(Object.hasOwn(aliases, name) ? (aliases[name] ?? name) : name);
  if (known !== undefined) return known;
  const key = name.startsWith(ATTRIBUTE) ? name.slice(ATTRIBUTE.length) : "";
  if (key === "") return undefined;
  return field(name, "string", "Attribute of the visitor.", { level: "attribute", key });
}

/** Names of all fields, for refusals. */
export function namesOf(from: From): string {
  return [...TABLES[from].keys(), "attributes.KEY"].join(", ");
}

/** Fields of single events that a table of events can have as columns: one value each, of the event or its code. */
export const eventFields: readonly QueryField[] = OF_EVENTS;
