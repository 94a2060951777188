import type { ListValue, Value } from "@bufbuild/protobuf/wkt";
import type { UpdateKeyRequest } from "#gen/waymark/access/v1/keys_pb.ts";
import { fail as refuse } from "#runtime/failure.ts";
import type { Change } from "#runtime/store.ts";
import type { KeyDoc } from "./model.ts";
import { fail } from "./reasons.ts";
import { checkAllowList, checkExpiry, readOrigins } from "./rules.ts";

/** What an UpdateKey does to a key: what is absent stays, null clears. */
export function changeOf(request: UpdateKeyRequest, on: { key: KeyDoc; now: number }): Change<KeyDoc> {
  const set: Partial<KeyDoc> = {};
  const unset: string[] = [];
  if (request.name !== undefined) set.name = request.name;
  if (request.expiresAt !== undefined) {
    const expiresAt = readTime(request.expiresAt, "expires_at");
    checkExpiry(expiresAt, on.now);
    if (expiresAt === undefined) unset.push("expiresAt");
    else set.expiresAt = expiresAt;
  }
  if (request.ipAllowList !== undefined) {
    set.ipAllowList = readTextsOf(request.ipAllowList, { field: "ip_allow_list", most: 100 });
    checkAllowList(set.ipAllowList);
  }
  if (request.origins !== undefined) {
    set.origins = readOrigins(readTextsOf(request.origins, { field: "origins", most: 50 }));
    if (on.key.class === "publishable" && set.origins.length === 0) throw fail("ORIGIN_NEEDED", { field: "origins" });
  }
  return { set, unset };
}

// "2026-03-20", "2026-03-20T15:30Z", "2026-03-20T15:30:00.250+02:00"
const TIME = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/i;

/** Milliseconds of an ISO 8601 time with zone, or of a bare date's midnight in UTC; undefined for null. */
function readTime({ kind }: Value, field: string): number | undefined {
  if (isNull(kind)) return undefined;
  const text = kind.case === "stringValue" ? kind.value.toUpperCase() : "";
  const day = TIME.exec(text)?.[1];
  // Date.parse takes the 30th of February for a day in March.
  const midnight = day === undefined ? Number.NaN : Date.parse(day);
  const isDay = !Number.isNaN(midnight) && new Date(midnight).toISOString().startsWith(`${day}T`);
  const time = isDay ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) throw refuse("INVALID_FIELD", { field, must: "must be an ISO 8601 time with zone, or null" });
  return time;
}

/** The texts of a list; none for null. */
function readTextsOf({ kind }: Value, { field, most }: { field: string; most: number }): string[] {
  if (isNull(kind)) return [];
  if (kind.case !== "listValue") throw refuse("INVALID_FIELD", { field, must: "must be a list of texts, or null" });
  return readTexts(kind.value, { field, most });
}

/** The texts of a list that has no more than so many, and nothing else in it. */
export function readTexts({ values }: ListValue, { field, most }: { field: string; most: number }): string[] {
  if (values.length > most) throw refuse("INVALID_FIELD", { field, must: `must have at most ${most} items` });
  return values.map((item, index) => {
    if (item.kind.case === "stringValue") return item.kind.value;
    throw refuse("INVALID_FIELD", { field: `${field}[${index}]`, must: "must be a text" });
  });
}

function isNull(kind: Value["kind"]): boolean {
  return kind.case === undefined || kind.case === "nullValue";
}
